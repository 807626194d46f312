"""Packets to upright, full-range RGB pictures on the CPU, by FFmpeg through PyAV."""

import math
import os
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.codec.context import Flags
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from stream.frame import Pixels

if TYPE_CHECKING:
    MediaPacket = av.Packet[Any]
else:
    MediaPacket = av.Packet  # generic in its stubs only

MAX_THREADS = 4
"""More decoding threads than this gain nothing for one stream, and the models want the cores."""

_UNSPECIFIED = 0

# Keys: matrix_coefficients of ITU-T H.273, as decoders report them.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_LIMITED_TO_FULL = np.clip(np.round((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


# Titles in other encodings than UTF-8 would fail the whole file. PyAV 19 has no such argument.
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


def open_container(url: str, options: dict[str, str] | None = None, *, demuxer: str | None = None) -> InputContainer:
    """Opens a file or stream for reading. Raises av.error.FFmpegError.

    Do not touch its streams once it is closed: PyAV 18.1 then crashes the process.
    """
    container: InputContainer = av.open(url, format=demuxer, options=options or {}, **_LENIENT)
    return container


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture, and how many before it were lost."""

    picture: VideoFrame
    pts_s: float | None
    """Presentation time in the stream's own clock, seconds; None when it has none."""
    lost: int
    """Pictures between the previous one and this that were sent but could not be decoded."""


class CpuDecoder:
    """The decoder of one stream, with an account of what it loses. Belongs to one thread.

    Damaged data never raises: it costs pictures, which are counted. A picture that the decoder itself marks as
    patched up (parts of it guessed from its neighbours) is lost too: a smeared face must not be measured. Which
    pictures get that mark can differ between two runs when frame threads are used; intact data decodes alike.
    """

    def __init__(self, stream: VideoStream, *, live: bool) -> None:
        """Prepares `stream`, before its first packet: low delay when `live`, else all useful threads."""
        self._stream = stream
        self._ledger = _Ledger()
        self.failures_in_a_row = 0
        """Packets refused since the last picture came out."""
        stream.thread_count = min(MAX_THREADS, os.cpu_count() or 1)
        if live:
            # Frame threads hold back one picture per thread; slice threads none.
            stream.thread_type = "SLICE"
            stream.codec_context.flags |= int(Flags.low_delay.value)
        else:
            stream.thread_type = "AUTO"

    def decode(self, packet: MediaPacket | None) -> list[Decoded]:
        """The pictures that `packet` completes, in presentation order; None gets the last ones at the end."""
        ledger = self._ledger
        if packet is not None and packet.size and not packet.is_discard:
            ledger.sent(packet.pts)
        try:
            pictures = self._stream.codec_context.decode(packet)
        except av.error.EOFError:
            return []  # flushed twice
        except av.error.FFmpegError:
            self.failures_in_a_row += 1
            ledger.failed()
            return []
        decoded = []
        for picture in pictures:
            if picture.is_corrupt:
                self.failures_in_a_row += 1
                ledger.spoiled(picture.pts)
            elif not ledger.is_written_off(picture.pts):
                self.failures_in_a_row = 0
                decoded.append(Decoded(picture, self._seconds(picture.pts), ledger.came(picture.pts)))
        return decoded

    def _seconds(self, pts: int | None) -> float | None:
        # The pictures drained at the end carry no time base of their own.
        time_base = self._stream.time_base
        return float(pts * time_base) if pts is not None and time_base else None

    def lost_at_end(self) -> int:
        """Pictures sent since the last one that came out, and lost. Asked once, after the last `decode`."""
        return self._ledger.at_end()


class _Ledger:
    """Which packets went in and never came out as a picture.

    Pictures come out in presentation order, so a stamp still on the heap when a later one comes out is lost. Some
    codecs (VP8) have packets that are never shown, so only stamps missed after a failure count as losses.
    """

    def __init__(self) -> None:
        self._pending: list[int] = []
        self._written_off: deque[int] = deque(maxlen=64)
        self._failures = 0
        self._spoiled = 0
        self._never_shown = 0

    def sent(self, pts: int | None) -> None:
        if pts is not None:
            heappush(self._pending, pts)

    def failed(self) -> None:
        self._failures += 1

    def spoiled(self, pts: int | None) -> None:
        self._spoiled = 1 + self.came(pts)

    def came(self, pts: int | None) -> int:
        """Pictures lost before the one with stamp `pts`."""
        missed = []
        while pts is not None and self._pending and self._pending[0] <= pts:
            missed.append(heappop(self._pending))
        if missed and missed[-1] == pts:
            missed.pop()
        lost, self._spoiled = self._spoiled, 0
        if pts is None:
            lost += self._failures
            self._failures = 0
        elif missed and self._failures:
            lost += len(missed)
            self._written_off.extend(missed)
            self._failures = 0
        else:
            # A failure without a missed stamp yet: with frame threads it is told before its neighbours come out.
            self._never_shown += len(missed)
        return lost

    def is_written_off(self, pts: int | None) -> bool:
        """Whether the picture was counted as lost already: after a lost key frame H.264 brings some too late."""
        return pts in self._written_off

    def at_end(self) -> int:
        pending = len(self._pending)
        # PyAV swallows a failure while the last pictures are drained; stamps left over tell of it all the same.
        count_pending = self._failures or not self._never_shown
        return self._spoiled + (max(pending, self._failures) if count_pending else 0)


class RgbConverter:
    """Turns decoded pictures into RGB arrays; keeps FFmpeg's conversion tables between calls."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, picture: VideoFrame) -> Pixels:
        """[H, W, 3] uint8, contiguous, full range, upright, in the picture's own matrix and range. Alpha is dropped."""
        converted = self._reformatter.reformat(
            picture,
            format="rgb24",
            src_colorspace=_matrix(picture),
            src_color_range=_range(picture),
            dst_color_range=ColorRange.JPEG,
            # Measured at 640x360 on one core: 0.2 ms with this; 2.0 ms with full chroma interpolation, for 1 level.
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        rgb: Pixels = np.ascontiguousarray(converted.to_ndarray(), dtype=np.uint8)
        if picture.color_range == ColorRange.MPEG and picture.format.name.startswith(("gray", "ya")):
            rgb = _LIMITED_TO_FULL[rgb]  # FFmpeg's scaler takes gray for full range, whatever it is told
        return _upright(rgb, picture)


def _matrix(picture: VideoFrame) -> int:
    """The stream's matrix; when it names none, BT.709 for HD and BT.601 for SD.

    That is what broadcast standards prescribe for these sizes, what encoders that leave the field empty have used,
    and what players assume.
    """
    high_definition = picture.width >= 1280 or picture.height > 576
    return _MATRICES.get(picture.colorspace, Colorspace.ITU709 if high_definition else Colorspace.ITU601)


def _range(picture: VideoFrame) -> int:
    if picture.format.name.startswith("yuvj"):
        return ColorRange.JPEG
    return ColorRange.MPEG if picture.color_range == _UNSPECIFIED else picture.color_range


def _upright(rgb: Pixels, picture: VideoFrame) -> Pixels:
    """`rgb` turned and mirrored as the picture's display matrix says, to the nearest quarter turn."""
    a, b, c, d = _display_matrix(picture)
    quarter_turn = abs(b) + abs(c) > abs(a) + abs(d)
    mirror_x, mirror_y = (c < 0, b < 0) if quarter_turn else (a < 0, d < 0)
    if not (quarter_turn or mirror_x or mirror_y):
        return rgb
    turned = rgb.transpose(1, 0, 2) if quarter_turn else rgb
    turned = turned[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
    upright = np.empty(turned.shape, np.uint8)
    for channel in range(3):  # five times faster than one copy of the three together
        upright[..., channel] = turned[..., channel]
    return upright


def _display_matrix(picture: VideoFrame) -> tuple[float, float, float, float]:
    """a, b, c, d of the shown point x' = a x + c y, y' = b x + d y, with y downwards."""
    try:
        side_data = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV 18.1 lists no side data at all when it does not know one kind (EXIF); a mirror is then not seen.
        turn = math.radians(-picture.rotation)
        return math.cos(turn), math.sin(turn), -math.sin(turn), math.cos(turn)
    if not isinstance(side_data, SideData):
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].tolist()
    return a, b, c, d
