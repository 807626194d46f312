"""Subscribing to real servers, and what becomes of it when they fail."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

import pytest

from stream.client import AsyncSubscriber, Subscriber
from stream.emit.redis_sink import RedisSink
from stream.emit.schema import EmotionEvent, FlameEvent, StatusEvent
from stream.errors import ConfigError, SinkRefused, SinkUnreachable
from tests.stream.emit.support import START_MS, RealServer, StartServer, make_frames, wait_until


def publish(url: str, count: int, source: str = "cam", *, first: int = 0, tracks: tuple[int, ...] = (0,)) -> None:
    with RedisSink(url) as sink:
        for frame in make_frames(count, source, first=first, tracks=tracks):
            sink.put(frame)
        assert sink.flush(10)


def publish_status(url: str, state: str, source: str = "cam") -> None:
    with RedisSink(url) as sink:
        sink.status(StatusEvent(source=source, run="0badcafe", state=state, reason="", at_ms=START_MS))
        assert sink.flush(10)


class SyncSide:
    """Reads with Subscriber."""

    def read(self, url: str, what: str, count: int | None = None, **options: object) -> list[Any]:
        with Subscriber(url) as subscriber:
            return list(islice(getattr(subscriber, what)(**options), count))

    def sources(self, url: str) -> list[str]:
        with Subscriber(url) as subscriber:
            return subscriber.sources()


class AsyncSide:
    """Reads with AsyncSubscriber."""

    def read(self, url: str, what: str, count: int | None = None, **options: object) -> list[Any]:
        async def read() -> list[Any]:
            found: list[Any] = []
            async with AsyncSubscriber(url) as subscriber:
                events: AsyncIterator[Any] = getattr(subscriber, what)(**options)
                async for event in events:
                    found.append(event)
                    if len(found) == count:
                        await events.aclose()  # type: ignore[attr-defined]
                        break
            return found

        return asyncio.run(read())

    def sources(self, url: str) -> list[str]:
        async def read() -> list[str]:
            async with AsyncSubscriber(url) as subscriber:
                return await subscriber.sources()

        return asyncio.run(read())


Side = SyncSide | AsyncSide


@pytest.fixture(params=[SyncSide(), AsyncSide()], ids=["sync", "async"])
def side(request: pytest.FixtureRequest) -> Side:
    chosen: Side = request.param
    return chosen


class Reading:
    """Reads in a thread until told enough events have come."""

    def __init__(self, side: Side, url: str, what: str, count: int, **options: object) -> None:
        self.found: list[Any] = []
        self._thread = threading.Thread(target=lambda: self.found.extend(side.read(url, what, count, **options)))
        self._thread.start()

    def result(self) -> list[Any]:
        self._thread.join(20)
        assert not self._thread.is_alive(), "the events did not come"
        return self.found


def test_events_come_typed_in_order_with_their_ids(side: Side, server: RealServer) -> None:
    publish(server.url, 5, tracks=(1, 2))
    events = side.read(server.url, "emotions", start="start", block_s=0)
    assert all(isinstance(event, EmotionEvent) for event in events)
    assert [(event.seq, event.track) for event in events] == [(seq, track) for seq in range(5) for track in (1, 2)]
    assert events[1].id == f"{START_MS}-1"
    assert side.sources(server.url) == ["cam"]


def test_reading_goes_on_after_an_id(side: Side, server: RealServer) -> None:
    publish(server.url, 6)
    first = side.read(server.url, "emotions", 2, source="cam", start="start")
    rest = side.read(server.url, "emotions", source="cam", start=first[-1].id, block_s=0)
    assert [event.seq for event in first + rest] == list(range(6))


def test_an_id_for_each_source(side: Side, server: RealServer) -> None:
    for source in ("cam", "door", "roof"):
        publish(server.url, 3, source)
    ids = {
        event.source: event.id
        for event in side.read(server.url, "emotions", start="start", block_s=0)
        if event.seq == 1
    }
    del ids["roof"]
    rest = side.read(server.url, "emotions", start=ids, block_s=0)
    assert sorted((event.source, event.seq) for event in rest) == [
        ("cam", 2),
        ("door", 2),
        *(("roof", seq) for seq in range(3)),
    ]


def test_sources_are_merged_by_capture_time(side: Side, server: RealServer) -> None:
    publish(server.url, 4, "cam")
    publish(server.url, 4, "door")
    events = side.read(server.url, "emotions", start="start", block_s=0)
    assert [event.captured_ms for event in events] == sorted(event.captured_ms for event in events)
    assert {event.source for event in events} == {"cam", "door"}
    assert {event.source for event in side.read(server.url, "emotions", source="door", start="start", block_s=0)} == {
        "door"
    }


def test_sources_that_appear_later_are_read_from_their_beginning(side: Side, server: RealServer) -> None:
    reading = Reading(side, server.url, "emotions", 6, start="now", block_s=15)
    wait_until(lambda: len(server.client.client_list()) >= 2)
    time.sleep(0.3)
    publish(server.url, 3, "cam")
    publish(server.url, 3, "door")
    assert sorted((event.source, event.seq) for event in reading.result()) == [
        (source, seq) for source in ("cam", "door") for seq in range(3)
    ]


def test_now_is_when_the_call_returns(server: RealServer) -> None:
    publish(server.url, 3)
    with Subscriber(server.url) as subscriber:
        events = subscriber.emotions("cam", start="now", block_s=0.5)
        publish(server.url, 2, first=3)
        assert [event.seq for event in events] == [3, 4]


def test_block_s_ends_the_iterator_when_nothing_comes(side: Side, server: RealServer) -> None:
    started_s = time.monotonic()
    assert side.read(server.url, "emotions", block_s=0.4) == []
    assert side.read(server.url, "emotions", source="nobody", block_s=0.4) == []
    assert 0.8 <= time.monotonic() - started_s < 5


def test_flames_have_their_shape_even_from_the_middle(side: Side, server: RealServer) -> None:
    publish(server.url, 6, tracks=(1, 2))
    whole = side.read(server.url, "flames", start="start", block_s=0)
    late = side.read(server.url, "flames", start=whole[7].id, block_s=0)
    assert all(isinstance(event, FlameEvent) for event in late)
    shapes = {event.track: event.shape for event in make_frames(1, tracks=(1, 2))[0].flame}
    assert len(late) == 4
    assert [event.shape == shapes[event.track] for event in whole + late] == [True] * 16


def test_a_shape_that_was_trimmed_away_is_none(side: Side, server: RealServer) -> None:
    publish(server.url, 3)
    server.client.xtrim("flamestream:cam:flame", maxlen=1, approximate=False)
    [event] = side.read(server.url, "flames", start="start", block_s=0)
    assert event.shape is None
    assert event.shape_ref == f"{START_MS}-0"


def test_status_of_one_source_or_all(side: Side, server: RealServer) -> None:
    publish_status(server.url, "online", "cam")
    publish_status(server.url, "failed", "door")
    assert [e.state for e in side.read(server.url, "status", start="start", block_s=0)] == ["online", "failed"]
    assert [e.state for e in side.read(server.url, "status", source="door", start="start", block_s=0)] == ["failed"]


def test_restart_of_the_server_is_outlived(
    side: Side, start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "stream.client")
    server = start_server(appendonly="yes", appendfsync="always")
    publish(server.url, 3)
    reading = Reading(side, server.url, "emotions", 6, start="start", block_s=15)
    time.sleep(0.3)
    server.kill()
    time.sleep(0.3)
    server.start()
    publish(server.url, 3, first=3)
    assert [event.seq for event in reading.result()] == list(range(6))


def test_server_that_forgets_everything_while_the_clock_steps_back_is_outlived(side: Side, server: RealServer) -> None:
    publish(server.url, 3, first=300)
    reading = Reading(side, server.url, "emotions", 5, start="start", block_s=15)
    time.sleep(0.3)
    server.kill()
    server.start()
    time.sleep(1.5)  # the reader must have noticed: only then can it tell an old id from a new one
    publish(server.url, 2)
    assert [event.seq for event in reading.result()] == [300, 301, 302, 0, 1]


def test_server_that_goes_away_is_unreachable_once_block_s_is_over(side: Side, server: RealServer) -> None:
    failed: list[SinkUnreachable] = []

    def read() -> None:
        try:
            side.read(server.url, "emotions", start="start", block_s=1.0)
        except SinkUnreachable as error:
            failed.append(error)

    reading = threading.Thread(target=read)
    reading.start()
    time.sleep(0.3)
    server.kill()
    reading.join(20)
    assert len(failed) == 1


def test_wrong_password_is_refused_in_the_words_of_the_publisher(side: Side, start_server: StartServer) -> None:
    server = start_server(requirepass="secret")
    url = f"redis://:wrong@127.0.0.1:{server.port}"
    with pytest.raises(SinkRefused) as read:
        side.read(url, "emotions", block_s=1)
    with pytest.raises(SinkRefused) as published:
        RedisSink(url).open()
    assert str(read.value) == str(published.value)
    assert "check the password" in str(read.value)


def test_nobody_there_is_unreachable_at_once(side: Side, server: RealServer) -> None:
    server.kill()
    with pytest.raises(SinkUnreachable, match="cannot be reached"):
        side.read(server.url, "emotions")
    server.start()


def test_key_of_another_type_is_refused(side: Side, server: RealServer) -> None:
    server.client.set("flamestream:cam:emotion", "not a stream")
    with pytest.raises(SinkRefused, match="under a key of ours"):
        side.read(server.url, "emotions", source="cam", block_s=1)


def test_foreign_entries_are_left_out_and_a_later_schema_is_told(
    side: Side, server: RealServer, caplog: pytest.LogCaptureFixture
) -> None:
    publish(server.url, 1)
    server.client.xadd("flamestream:cam:emotion", {"hello": "world"})
    publish(server.url, 1, first=1)
    assert [event.seq for event in side.read(server.url, "emotions", start="start", block_s=0)] == [0, 1]
    assert "left out an entry that is not an event" in caplog.text
    server.client.xadd("flamestream:cam:emotion", {"schema": "2"})
    with pytest.raises(ConfigError, match="upgrade flamestream"):
        side.read(server.url, "emotions", start="start", block_s=0)


@pytest.mark.parametrize("start", ["yesterday", "12-", "-5", "1-x", {"cam": "soon"}])
def test_start_that_is_no_place_is_told(side: Side, server: RealServer, start: object) -> None:
    with pytest.raises(ConfigError, match="is not a place to read from"):
        side.read(server.url, "emotions", start=start, block_s=0)


def test_threads_may_share_a_subscriber(server: RealServer) -> None:
    publish(server.url, 50)
    with Subscriber(server.url) as subscriber:
        counts: list[int] = []

        def count(events: Iterator[object]) -> None:
            counts.append(sum(1 for _ in events))

        readers = [
            threading.Thread(target=count, args=(read(start="start", block_s=0.2),))
            for read in (subscriber.emotions, subscriber.flames, subscriber.emotions)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(10)
    assert counts == [50, 50, 50]


def test_async_reading_can_be_cancelled(server: RealServer) -> None:
    async def read() -> None:
        async with AsyncSubscriber(server.url) as subscriber:

            async def wait() -> None:
                async for _ in subscriber.emotions("cam"):
                    pass

            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0.2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await subscriber.sources() == []

    asyncio.run(read())
