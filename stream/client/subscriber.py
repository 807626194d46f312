"""Reading events from Redis Streams, one after another."""

import logging
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from redis.exceptions import RedisError

from stream.client.cursor import (
    BLOCK_S,
    COUNT,
    FIRST_DELAY_S,
    MAX_DELAY_S,
    NO_STREAM_S,
    REPLY_TIMEOUT_S,
    Cursor,
    E,
    Keys,
    Shapes,
    Start,
    ends_of,
    shape_of,
    sources_of,
)
from stream.emit.connection import explain, open_client
from stream.emit.schema import (
    DEFAULT_PREFIX,
    EmotionEvent,
    FlameEvent,
    StatusEvent,
    emotion_key,
    flame_key,
    sources_key,
    status_key,
)
from stream.emit.stream_writer import EntryId
from stream.errors import SinkUnreachable

log = logging.getLogger(__name__)

T = TypeVar("T")


class Subscriber:
    """Reads what any number of runs publish under a prefix. Threads may share it.

    The iterators outlive restarts of the server: they connect again, for ever, and go on after the last event they
    gave. Every method raises SinkRefused when the server answers with a refusal (a wrong password, say), and
    SinkUnreachable when it cannot be reached at first.
    """

    def __init__(self, url: str, prefix: str = DEFAULT_PREFIX, *, connect_timeout_s: float = 5.0) -> None:
        """Connects on first use. Raises ConfigError when `url` is not one of a Redis server."""
        self.url = url
        self.prefix = prefix
        self._client = open_client(url, connect_timeout_s=connect_timeout_s, reply_timeout_s=REPLY_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def sources(self) -> list[str]:
        """Names of the sources that have published here, sorted."""
        return sources_of(self._call(lambda: self._client.smembers(sources_key(self.prefix))))

    def emotions(
        self, source: str | None = None, start: Start = "now", block_s: float | None = None
    ) -> Iterator[EmotionEvent]:
        """Valence-arousal of one source, or of all, those that appear later included.

        `start` is "now" (after this call), "start" (the oldest kept), the `id` of an event (what follows it), or an id
        for each source. The iterator ends when nothing has come for `block_s` seconds; None waits for ever.
        """
        events = self._read(EmotionEvent, self._keys(emotion_key, source), start, block_s)
        return (event for _, event in events)

    def flames(
        self, source: str | None = None, start: Start = "now", block_s: float | None = None
    ) -> Iterator[FlameEvent]:
        """FLAME parameters, as `emotions`; `shape` is filled in on every event as long as the server still has it."""
        return self._with_shapes(self._read(FlameEvent, self._keys(flame_key, source), start, block_s))

    def status(
        self, source: str | None = None, start: Start = "now", block_s: float | None = None
    ) -> Iterator[StatusEvent]:
        """State changes of one source or of all, as `emotions`."""
        events = self._read(StatusEvent, lambda: {"": status_key(self.prefix)}, start, block_s, source)
        return (event for _, event in events)

    def _keys(self, key: Callable[[str, str], str], source: str | None) -> Callable[[], Keys]:
        if source is not None:
            return lambda: {source: key(self.prefix, source)}
        return lambda: {name: key(self.prefix, name) for name in self.sources()}

    def _read(
        self,
        kind: type[E],
        keys: Callable[[], Keys],
        start: Start,
        block_s: float | None,
        source: str | None = None,
    ) -> Iterator[tuple[str, E]]:
        """Each event with its stream. Where "now" is gets settled before this returns."""
        cursor = Cursor(kind, start, source)
        self._begin(cursor, keys(), late=False)
        return self._follow(cursor, keys, block_s)

    def _follow(self, cursor: Cursor[E], keys: Callable[[], Keys], block_s: float | None) -> Iterator[tuple[str, E]]:
        delay_s = FIRST_DELAY_S
        unsure = False
        latest_s = looked_s = time.monotonic()
        while True:
            left_s = float("inf") if block_s is None else latest_s + block_s - time.monotonic()
            try:
                if unsure:
                    cursor.resume(self._ends(list(cursor.positions)))
                if time.monotonic() - looked_s >= BLOCK_S or not cursor.positions:
                    self._begin(cursor, keys(), late=True)
                    looked_s = time.monotonic()
                events = self._receive(cursor, left_s)
            except SinkUnreachable as problem:
                if left_s <= 0:
                    raise
                log.warning("%s; trying again", problem)
                unsure = True
                time.sleep(min(delay_s, left_s))
                delay_s = min(2 * delay_s, MAX_DELAY_S)
                continue
            delay_s = FIRST_DELAY_S
            unsure = not events  # a server that restarted empty between two requests is not always noticed
            yield from events
            if events:
                latest_s = time.monotonic()
            elif left_s <= 0:
                return

    def _begin(self, cursor: Cursor[E], keys: Keys, *, late: bool) -> None:
        new = cursor.unknown(keys)
        cursor.begin(new, self._ends(list(new.values())), late=late)

    def _ends(self, keys: list[str]) -> dict[str, EntryId]:
        if not keys:
            return {}
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.xinfo_stream(key)
        return ends_of(keys, self._call(lambda: pipeline.execute(raise_on_error=False)), self.url)

    def _receive(self, cursor: Cursor[E], left_s: float) -> list[tuple[str, E]]:
        positions = cursor.positions
        if not positions:
            time.sleep(max(0.0, min(NO_STREAM_S, left_s)))
            return []
        block_ms = int(1000 * min(BLOCK_S, left_s))
        streams = cast(dict[Any, Any], positions)
        block = block_ms if block_ms > 0 else None  # BLOCK 0 would wait for ever
        return cursor.accept(self._call(lambda: self._client.xread(streams, count=COUNT, block=block)))

    def _with_shapes(self, events: Iterator[tuple[str, FlameEvent]]) -> Iterator[FlameEvent]:
        shapes = Shapes()
        for key, event in events:
            if (entry_id := shapes.missing(key, event)) is not None:
                self._learn(shapes, key, entry_id)
            yield shapes.complete(key, event)

    def _learn(self, shapes: Shapes, key: str, entry_id: str) -> None:
        try:
            entries = self._call(lambda: self._client.xrange(key, entry_id, entry_id))
        except SinkUnreachable as problem:
            log.warning("%s; an event goes without its shape", problem)
        else:
            shapes.learn(key, entry_id, shape_of(entries or ()))

    def _call(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except (RedisError, OSError) as error:
            raise explain(error, self.url) from error
