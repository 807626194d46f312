"""Which pictures of a stream were sent and never came out of its decoder."""

from collections import deque
from heapq import heappop, heappush


class Losses:
    """An account of packets that went in and never came out as a picture.

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
        """A packet went in."""
        if pts is not None:
            heappush(self._pending, pts)

    def failed(self) -> None:
        """The decoder refused a packet."""
        self._failures += 1

    def spoiled(self, pts: int | None) -> None:
        """A picture came out that is not fit to be shown."""
        self._spoiled = 1 + self.came(pts)

    def came(self, pts: int | None) -> int:
        """Pictures lost before the one with stamp `pts`, which came out."""
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
        """Pictures lost since the last one that came out."""
        pending = len(self._pending)
        # PyAV swallows a failure while the last pictures are drained; stamps left over tell of it all the same.
        count_pending = self._failures or not self._never_shown
        return self._spoiled + (max(pending, self._failures) if count_pending else 0)
