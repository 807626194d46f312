"""Stages: a thread that dies is never silent."""

import threading

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


def test_join_returns_when_all_work_is_done() -> None:
    done: list[int] = []
    stages = Stages(lambda: None)
    for index in range(3):
        stages.start(f"stage {index}", lambda i=index: done.append(i))  # type: ignore[misc]
    stages.join()
    assert sorted(done) == [0, 1, 2]
