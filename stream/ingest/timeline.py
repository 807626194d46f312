"""Numbers and times of a source's frames, made regular."""

from collections.abc import Callable
from dataclasses import dataclass

from stream.frame import FrameStamp

OnDrop = Callable[[str, int], None]
"""Called by the source's thread with a reason and how many received frames it cost."""

NUDGE_S = 0.001
"""Events are keyed by milliseconds, so two frames are never nearer than that."""


def ignore_drops(_reason: str, _count: int) -> None:
    """An OnDrop for who does not count."""


@dataclass(slots=True)
class Timeline:
    """Gives each frame its seq, epoch and strictly increasing pts_s.

    What streams really send, and what becomes of it:
    * no stamp: the previous one plus `interval_s`;
    * a stamp at or before the previous, by `jump_s` at most: the previous plus 1 ms;
    * a stamp further back, or ahead of the time that passed by more than `jump_s`: taken as it is, in a new epoch.
    """

    source: str
    on_drop: OnDrop
    interval_s: float = 0.04
    jump_s: float = 1.0
    epoch: int = 0
    received: int = 0
    """Frames so far, dropped ones included: the next frame's seq."""
    last_pts_s: float | None = None
    new_epoch_next: bool = False

    def dropped(self, reason: str, count: int) -> None:
        """Counts received frames that are not passed on."""
        if count > 0:
            self.received += count
            self.on_drop(reason, count)

    def reconnected(self) -> None:
        """The next frame starts a new epoch, unless it is the first of all."""
        self.new_epoch_next = self.last_pts_s is not None

    def step(self, pts_s: float | None, elapsed_s: float | None) -> float:
        """Moves to the next frame's time; returns how much media time passed.

        `elapsed_s`: time since the previous frame on a live source's clock; None for a file, where a long gap is
        as good as any.
        """
        last = self.last_pts_s
        if self._is_jump(pts_s, elapsed_s):
            self.epoch += 1
            self.new_epoch_next = False
            last = None
        if last is None:
            # FFmpeg leaves the first packet of an RTSP connection without a stamp, and gives the second 0.
            unknown_s = 0.0 if elapsed_s is None else -self.interval_s
            pts_s = unknown_s if pts_s is None else pts_s
        else:
            pts_s = last + self.interval_s if pts_s is None else max(pts_s, last + NUDGE_S)
        first = self.last_pts_s is None
        self.last_pts_s = pts_s
        if last is None:
            return 0.0 if first else self.interval_s
        return pts_s - last

    def stamp(self, captured_ms: int, width: int, height: int) -> FrameStamp:
        """The stamp of the frame that `step` moved to."""
        if self.last_pts_s is None:
            raise ValueError(f"stamp of {self.source} asked before its first step")
        stamp = FrameStamp(self.source, self.epoch, self.received, self.last_pts_s, captured_ms, width, height)
        self.received += 1
        return stamp

    def _is_jump(self, pts_s: float | None, elapsed_s: float | None) -> bool:
        if self.new_epoch_next or pts_s is None or self.last_pts_s is None:
            return self.new_epoch_next
        moved_s = pts_s - self.last_pts_s
        return moved_s < -self.jump_s or (elapsed_s is not None and moved_s > elapsed_s + self.jump_s)
