"""H.264 videos that browsers play, each picture at its own time."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.video.reformatter import ColorRange, Colorspace

from stream.errors import RenderError
from stream.frame import FrameStamp, Pixels

TICKS = 90_000
"""Parts of a second in which times are written: whole for all usual frame rates."""
_SHORTEST = TICKS // 1000
"""Between two frames."""


class PlayingTime:
    """Turns stamps of one source into a video's own time, which starts at 0 and only goes forward."""

    def __init__(self) -> None:
        self._first: FrameStamp | None = None  # of the epoch
        self._first_ticks = 0
        self._last: FrameStamp | None = None
        self._last_ticks = -_SHORTEST

    def ticks(self, stamp: FrameStamp) -> int:
        """When the frame is to be shown, in TICKS.

        Within an epoch the source's own clock counts. From one to the next (a reconnect, a jump of the stamps) the
        wall clock does, so that an outage lasts as long in the video as it did.
        """
        if self._first is None or stamp.epoch != self._first.epoch:
            if self._last is not None:
                passed_s = (stamp.captured_ms - self._last.captured_ms) / 1000
                self._first_ticks = self._last_ticks + max(_SHORTEST, round(passed_s * TICKS))
            self._first = stamp
        # Counted from the epoch's first frame, so that roundings do not add up.
        ticks = self._first_ticks + round((stamp.pts_s - self._first.pts_s) * TICKS)
        self._last, self._last_ticks = stamp, max(ticks, self._last_ticks + _SHORTEST)
        return self._last_ticks


class VideoWriter:
    """One mp4 file, made with its first picture and playable once closed. Belongs to one thread.

    Every method raises RenderError when the file cannot be written; nothing but `close` may follow.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self._size = (0, 0)
        self._last_ticks = 0
        self._shown_ticks = TICKS // 25  # of the newest frame: as long as the one before it
        self._closed = False
        with self._told():
            # The index goes to the front, so that a browser can begin before it has the whole file.
            self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        # Without B-frames each picture is decoded when it is shown, so that uneven times are written exactly.
        self._stream = self._container.add_stream("libx264", options={"crf": "20", "preset": "veryfast", "bf": "0"})
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, TICKS)

    def write(self, picture: Pixels, ticks: int) -> None:
        """Add a picture [H, W, 3] that is shown from `ticks` on.

        The first one gives the video its size, less one where a side is odd, which H.264 cannot have.
        """
        if not self.frames:
            height, width = (side // 2 * 2 for side in picture.shape[:2])
            self._stream.height, self._stream.width = height, width
            self._size = (height, width)
            with self._told():
                self._container.start_encoding()  # makes the file
        else:
            self._shown_ticks = ticks - self._last_ticks
        frame = _to_yuv(picture, *self._size)
        frame.pts, frame.time_base = ticks, Fraction(1, TICKS)
        self._encode(frame)
        self._last_ticks = ticks
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds, and the index. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            if self.frames:
                self._encode(None)
        finally:
            with self._told():
                self._container.close()

    def _encode(self, frame: av.VideoFrame | None) -> None:
        with self._told():
            for packet in self._stream.encode(frame):
                packet.duration = self._shown_ticks
                self._container.mux(packet)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what FFmpeg raises into a RenderError."""
        try:
            yield
        except (OSError, av.error.FFmpegError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise RenderError(
                f"{self.path}: the video cannot be written ({reason}); give a place that has room and lets you write"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        with contextlib.suppress(RenderError):  # the first error is the one to tell
            self.close()


def _to_yuv(picture: Pixels, height: int, width: int) -> av.VideoFrame:
    """Limited-range BT.709, at the video's size: a source may change its own half-way."""
    if abs(picture.shape[0] - height) < 2 and abs(picture.shape[1] - width) < 2:
        picture = picture[:height, :width]  # an odd side loses its last line; nothing is resampled
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        width=width,
        height=height,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
