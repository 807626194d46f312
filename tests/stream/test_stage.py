"""Stages: a thread that dies is never silent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from stream.channel import Channel
from stream.stage import Stages


def test_join_raises_the_first_failure_and_wakes_the_others() -> None:
    channel: Channel[int] = Channel(1)
    stages = Stages(channel.abort)
    waiting = threading.Event()

    def wait_for_ever() -> None:
        waiting.set()
        channel.get()

    def fail() -> None:
        waiting.wait()
        raise RuntimeError("stage broke")

    stages.start("waiting", wait_for_ever)
    stages.start("failing", fail)
    with pytest.raises(RuntimeError, match="stage broke"):
        stages.join()


def test_each_stage_works_within_what_it_is_given() -> None:
    seen: list[tuple[str, str]] = []
    entered = threading.local()

    @contextmanager
    def within(name: str) -> Iterator[None]:
        entered.name = name
        yield
        seen.append((name, "left"))

    stages = Stages(lambda: None)
    for name in ("one", "two"):
        stages.start(name, lambda: seen.append((entered.name, "worked")), partial(within, name))
    stages.join()
    assert sorted(seen) == [("one", "left"), ("one", "worked"), ("two", "left"), ("two", "worked")]


def test_join_returns_when_all_work_is_done() -> None:
    done: list[int] = []
    stages = Stages(lambda: None)
    for index in range(3):
        stages.start(f"stage {index}", lambda i=index: done.append(i))  # type: ignore[misc]
    stages.join()
    assert sorted(done) == [0, 1, 2]
