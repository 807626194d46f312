"""Packets to FFmpeg's own pictures, wherever they lie, with an account of what was lost."""

from dataclasses import dataclass

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stream.ingest.decoder import MediaPacket
from stream.ingest.losses import Losses


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as FFmpeg gives it, in the stream's own format."""

    picture: VideoFrame
    pts_s: float | None
    """Presentation time in the stream's own clock, seconds; None when it has none."""
    lost: int
    """Pictures between the previous one and this that were sent but could not be decoded."""


class PictureReader:
    """Drives a stream's codec. Belongs to one thread.

    Damaged data never raises: it costs pictures, which are counted. A picture that the codec itself marks as patched
    up (parts of it guessed from its neighbours) is lost too: a smeared face must not be measured. Which pictures get
    that mark can differ between two runs when frame threads are used; intact data decodes alike.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._losses = Losses()
        self.failures_in_a_row = 0
        """Packets refused since the last picture came out."""

    def read(self, packet: MediaPacket | None) -> list[Shown]:
        """The pictures that `packet` completes, in presentation order; None gets the last ones at the end."""
        losses = self._losses
        if packet is not None and packet.size and not packet.is_discard:
            losses.sent(packet.pts)
        try:
            pictures = self._stream.codec_context.decode(packet)
        except av.error.EOFError:
            return []  # flushed twice
        except av.error.FFmpegError:
            self.failures_in_a_row += 1
            losses.failed()
            return []
        shown = []
        for picture in pictures:
            if picture.is_corrupt:
                self.failures_in_a_row += 1
                losses.spoiled(picture.pts)
            elif not losses.is_written_off(picture.pts):
                self.failures_in_a_row = 0
                shown.append(Shown(picture, self._seconds(picture.pts), losses.came(picture.pts)))
        return shown

    def lost_at_end(self) -> int:
        """Pictures sent since the last one that came out, and lost. Asked once, after the last `read`."""
        return self._losses.at_end()

    def _seconds(self, pts: int | None) -> float | None:
        # The pictures drained at the end carry no time base of their own.
        time_base = self._stream.time_base
        return float(pts * time_base) if pts is not None and time_base else None
