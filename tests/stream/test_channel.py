"""Bounded queues: order, waiting, dropping, closing, aborting, fair batches."""

import threading
from collections.abc import Callable

import pytest

from stream.channel import Channel, ChannelAborted, Overflow, collect


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_items_come_out_in_order_and_none_means_closed() -> None:
    channel: Channel[int] = Channel(3)
    for item in (1, 2, 3):
        channel.put(item)
    channel.close()
    assert [channel.get() for _ in range(4)] == [1, 2, 3, None]


def test_wait_blocks_the_producer_until_there_is_room() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    done = threading.Event()
    in_thread(lambda: (channel.put(2), done.set())[1])
    assert not done.wait(0.05)
    assert channel.get() == 1
    assert done.wait(5)
    assert channel.get() == 2


def test_drop_oldest_keeps_the_freshest_and_reports_each_drop() -> None:
    dropped: list[int] = []
    channel = Channel(2, Overflow.DROP_OLDEST, on_drop=dropped.append)
    for item in range(5):
        channel.put(item)
    channel.close()
    assert dropped == [0, 1, 2]
    assert [channel.get(), channel.get(), channel.get()] == [3, 4, None]


def test_the_end_marker_pushes_nothing_out() -> None:
    dropped: list[str] = []
    channel = Channel(1, Overflow.DROP_OLDEST, on_drop=dropped.append)
    channel.put("frame")
    channel.put_past_limit("end")
    assert dropped == []
    assert [channel.get(), channel.get()] == ["frame", "end"]


@pytest.mark.parametrize("work", [lambda c: c.get(), lambda c: (c.put(1), c.put(2))], ids=["get", "put"])
def test_abort_wakes_whoever_waits(work: Callable[[Channel[int]], object]) -> None:
    channel: Channel[int] = Channel(1)
    woken = threading.Event()

    def wait() -> None:
        with pytest.raises(ChannelAborted):
            work(channel)
        woken.set()

    in_thread(wait)
    channel.abort()
    assert woken.wait(5)


def test_get_batch_takes_what_waits_up_to_the_limit() -> None:
    channel: Channel[int] = Channel(5)
    for item in range(5):
        channel.put(item)
    channel.close()
    assert [channel.get_batch(3), channel.get_batch(3), channel.get_batch(3)] == [[0, 1, 2], [3, 4], []]


def test_collect_is_fair_one_item_of_each_channel() -> None:
    ready = threading.Condition()
    fast: Channel[str] = Channel(10, condition=ready)
    slow: Channel[str] = Channel(10, condition=ready)
    for index in range(3):
        fast.put(f"fast{index}")
    slow.put("slow0")
    assert collect([fast, slow], linger_s=0) == ["fast0", "slow0"]
    assert collect([fast, slow], linger_s=0) == ["fast1"]


def test_collect_waits_for_a_late_source_no_longer_than_the_deadline() -> None:
    ready = threading.Condition()
    early: Channel[int] = Channel(1, condition=ready)
    late: Channel[int] = Channel(1, condition=ready)
    early.put(1)
    threading.Timer(0.02, late.put, (2,)).start()
    assert collect([early, late], linger_s=5) == [1, 2]


def test_collect_does_not_wait_for_finished_channels_and_ends_empty() -> None:
    ready = threading.Condition()
    channels: list[Channel[int]] = [Channel(1, condition=ready) for _ in range(2)]
    channels[0].close()
    channels[1].put(7)
    channels[1].close()
    assert collect(channels, linger_s=60) == [7]
    assert collect(channels, linger_s=60) == []
