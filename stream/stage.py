"""Threads that run the stages: the first failure stops them all and reaches the caller."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from stream.channel import ChannelAborted


class Stages:
    """A group of stage threads. A stage that dies never dies quietly: `join` raises its error."""

    def __init__(self, abort: Callable[[], None]) -> None:
        """`abort` is called once, on the first failure, to wake every other stage."""
        self._abort = abort
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def start(
        self, name: str, work: Callable[[], None], within: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        """Run `work` in a thread of its own, which enters `within` first."""
        thread = threading.Thread(target=self._run, args=(work, within), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait for every stage; raise the first failure."""
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self, work: Callable[[], None], within: Callable[[], AbstractContextManager[None]]) -> None:
        try:
            with within():
                work()
        except ChannelAborted:
            return  # another stage failed first and its error is the one to report
        except BaseException as error:  # noqa: BLE001 -- kept whole and raised again by join
            with self._lock:
                first = self._failure is None
                if first:
                    self._failure = error
            if first:
                self._abort()
