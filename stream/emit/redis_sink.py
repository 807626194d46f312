"""Publishes events on Redis Streams from a thread of its own, through outages of the server.

Frames wait in a bounded queue; `put` waits when it is full, and the channels before it then decide whether a source
waits or drops. While the server is away the thread tries again for ever, and nothing is lost or sent twice.
"""

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from stream.emit.connection import open_client
from stream.emit.event import FrameEvents
from stream.emit.schema import DEFAULT_PREFIX, StatusEvent
from stream.emit.sink import CountFrames
from stream.emit.stream_writer import Entry, StreamWriter
from stream.errors import ConfigError, SinkError, SinkUnreachable

log = logging.getLogger(__name__)

BATCH_ENTRIES = 128
"""Most entries sent in one round trip."""

LINGER_S = 0.01
"""How long an entry may wait for others to be sent with."""

MAX_STATUSES = 1024
"""Status events that may wait for the server; the oldest give way to new ones."""

FIRST_DELAY_S, MAX_DELAY_S = 0.1, 5.0
"""Between attempts to reach a lost server: doubles from the first to the last."""


@dataclass(slots=True, eq=False)
class Item:
    """What one `put` or `status` brought."""

    ticket: int
    entries: list[Entry]
    frame_of: str | None
    """The source, when this is a frame that is counted; None for status events alone."""

    @property
    def acknowledged(self) -> bool:
        """Whether all of it is on the server."""
        return all(entry.acknowledged for entry in self.entries)


class _AbandonedError(Exception):
    """The deadline of `close` passed."""


class RedisSink:
    """The sink of `redis://`, `rediss://` and `unix://` URLs. See `Sink` for what its methods promise."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = DEFAULT_PREFIX,
        sources: Sequence[str] = (),
        max_length: int = 108_000,
        queue_frames: int = 512,
        on_published: CountFrames = lambda source, count: None,
        on_unpublished: CountFrames = lambda source, count: None,
        connect_timeout_s: float = 5.0,
        reply_timeout_s: float = 5.0,
    ) -> None:
        """`open` tries the streams of `sources`; others may come later. `max_length` is entries per stream, roughly:
        108,000 is an hour of one face at 30 frames a second, 0 is no bound. Raises ConfigError.
        """
        if 0 < max_length < 2 * BATCH_ENTRIES:
            raise ConfigError(
                f"max_length {max_length} is too short: an entry could be trimmed before it is known to have arrived; "
                f"expected at least {2 * BATCH_ENTRIES}, or 0 for no bound"
            )
        client = open_client(url, connect_timeout_s=connect_timeout_s, reply_timeout_s=reply_timeout_s)
        self.queue_frames = queue_frames
        self.outage: str | None = None
        """Why the server cannot be reached at the moment; None while it can."""
        self._sources = sources
        self._on_published = on_published
        self._on_unpublished = on_unpublished
        self._writer = StreamWriter(client, url, prefix=prefix, max_length=max_length)
        self._thread = threading.Thread(target=self._run, name="redis sink", daemon=True)
        self._changed = threading.Condition()
        # Everything below is read and written under self._changed.
        self._waiting: deque[Item] = deque()
        self._in_flight: list[Item] = []
        self._tickets = 0
        self._frames = 0
        self._published: Counter[str] = Counter()
        self._unpublished: Counter[str] = Counter()
        self._blocked: Counter[str] = Counter()
        self._stop_at_s: float | None = None
        self._running = False
        self._error: SinkError | None = None
        self._error_told = False

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._error_told = True  # the block's own error is the one to report
        self.close()

    def open(self) -> None:
        """Connect, check that the streams can be written, start the thread. Raises SinkRefused, SinkUnreachable."""
        self._writer.open(self._sources)
        self._running = True
        self._thread.start()

    def put(self, frame: FrameEvents) -> None:
        """Queue a frame's face events, waiting while the queue is full. Raises the SinkError that stopped the sink."""
        entries = [self._writer.entry(event) for pair in zip(frame.emotion, frame.flame, strict=True) for event in pair]
        if not entries:
            return
        source = frame.stamp.source
        with self._changed:
            self._blocked[source] += 1
            self._changed.wait_for(lambda: self._frames < self.queue_frames or not self._running)
            self._blocked[source] -= 1
            if self._running:
                self._frames += 1
                self._queue(entries, source)
                return
        self._give_up(source)
        with self._changed:
            self._raise_error()

    def status(self, event: StatusEvent) -> None:
        """Queue a status event; never waits. Raises the SinkError that stopped the sink."""
        with self._changed:
            self._raise_error()
            statuses = [item for item in self._waiting if item.frame_of is None]
            if len(statuses) >= MAX_STATUSES:
                self._waiting.remove(statuses[0])
                log.warning("a status event was given up: the server has been away for too long")
            if self._running:
                self._queue([self._writer.entry(event)], None)

    def flush(self, deadline_s: float) -> bool:
        """Wait until what was put so far is acknowledged. Raises the SinkError that stopped the sink."""
        with self._changed:
            ticket = self._tickets
            done = self._changed.wait_for(lambda: self._oldest() >= ticket or not self._running, deadline_s)
            self._raise_error()
            return done and self._oldest() >= ticket

    def published(self, source: str) -> int:
        """Frames of a source whose every event is acknowledged."""
        with self._changed:
            return self._published[source]

    def close(self, deadline_s: float = 10.0) -> dict[str, int]:
        """Send what waits, at most until the deadline; then how many frames of each source were not published.

        Raises the SinkError that stopped the sink unless an earlier call has.
        """
        with self._changed:
            self._stop_at_s = time.monotonic() + deadline_s
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(deadline_s)
        with self._changed:
            lost = Counter(item.frame_of for item in (*self._in_flight, *self._waiting) if not item.acknowledged)
            self._running = False
            self._in_flight = []
            self._waiting.clear()
            self._changed.notify_all()
        for source, count in lost.items():
            if source is not None:
                self._give_up(source, count)
        with self._changed:
            if not self._error_told:
                self._raise_error()
            # Frames that a blocked `put` is about to give up are counted here, since it may do so after we return.
            return {source: count for source, count in (self._unpublished + self._blocked).items() if count}

    def _queue(self, entries: list[Entry], frame_of: str | None) -> None:
        self._waiting.append(Item(self._tickets, entries, frame_of))
        self._tickets += 1
        self._changed.notify_all()

    def _oldest(self) -> int:
        """Ticket of the oldest thing that is not finished."""
        return next((item.ticket for item in (*self._in_flight, *self._waiting)), self._tickets)

    def _give_up(self, source: str, count: int = 1) -> None:
        with self._changed:
            self._unpublished[source] += count
        self._on_unpublished(source, count)

    def _raise_error(self) -> None:
        if self._error is not None:
            self._error_told = True
            raise type(self._error)(str(self._error)) from self._error

    # The rest runs in the sink's thread.

    def _run(self) -> None:
        error: SinkError | None = SinkError("publishing stopped by an internal error; its traceback is above")
        try:
            while items := self._take():
                self._deliver(items)
            error = None
        except _AbandonedError:
            error = None
        except SinkError as refused:
            error = refused
        finally:
            with self._changed:
                self._error = error
                self._running = False
                self._changed.notify_all()
            self._writer.disconnect()

    def _take(self) -> list[Item]:
        """The next items, up to a batch; empty once the sink is closed and has nothing left."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stop_at_s is not None)
            linger_until_s = time.monotonic() + LINGER_S
            while self._stop_at_s is None and sum(len(item.entries) for item in self._waiting) < BATCH_ENTRIES:
                if not self._changed.wait(linger_until_s - time.monotonic()):
                    break
            entries = 0
            while self._waiting and entries < BATCH_ENTRIES:
                item = self._waiting.popleft()
                self._in_flight.append(item)
                entries += len(item.entries)
            return list(self._in_flight)

    def _deliver(self, items: list[Item]) -> None:
        entries = [entry for item in items for entry in item.entries]
        try:
            for start in range(0, len(entries), BATCH_ENTRIES):
                self._write(entries[start : start + BATCH_ENTRIES])
        finally:
            self._account(items)

    def _write(self, entries: list[Entry]) -> None:
        delay_s = FIRST_DELAY_S
        while True:
            self._pause(0)
            try:
                done = self._writer.write(entries)
            except SinkUnreachable as problem:
                if self.outage is None:
                    log.warning("%s; trying again until it answers", problem)
                self.outage = str(problem)
                self._pause(delay_s * random.uniform(0.5, 1.0))
                delay_s = min(2 * delay_s, MAX_DELAY_S)
                continue
            if self.outage is not None:
                log.warning("Redis answers again; sending what waited")
                self.outage = None
            if done:
                return

    def _pause(self, seconds: float) -> None:
        """Wait, but not past the deadline of `close`: then raise."""
        until_s = time.monotonic() + seconds
        with self._changed:
            while True:
                stop_at_s = float("inf") if self._stop_at_s is None else self._stop_at_s
                now_s = time.monotonic()
                if now_s >= stop_at_s:
                    raise _AbandonedError
                if now_s >= until_s:
                    return
                self._changed.wait(min(until_s, stop_at_s) - now_s)

    def _account(self, items: list[Item]) -> None:
        """Count the frames that arrived whole; the others stay in flight for `close` to count."""
        with self._changed:
            if not self._running:
                return  # `close` has counted them as not published already
            arrived = [item for item in items if item.acknowledged]
            self._in_flight = [item for item in items if not item.acknowledged]
            counts = Counter(item.frame_of for item in arrived if item.frame_of is not None)
            self._published.update(counts)
            self._frames -= counts.total()
            self._changed.notify_all()
        for source, count in counts.items():
            self._on_published(source, count)
