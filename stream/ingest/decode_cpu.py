"""Packets to upright, full-range RGB pictures on the CPU, by FFmpeg through PyAV."""

import io
import os
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from stream.frame import Pixels
from stream.ingest.coding import is_full_range, matrix_of
from stream.ingest.decoder import Decoded, MediaPacket
from stream.ingest.pictures import PictureReader
from stream.ingest.upright import turn_of

MAX_THREADS = 4
"""More decoding threads than this gain nothing for one stream, and the models want the cores."""

_LIMITED_TO_FULL = np.clip(np.round((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)

# Titles in other encodings than UTF-8 would fail the whole file. PyAV 19 has no such argument.
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


def open_container(
    url: str | io.BytesIO,
    options: dict[str, str] | None = None,
    *,
    demuxer: str | None = None,
    hardware: HWAccel | None = None,
) -> InputContainer:
    """Opens a file, a stream or what a file holds for reading. Raises av.error.FFmpegError.

    Do not touch its streams once it is closed: PyAV 18.1 then crashes the process.
    """
    container: InputContainer = av.open(url, format=demuxer, options=options or {}, hwaccel=hardware, **_LENIENT)
    return container


class CpuDecoding:
    """Decodes on the CPU, into its memory."""

    def open(self, url: str, options: dict[str, str] | None = None, *, demuxer: str | None = None) -> InputContainer:
        """See `Decoding`."""
        return open_container(url, options, demuxer=demuxer)

    def decoder(self, stream: VideoStream, *, live: bool) -> "CpuDecoder":
        """See `Decoding`."""
        return CpuDecoder(stream, live=live)


class CpuDecoder:
    """The decoder of one stream; see `PictureReader` for what becomes of damaged data. Belongs to one thread."""

    description = "CPU"

    def __init__(self, stream: VideoStream, *, live: bool) -> None:
        """Prepares `stream`, before its first packet: low delay when `live`, else all useful threads."""
        self._reader = PictureReader(stream)
        self._rgb = RgbConverter()
        use_threads(stream, live=live)

    @property
    def failures_in_a_row(self) -> int:
        """Packets refused since the last picture came out."""
        return self._reader.failures_in_a_row

    def decode(self, packet: MediaPacket | None) -> Iterator[Decoded]:
        """See `Decoder`."""
        for shown in self._reader.read(packet):
            yield Decoded(self._rgb(shown.picture), shown.pts_s, shown.lost)

    def lost_at_end(self) -> int:
        """See `Decoder`."""
        return self._reader.lost_at_end()


def use_threads(stream: VideoStream, *, live: bool) -> None:
    """Gives a stream that is decoded on the CPU the threads that help, without delay when `live`."""
    stream.thread_count = min(MAX_THREADS, os.cpu_count() or 1)
    # Frame threads hold back one picture per thread; slice threads none.
    stream.thread_type = "SLICE" if live else "AUTO"
    if live:
        ask_low_delay(stream)


def ask_low_delay(stream: VideoStream) -> None:
    """Tells the codec to hold back no picture that it need not."""
    stream.codec_context.flags |= int(Flags.low_delay.value)


class RgbConverter:
    """Turns decoded pictures into RGB arrays; keeps FFmpeg's conversion tables between calls."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, picture: VideoFrame) -> Pixels:
        """[H, W, 3] uint8, contiguous, full range, upright, in the picture's own matrix and range. Alpha is dropped.

        A picture in a GPU's memory is fetched.
        """
        full_range = is_full_range(picture)
        converted = self._reformatter.reformat(
            picture,
            format="rgb24",
            src_colorspace=matrix_of(picture).swscale,
            src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            # Measured at 640x360 on one core: 0.2 ms with this; 2.0 ms with full chroma interpolation, for 1 level.
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        rgb: Pixels = np.ascontiguousarray(converted.to_ndarray(), dtype=np.uint8)
        if picture.color_range == ColorRange.MPEG and picture.format.name.startswith(("gray", "ya")):
            rgb = _LIMITED_TO_FULL[rgb]  # FFmpeg's scaler takes gray for full range, whatever it is told
        return turn_of(picture).array(rgb)
