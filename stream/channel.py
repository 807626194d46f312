"""Bounded queues between stages: the only place where a frame may be dropped, and each drop is counted."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Overflow(Enum):
    """What a full channel does with one more item."""

    WAIT = "wait"
    """The producer waits: files lose nothing."""
    DROP_OLDEST = "drop_oldest"
    """The oldest waiting item goes: live sources stay fresh."""


class ChannelAborted(Exception):
    """Another stage failed: stop working. Never reaches the user."""


class Channel(Generic[T]):
    """A bounded first-in first-out queue for one producer and one consumer thread.

    Channels that share a `condition` can be waited on together (see `collect`).
    """

    def __init__(
        self,
        capacity: int,
        overflow: Overflow = Overflow.WAIT,
        *,
        on_drop: Callable[[T], None] | None = None,
        condition: threading.Condition | None = None,
    ) -> None:
        self.capacity = capacity
        self.overflow = overflow
        self.condition = condition or threading.Condition()
        self._on_drop = on_drop
        self._items: deque[T] = deque()
        self._closed = False
        self._aborted = False

    def put(self, item: T) -> None:
        """Add an item, waiting for room or dropping the oldest. Raises ChannelAborted."""
        dropped: T | None = None
        with self.condition:
            while len(self._items) >= self.capacity and not self._aborted:
                if self.overflow is Overflow.DROP_OLDEST:
                    dropped = self._items.popleft()
                else:
                    self.condition.wait()
            self._check()
            self._items.append(item)
            self.condition.notify_all()
        if dropped is not None and self._on_drop is not None:
            self._on_drop(dropped)

    def put_past_limit(self, item: T) -> None:
        """Add an item that must neither wait nor push out a frame: the end-of-source marker."""
        with self.condition:
            self._check()
            self._items.append(item)
            self.condition.notify_all()

    def get(self) -> T | None:
        """The next item; None once the channel is closed and empty. Raises ChannelAborted."""
        with self.condition:
            while not self._items and not self._closed and not self._aborted:
                self.condition.wait()
            self._check()
            return self.pop()

    def get_batch(self, limit: int) -> list[T]:
        """The next item and those already waiting behind it, at most `limit`; empty once closed and empty."""
        first = self.get()
        if first is None:
            return []
        batch = [first]
        with self.condition:
            while len(batch) < limit and (item := self.pop()) is not None:
                batch.append(item)
        return batch

    def pop(self) -> T | None:
        """The next item if there is one. The caller holds `condition`."""
        if not self._items:
            return None
        item = self._items.popleft()
        self.condition.notify_all()
        return item

    def close(self) -> None:
        """Tell the consumer that nothing more will come."""
        with self.condition:
            self._closed = True
            self.condition.notify_all()

    def abort(self) -> None:
        """Make every waiting and later call raise ChannelAborted."""
        with self.condition:
            self._aborted = True
            self.condition.notify_all()

    @property
    def finished(self) -> bool:
        """Closed and empty."""
        return self._closed and not self._items

    def _check(self) -> None:
        if self._aborted:
            raise ChannelAborted


def collect(channels: Sequence[Channel[T]], linger_s: float) -> list[T]:
    """At most one item of each channel: a fair batch across sources.

    Waits for the first item without limit, then at most `linger_s` for channels that are still open and empty.
    Returns an empty list when every channel has finished. The channels share one condition.
    """
    condition = channels[0].condition
    batch: list[T] = []
    waiting = list(channels)
    deadline: float | None = None
    with condition:
        while True:
            still_empty = []
            for channel in waiting:
                channel._check()
                item = channel.pop()
                if item is not None:
                    batch.append(item)
                elif not channel.finished:
                    still_empty.append(channel)
            waiting = still_empty
            if not waiting:
                return batch
            if batch and deadline is None:
                deadline = time.monotonic() + linger_s
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return batch
            condition.wait(remaining)
