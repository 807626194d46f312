"""Packets to RGB pictures in a GPU's memory, by NVDEC through PyAV: no pixel passes through the CPU."""

import errno
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial

import av
import torch
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from models.device import MemoryBudget
from stream.ingest.coding import BITS, coding_of
from stream.ingest.colour import converter, planes_of
from stream.ingest.decode_cpu import RgbConverter, ask_low_delay, open_container
from stream.ingest.decode_upload import UploadDecoder, Warn
from stream.ingest.decoder import Decoded, Decoder, MediaPacket
from stream.ingest.device_memory import Room, upload
from stream.ingest.pictures import PictureReader
from stream.ingest.upright import turn_of
from stream.redact import redact

log = logging.getLogger(__name__)

_DEVICE_ERRORS = (errno.EPERM, errno.ENOMEM, errno.EINVAL, errno.ENOTSUP)
"""What making a CUDA device fails with, beside AVERROR_EXTERNAL and AVERROR_UNKNOWN; EPERM without a driver."""

_SHARE_CONTEXT = {"primary_ctx": "0", "current_ctx": "1"}
"""FFmpeg must use the context that torch has made. Asked for the device's primary one, which is the same, it refuses
("already active with incompatible flags"): it wants it made with blocking synchronisation, and torch does not."""


class NvdecDecoding:
    """Decodes by NVDEC what that can decode; the rest on the CPU, which descriptions and one warning each tell."""

    def __init__(self, device: torch.device, budget: MemoryBudget) -> None:
        """Tries NVDEC once, with one picture. Raises EngineError when colours come out wrong on this GPU."""
        self._device = device
        self._budget = budget
        self._why = probe(device)
        self._told: set[tuple[str, str]] = set()

    def open(self, url: str, options: dict[str, str] | None = None, *, demuxer: str | None = None) -> InputContainer:
        """See `Decoding`."""
        container = open_with_nvdec(url, options, demuxer, self._device) if self._why is None else None
        return container or open_container(url, options, demuxer=demuxer)

    def decoder(self, stream: VideoStream, *, live: bool) -> Decoder:
        """See `Decoding`."""
        codec, warn = stream.codec_context, partial(self._warn, redact(str(stream.container.name)))
        if codec.is_hwaccel:
            if live:
                ask_low_delay(stream)
            return NvdecDecoder(stream, self._device, Room(self._budget, stream, live=live), warn)
        why = self._why or f"no NVDEC for {codec.name}, or no room for another decoder"
        return UploadDecoder(stream, self._device, self._budget, why, live=live, warn=warn)

    def _warn(self, source: str, why: str) -> None:
        """Once for each source and reason."""
        if (source, why) not in self._told:
            self._told.add((source, why))
            log.warning("%s: decoded on the CPU (%s)", source, why)


class NvdecDecoder:
    """The decoder of one stream; see `PictureReader` for what becomes of damaged data. Belongs to one thread.

    FFmpeg itself goes on in software, without losing a picture, when NVDEC refuses a stream: for its profile, its
    size, or want of memory. Where a picture lies tells who decoded it.
    Of damage inside a picture only what breaks FFmpeg's own reading of its headers is noticed and counted: the rest
    NVDEC conceals, and FFmpeg does not ask, so it shows as smeared pictures.
    """

    def __init__(self, stream: VideoStream, device: torch.device, room: Room, warn: Warn) -> None:
        """Prepares `stream`, before its first packet. `warn` is told why pictures come from the CPU, when they do."""
        self.description = "NVDEC"
        self._codec = stream.codec_context.name
        self._reader = PictureReader(stream)
        self._rgb = RgbConverter()
        self._device = device
        self._room = room
        self._warn = warn
        stream.thread_count = 1  # NVDEC needs none, and frame threads would hold pictures back

    @property
    def failures_in_a_row(self) -> int:
        """Packets refused since the last picture came out."""
        return self._reader.failures_in_a_row

    def decode(self, packet: MediaPacket | None) -> Iterator[Decoded | None]:
        """See `Decoder`. Conversions are queued on the caller's current CUDA stream."""
        for shown in self._reader.read(packet):
            yield from self._room.place(shown, self._on_device)

    def lost_at_end(self) -> int:
        """See `Decoder`."""
        return self._reader.lost_at_end()

    def _on_device(self, picture: VideoFrame) -> torch.Tensor:
        why = why_not_nvdec(picture, self._codec)
        if why:
            if self.description == "NVDEC":
                self.description = f"CPU ({why})"
                self._warn(why)
            return upload(self._rgb(picture), self._device)
        self.description = "NVDEC"
        return rgb_on_device(picture, self._device)


def why_not_nvdec(picture: VideoFrame, codec: str) -> str:
    """Why the CPU must convert this picture; '' for one in the GPU's memory, in a format that can be handed over."""
    if picture.format.name != "cuda":
        return f"NVDEC refused {codec}, {picture.format.name}, {picture.width}x{picture.height}"
    stored = picture.sw_format
    if stored is None or stored.name not in BITS:
        return f"NVDEC gives {stored.name if stored else 'an unknown format'}, expected {', '.join(BITS)}"
    return ""


def rgb_on_device(picture: VideoFrame, device: torch.device) -> torch.Tensor:
    """[H, W, 3] uint8, upright, of a picture in a format of BITS in the device's memory, on the current stream."""
    convert = converter(device)
    with ordered_with_ffmpeg(device):
        return turn_of(picture).tensor(convert(*planes_of(picture), coding_of(picture)))


@contextmanager
def ordered_with_ffmpeg(device: torch.device) -> Iterator[None]:
    """Work queued on the current stream in here comes after what FFmpeg has queued, and before what it will queue.

    FFmpeg fills pictures on the default stream, with which torch's other streams are not ordered. It uses a dropped
    picture's memory again, on the default stream too, which therefore waits in its turn; the CPU never does.
    """
    if device.type != "cuda":
        yield
        return
    ours, of_ffmpeg = torch.cuda.current_stream(device), torch.cuda.default_stream(device)
    ours.wait_stream(of_ffmpeg)
    yield
    of_ffmpeg.wait_stream(ours)


def open_with_nvdec(
    url: str, options: dict[str, str] | None, demuxer: str | None, device: torch.device
) -> InputContainer | None:
    """None when the device has no room for another decoder, or is none. Raises av.error.FFmpegError for the rest."""
    try:
        return open_container(url, options, demuxer=demuxer, hardware=hardware(device))
    except av.error.FFmpegError as error:
        if error.errno in _DEVICE_ERRORS or isinstance(error, av.error.ExternalError | av.error.UnknownError):
            log.warning("%s: NVDEC cannot be opened (%s)", redact(url), error.strerror)
            return None
        raise


def hardware(device: torch.device) -> HWAccel:
    """What `av.open` needs to decode on `device` and leave the pictures there.

    Makes torch's CUDA context the calling thread's own, since FFmpeg takes that one when the container opens.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(device)  # does nothing yet for the first GPU in a new thread
        torch.cuda.current_stream(device).record_event()  # to make an event, a context must be there
    return HWAccel(
        "cuda", device=device.index or 0, allow_software_fallback=True, options=dict(_SHARE_CONTEXT), is_hw_owned=True
    )


@lru_cache
def probe(device: torch.device) -> str | None:
    """Why NVDEC does not work on `device`; None when it does. Decodes one small picture, the first time.

    Raises EngineError when its colours come out wrong.
    """
    if device.type != "cuda":
        return "NVDEC needs a GPU, and the device is the CPU"
    try:
        with open_container(small_video(), hardware=hardware(device)) as container:
            stream = container.streams.video[0]
            if not stream.codec_context.is_hwaccel:
                return "this FFmpeg is built without NVDEC"
            picture = next(container.decode(stream))
            why = why_not_nvdec(picture, stream.codec_context.name)
            if why:
                return f"{why}: is libnvcuvid there? containers need NVIDIA_DRIVER_CAPABILITIES=video"
            rgb_on_device(picture, device)
    except av.error.FFmpegError as error:
        return f"NVDEC: {'no NVIDIA driver' if error.errno == errno.EPERM else error.strerror}"
    return None


def small_video() -> io.BytesIO:
    """One picture of H.264, large enough for NVDEC."""
    content = io.BytesIO()
    with av.open(content, "w", format="matroska") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        output.mux([*stream.encode(VideoFrame(320, 240, "yuv420p")), *stream.encode(None)])
    content.seek(0)
    return content
