"""Processes that work for a command, and end with it however that ends."""

import multiprocessing
import os
import signal
import threading


def start_worker() -> None:
    """What a process of a pool does first: Ctrl-C is left to the process that started it, whose end is its own.

    One that is killed cannot tell its workers; they would go on with what waits for them, and then wait forever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)  # not sys.exit, which would end this thread alone
