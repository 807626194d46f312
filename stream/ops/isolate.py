"""Makes checks in processes of their own, so that one that crashes or hangs costs its own row and no other."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import IO

from stream.ops.check import Check, Finding, Result
from stream.ops.worker import one_line

TIMEOUT_S = 120.0
"""For one check, imports included: on a loaded machine with cold disks PyTorch alone has taken 50 seconds."""


def run_checks(
    checks: Sequence[Check], *, timeout_s: float = TIMEOUT_S, environment: Mapping[str, str] | None = None
) -> list[Result]:
    """What each check found, in order. Lanes run side by side; a check gets `timeout_s` before it counts as hung.

    `environment`: variables that the checks see besides those of this process.
    """
    lanes: dict[str, list[Check]] = {}
    for check in checks:
        lanes.setdefault(check.lane, []).append(check)
    stop = threading.Event()
    found: dict[str, Result] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(lanes))) as pool:
        running = [pool.submit(_Lane(timeout_s, stop, environment or {}).run, lane) for lane in lanes.values()]
        try:
            for lane in running:
                found.update((result.check.name, result) for result in lane.result())
        except BaseException:
            stop.set()  # Ctrl-C: what is left need not be looked at
            raise
    return [found[check.name] for check in checks]


class _Lane:
    """Makes checks one after the other, in as few processes as they survive."""

    def __init__(self, timeout_s: float, stop: threading.Event, environment: Mapping[str, str]) -> None:
        self._timeout_s = timeout_s
        self._stop = stop
        self._environment = {**os.environ, **environment}

    def run(self, checks: list[Check]) -> list[Result]:
        """Their results, in order; fewer when told to stop."""
        results: list[Result] = []
        while len(results) < len(checks) and not self._stop.is_set():
            results += self._run_process(checks[len(results) :])
        return results

    def _run_process(self, checks: list[Check]) -> list[Result]:
        """The results up to and with the first check that its process does not survive: at least one."""
        results: list[Result] = []
        with tempfile.TemporaryFile() as errors, self._start(checks, errors) as process:
            try:
                for check in checks:
                    result, goes_on = self._await(check, process, errors)
                    results.append(result)
                    if not goes_on:
                        break
            finally:
                process.kill()  # with its answers given, how it would end does not matter
        return results

    def _await(self, check: Check, process: "subprocess.Popen[bytes]", errors: IO[bytes]) -> tuple[Result, bool]:
        """What a check found, and whether its process goes on to the next one."""
        assert process.stdout is not None  # it was given a pipe
        started_s = time.monotonic()
        line = _read_line(process.stdout, started_s + self._timeout_s, self._stop)
        if line.endswith(b"\n"):
            message = json.loads(line)
            finding, elapsed_s, goes_on = Finding(**message["finding"]), message["elapsed_s"], not message["ends"]
        else:
            elapsed_s, goes_on = time.monotonic() - started_s, False
            finding = Finding("broken", self._ending(process, errors, hung=elapsed_s >= self._timeout_s))
        if not goes_on:  # it did not get to say what helps
            finding = replace(finding, remedy=f"to see all it says: {_command(check)}")
        blocks = finding.blocks or (check.needed and finding.status == "broken")
        return Result(check, replace(finding, blocks=blocks), elapsed_s), goes_on

    def _ending(self, process: "subprocess.Popen[bytes]", errors: IO[bytes], *, hung: bool) -> str:
        """How a process ended, with the last thing it said."""
        if hung:
            return f"no answer within {self._timeout_s:.0f} s"
        if self._stop.is_set():
            process.kill()
        code = process.wait()
        ending = f"ended with exit code {code}" if code >= 0 else f"crashed: {signal.strsignal(-code)}"
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
        return one_line(f"{ending}; {lines[-1]}") if lines else ending

    def _start(self, checks: list[Check], errors: IO[bytes]) -> "subprocess.Popen[bytes]":
        # The search path is handed on as it is: with -m, a folder called `models` where the user stands would be found.
        code = f"import sys; sys.path[:] = {sys.path!r}; from stream.ops.worker import main; main(sys.argv[1:])"
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code, *(check.probe for check in checks)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,  # a line that waits in a buffer would be invisible to `select`
            env=self._environment,
        )


def _command(check: Check) -> str:
    """What makes a check by itself."""
    module, _, function = check.probe.partition(":")
    return f"{sys.executable} -c 'from {module} import {function}; print({function}())'"


def _read_line(pipe: IO[bytes], deadline_s: float, stop: threading.Event) -> bytes:
    """The next line; what came of it at the deadline, at the end of the process, or when told to stop."""
    line = b""
    while not line.endswith(b"\n") and not stop.is_set():
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            break
        if select.select([pipe], [], [], min(left_s, 0.5))[0]:
            piece = pipe.readline()
            if not piece:
                break
            line += piece
    return line
