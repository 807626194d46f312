"""Reading events from Redis Streams with asyncio: the twin of subscriber.py, where the choices are explained."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, cast

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
from stream.emit.connection import explain, open_async_client
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

AsyncKeys = Callable[[], Awaitable[Keys]]


class AsyncSubscriber:
    """`Subscriber` for asyncio: the same methods, iterated with `async for`, raising the same errors.

    "now" is settled when an iterator is first advanced.
    """

    def __init__(self, url: str, prefix: str = DEFAULT_PREFIX, *, connect_timeout_s: float = 5.0) -> None:
        """Connects on first use. Raises ConfigError when `url` is not one of a Redis server."""
        self.url = url
        self.prefix = prefix
        self._client = open_async_client(url, connect_timeout_s=connect_timeout_s, reply_timeout_s=REPLY_TIMEOUT_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def sources(self) -> list[str]:
        """Names of the sources that have published here, sorted."""
        return sources_of(await self._call(self._client.smembers(sources_key(self.prefix))))

    async def emotions(
        self, source: str | None = None, start: Start = "now", block_s: float | None = None
    ) -> AsyncIterator[EmotionEvent]:
        """Valence-arousal of one source or of all; see `Subscriber.emotions`."""
        async for _, event in self._read(EmotionEvent, self._keys(emotion_key, source), start, block_s):
            yield event

    async def flames(
        self, source: str | None = None, start: Start = "now", block_s: float | None = None
    ) -> AsyncIterator[FlameEvent]:
        """FLAME parameters of one source or of all; see `Subscriber.flames`."""
        shapes = Shapes()
        async for key, event in self._read(FlameEvent, self._keys(flame_key, source), start, block_s):
            if (entry_id := shapes.missing(key, event)) is not None:
                await self._learn(shapes, key, entry_id)
            yield shapes.complete(key, event)

    async def status(
        self, source: str | None = None, start: Start = "now", block_s: float | None = None
    ) -> AsyncIterator[StatusEvent]:
        """State changes of one source or of all; see `Subscriber.status`."""

        async def keys() -> Keys:
            return {"": status_key(self.prefix)}

        async for _, event in self._read(StatusEvent, keys, start, block_s, source):
            yield event

    def _keys(self, key: Callable[[str, str], str], source: str | None) -> AsyncKeys:
        async def keys() -> Keys:
            names = [source] if source is not None else await self.sources()
            return {name: key(self.prefix, name) for name in names}

        return keys

    async def _read(
        self, kind: type[E], keys: AsyncKeys, start: Start, block_s: float | None, source: str | None = None
    ) -> AsyncIterator[tuple[str, E]]:
        """Each event with its stream."""
        cursor = Cursor(kind, start, source)
        await self._begin(cursor, await keys(), late=False)
        delay_s = FIRST_DELAY_S
        unsure = False
        latest_s = looked_s = time.monotonic()
        while True:
            left_s = float("inf") if block_s is None else latest_s + block_s - time.monotonic()
            try:
                if unsure:
                    cursor.resume(await self._ends(list(cursor.positions)))
                if time.monotonic() - looked_s >= BLOCK_S or not cursor.positions:
                    await self._begin(cursor, await keys(), late=True)
                    looked_s = time.monotonic()
                events = await self._receive(cursor, left_s)
            except SinkUnreachable as problem:
                if left_s <= 0:
                    raise
                log.warning("%s; trying again", problem)
                unsure = True
                await asyncio.sleep(min(delay_s, left_s))
                delay_s = min(2 * delay_s, MAX_DELAY_S)
                continue
            delay_s = FIRST_DELAY_S
            unsure = not events  # a server that restarted empty between two requests is not always noticed
            for event in events:
                yield event
            if events:
                latest_s = time.monotonic()
            elif left_s <= 0:
                return

    async def _begin(self, cursor: Cursor[E], keys: Keys, *, late: bool) -> None:
        new = cursor.unknown(keys)
        cursor.begin(new, await self._ends(list(new.values())), late=late)

    async def _ends(self, keys: list[str]) -> dict[str, EntryId]:
        if not keys:
            return {}
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.xinfo_stream(key)
        return ends_of(keys, await self._call(pipeline.execute(raise_on_error=False)), self.url)

    async def _receive(self, cursor: Cursor[E], left_s: float) -> list[tuple[str, E]]:
        positions = cursor.positions
        if not positions:
            await asyncio.sleep(max(0.0, min(NO_STREAM_S, left_s)))
            return []
        block_ms = int(1000 * min(BLOCK_S, left_s))
        streams = cast(dict[Any, Any], positions)
        block = block_ms if block_ms > 0 else None  # BLOCK 0 would wait for ever
        return cursor.accept(await self._call(self._client.xread(streams, count=COUNT, block=block)))

    async def _learn(self, shapes: Shapes, key: str, entry_id: str) -> None:
        try:
            entries = await self._call(self._client.xrange(key, entry_id, entry_id))
        except SinkUnreachable as problem:
            log.warning("%s; an event goes without its shape", problem)
        else:
            shapes.learn(key, entry_id, shape_of(entries or ()))

    async def _call(self, request: Awaitable[Any]) -> Any:  # noqa: ANN401 -- redis-py's types of replies are no help
        try:
            return await request
        except (RedisError, OSError) as error:
            raise explain(error, self.url) from error
