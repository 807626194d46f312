"""Publishing to real servers, and what becomes of it when they fail."""

import random
import signal
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest

from stream.emit.event import FrameEvents
from stream.emit.redis_sink import MAX_STATUSES, RedisSink
from stream.emit.schema import EmotionEvent, FlameEvent, StatusEvent
from stream.emit.stream_writer import parse_id
from stream.errors import ConfigError, SinkRefused
from tests.stream.emit.support import START_MS, Proxy, RealServer, StartServer, make_frames, wait_until

EMOTION, FLAME, STATUS = "flamestream:cam:emotion", "flamestream:cam:flame", "flamestream:status"


def status(state: str = "online", at_ms: int = START_MS, **more: int) -> StatusEvent:
    return StatusEvent(source="cam", run="0badcafe", state=state, reason="", at_ms=at_ms, **more)


def seqs(server: RealServer, key: str = EMOTION) -> list[int]:
    return [int(fields[b"seq"]) for _, fields in server.entries(key)]


def publish(sink: RedisSink, frames: list[FrameEvents]) -> None:
    for frame in frames:
        sink.put(frame)
    assert sink.flush(10)


def test_each_face_becomes_an_entry_in_either_stream(server: RealServer) -> None:
    published: Counter[str] = Counter()
    frames = make_frames(20, tracks=(1, 2))
    with RedisSink(server.url, sources=["cam"], on_published=lambda source, n: published.update({source: n})) as sink:
        publish(sink, frames)
        assert sink.published("cam") == 20
        assert sink.close() == {}
    assert published == {"cam": 20}
    events = [EmotionEvent.from_fields(fields, raw.decode()) for raw, fields in server.entries(EMOTION)]
    sent = [event for frame in frames for event in frame.emotion]
    assert [(e.seq, e.track) for e in events] == [(e.seq, e.track) for e in sent]
    assert events[5].valence == pytest.approx(sent[5].valence, abs=5e-7)
    assert abs(events[0].published_ms - time.time() * 1000) < 60_000
    flames = [FlameEvent.from_fields(fields, raw.decode()) for raw, fields in server.entries(FLAME)]
    assert flames[7].expression_raw == frames[3].flame[1].expression_raw
    assert server.client.smembers("flamestream:sources") == {b"cam"}


def test_ids_are_capture_times_and_count_within_a_frame(server: RealServer) -> None:
    with RedisSink(server.url) as sink:
        publish(sink, make_frames(2, tracks=(1, 2)))
    ids = [raw.decode() for raw, _ in server.entries(EMOTION)]
    assert ids == [f"{START_MS}-0", f"{START_MS}-1", f"{START_MS + 33}-0", f"{START_MS + 33}-1"]


def test_shape_ref_leads_to_the_entry_with_the_shape(server: RealServer) -> None:
    with RedisSink(server.url) as sink:
        publish(sink, make_frames(3, tracks=(1, 2)))
    flames = [FlameEvent.from_fields(fields, raw.decode()) for raw, fields in server.entries(FLAME)]
    with_shape = {flame.track: flame for flame in flames if flame.shape is not None}
    assert set(with_shape) == {1, 2}
    assert all(flame.shape_ref == with_shape[flame.track].id for flame in flames)


def test_ids_go_on_when_the_clock_steps_back_between_and_within_runs(server: RealServer) -> None:
    def stepped(first: int, hours: float) -> list[FrameEvents]:
        ms = round(hours * 3_600_000)
        return [
            replace(
                frame,
                emotion=tuple(replace(e, captured_ms=e.captured_ms + ms) for e in frame.emotion),
                flame=tuple(replace(e, captured_ms=e.captured_ms + ms) for e in frame.flame),
            )
            for frame in make_frames(3, first=first)
        ]

    with RedisSink(server.url) as sink:
        publish(sink, stepped(0, 0) + stepped(3, -1) + stepped(6, 0.5))
    with RedisSink(server.url) as sink:
        publish(sink, stepped(9, -2) + stepped(12, 1))
    assert seqs(server) == list(range(15))
    ids = [parse_id(raw) for raw, _ in server.entries(EMOTION)]
    assert ids == sorted(set(ids))


def test_streams_are_bounded(server: RealServer) -> None:
    with RedisSink(server.url, max_length=256) as sink:
        publish(sink, make_frames(600))
        assert sink.published("cam") == 600
    assert 256 <= server.client.xlen(FLAME) < 500
    assert seqs(server, FLAME)[-1] == 599
    with pytest.raises(ConfigError, match="at least 256, or 0"):
        RedisSink(server.url, max_length=100)


def test_status_events_of_two_runs_share_a_stream(server: RealServer) -> None:
    with RedisSink(server.url) as one, RedisSink(server.url) as other:
        for number in range(20):
            one.status(status("online", received=number))
            other.status(status("gap", received=number))
        assert one.flush(5)
        assert other.flush(5)
    kept = [StatusEvent.from_fields(fields) for _, fields in server.entries(STATUS)]
    for state in ("online", "gap"):
        assert [event.received for event in kept if event.state == state] == list(range(20))


@pytest.mark.parametrize("attempt", range(2))
def test_server_killed_mid_write_and_restarted_leaves_no_gap_and_no_duplicate(
    start_server: StartServer, attempt: int
) -> None:
    # With the default, everysec, the server itself may lose up to two seconds that it has acknowledged.
    server = start_server(appendonly="yes", appendfsync="always")
    frames = make_frames(800)
    pauses = random.Random(attempt)
    with RedisSink(server.url, queue_frames=64) as sink:
        feeding = threading.Thread(target=lambda: [sink.put(frame) for frame in frames])
        feeding.start()
        for goal in (150, 400):
            wait_until(lambda goal=goal: sink.published("cam") >= goal)  # type: ignore[misc]
            time.sleep(pauses.uniform(0, 0.02))
            server.kill()
            server.start()
        feeding.join()
        assert sink.flush(20)
        assert sink.published("cam") == 800
    assert seqs(server) == list(range(800))
    assert seqs(server, FLAME) == list(range(800))


def test_server_that_forgets_everything_is_published_to_again(server: RealServer) -> None:
    with RedisSink(server.url) as sink:
        publish(sink, make_frames(5))
        server.kill()
        server.start()
        publish(sink, make_frames(5, first=5))
    assert seqs(server) == [5, 6, 7, 8, 9]
    assert server.client.smembers("flamestream:sources") == {b"cam"}


def test_reply_lost_after_the_entry_was_added_gives_exactly_one_entry(server: RealServer, proxy: Proxy) -> None:
    with RedisSink(proxy.url) as sink:
        publish(sink, make_frames(1))
        proxy.swallow_after = b"XADD"
        publish(sink, make_frames(3, first=1))
        assert proxy.swallowed.is_set()
        assert sink.published("cam") == 4
        sink.status(status())
        assert sink.flush(5)
        proxy.swallowed.clear()
        proxy.swallow_after = b"XADD"
        sink.status(status("ended", at_ms=1))
        assert sink.flush(5)
        assert proxy.swallowed.is_set()
    assert seqs(server) == [0, 1, 2, 3]
    assert seqs(server, FLAME) == [0, 1, 2, 3]
    assert [fields[b"state"] for _, fields in server.entries(STATUS)] == [b"online", b"ended"]


def test_commands_carried_out_after_the_client_gave_up_do_not_duplicate(server: RealServer) -> None:
    """A stopped server finds the first attempt in its socket when it goes on, behind which comes the second."""
    with RedisSink(server.url, reply_timeout_s=0.3, connect_timeout_s=0.3) as sink:
        publish(sink, make_frames(1))
        server.signal(signal.SIGSTOP)
        for frame in make_frames(50, first=1):
            sink.put(frame)
        wait_until(lambda: sink.outage is not None)
        server.signal(signal.SIGCONT)
        assert sink.flush(10)
        assert sink.outage is None
    assert seqs(server) == list(range(51))
    assert seqs(server, FLAME) == list(range(51))


def test_put_does_not_wait_while_there_is_room_though_the_server_stands_still(server: RealServer) -> None:
    frames = make_frames(64)
    with RedisSink(server.url, queue_frames=64, reply_timeout_s=0.5) as sink:
        server.signal(signal.SIGSTOP)
        putting = threading.Thread(target=lambda: [sink.put(frame) for frame in frames])
        putting.start()
        putting.join(2.0)
        assert not putting.is_alive(), "put waited although the queue had room"
        one_more = threading.Thread(target=lambda: sink.put(make_frames(1, first=64)[0]))
        one_more.start()
        one_more.join(0.2)
        assert one_more.is_alive(), "put must wait while the queue is full"
        for _ in range(MAX_STATUSES + 5):
            sink.status(status())  # never waits; the oldest are given up
        server.signal(signal.SIGCONT)
        one_more.join(10)
        assert sink.flush(10)
    assert seqs(server) == list(range(65))


def test_close_counts_what_it_could_not_publish(server: RealServer) -> None:
    published: Counter[str] = Counter()
    given_up: Counter[str] = Counter()
    sink = RedisSink(
        server.url,
        queue_frames=8,
        reply_timeout_s=0.3,
        on_published=lambda source, n: published.update({source: n}),
        on_unpublished=lambda source, n: given_up.update({source: n}),
    )
    sink.open()
    publish(sink, make_frames(3))
    server.kill()
    for frame in make_frames(4, first=3) + make_frames(4, "door"):
        sink.put(frame)
    blocked = threading.Thread(target=lambda: sink.put(make_frames(1, "door", first=4)[0]))
    blocked.start()
    started_s = time.monotonic()
    assert sink.close(deadline_s=0.5) == {"cam": 4, "door": 5}
    assert time.monotonic() - started_s < 5
    blocked.join(5)
    assert not blocked.is_alive(), "close must wake a waiting put"
    assert published == {"cam": 3}
    wait_until(lambda: given_up == {"cam": 4, "door": 5})
    sink.put(make_frames(1, first=9)[0])
    assert given_up["cam"] == 5, "a frame put after close is counted, not forgotten"


def test_close_drains(server: RealServer) -> None:
    with RedisSink(server.url) as sink:
        for frame in make_frames(300):
            sink.put(frame)
        assert sink.close() == {}
    assert seqs(server) == list(range(300))


def test_memory_limit_is_a_refusal_and_never_counts_as_published(server: RealServer) -> None:
    server.client.config_set("maxmemory", server.client.info("memory")["used_memory"] + 200_000)
    published: Counter[str] = Counter()
    given_up: Counter[str] = Counter()
    sink = RedisSink(
        server.url,
        on_published=lambda source, n: published.update({source: n}),
        on_unpublished=lambda source, n: given_up.update({source: n}),
    )
    sink.open()
    put = []

    def put_many() -> None:
        for frame in make_frames(1000):
            put.append(frame)
            sink.put(frame)

    with pytest.raises(SinkRefused, match=r"is full \(key flamestream:cam:\w+\); raise its maxmemory"):
        put_many()
    sink.close()
    both = set(seqs(server)) & set(seqs(server, FLAME))
    assert 0 < published["cam"] == len(both)
    assert published["cam"] + given_up["cam"] == len(put)


def test_refusal_that_no_put_saw_comes_from_close(server: RealServer) -> None:
    server.client.set(FLAME, "not a stream")
    sink = RedisSink(server.url)
    sink.open()
    sink.put(make_frames(1)[0])
    with pytest.raises(SinkRefused, match=f"key {FLAME}"):
        sink.close()
    assert sink.published("cam") == 0


def test_an_error_in_the_block_is_not_hidden_by_a_refusal(server: RealServer) -> None:
    server.client.set(FLAME, "not a stream")
    sink = RedisSink(server.url)

    def fail() -> None:
        with sink:
            sink.put(make_frames(1)[0])
            raise KeyError

    with pytest.raises(KeyError):
        fail()


def test_busy_server_is_waited_for(server: RealServer) -> None:
    server.client.config_set("busy-reply-threshold", 1)
    script = threading.Thread(
        target=lambda: server.client.eval("local n = 0; while n < 20000000 do n = n + 1 end", 0), daemon=True
    )
    with RedisSink(server.url) as sink:
        publish(sink, make_frames(1))
        script.start()
        for frame in make_frames(50, first=1):
            sink.put(frame)
        assert sink.flush(20)
        script.join()
    assert sorted(seqs(server)) == list(range(51))


def test_replica_is_waited_for_until_it_is_promoted(server: RealServer) -> None:
    with RedisSink(server.url) as sink:
        publish(sink, make_frames(1))
        server.client.replicaof("127.0.0.1", 1)
        sink.put(make_frames(1, first=1)[0])
        wait_until(lambda: sink.outage is not None)
        assert "read-only replica" in str(sink.outage)
        assert sink.published("cam") == 1
        server.client.replicaof("NO", "ONE")
        assert sink.flush(10)
    assert seqs(server) == [0, 1]


def test_least_privilege_user_is_enough(start_server: StartServer) -> None:
    server = start_server(
        user="cam on >pw ~flamestream:* +ping +xadd +xrange +xinfo|stream +sadd", **{"protected-mode": "no"}
    )
    with RedisSink(f"redis://cam:pw@127.0.0.1:{server.port}", sources=["cam"]) as sink:
        publish(sink, make_frames(3))
    assert seqs(server) == [0, 1, 2]


def test_wrong_type_of_a_key_is_refused_at_start(server: RealServer) -> None:
    server.client.set(EMOTION, "not a stream")
    with pytest.raises(SinkRefused, match=rf"under a key of ours \(key {EMOTION}\); choose another --prefix"):
        RedisSink(server.url, sources=["cam"]).open()


def test_unix_socket(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("s") / "v.sock"
    server = start_server(unixsocket=str(path))
    with RedisSink(f"unix://{path}?db=0") as sink:
        publish(sink, make_frames(2))
    assert seqs(server) == [0, 1]
