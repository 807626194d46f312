"""The process that makes checks: one line of JSON on standard output as soon as each is done.

A check that raises ends the process as a crash does: whoever started it goes on with the checks that are left.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import TextIO

from models.errors import FlamestreamError
from stream.ops.check import Finding
from stream.redact import redact_text

LONGEST_MESSAGE = 300
"""Letters of a foreign error message that are shown."""


def main(probes: Sequence[str]) -> None:
    """Calls the probes, each `module:function`, and reports what they return."""
    # Libraries write what they like to standard output, also from C: theirs goes to standard error.
    # Left open, for what the hook tells last of all.
    reports = _Reports(os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.excepthook = reports.raised
    for probe in probes:
        reports.begin()
        reports.tell(_examine(probe))


def one_line(text: str) -> str:
    """A message of someone else: on one line, without passwords, and not too long."""
    line = " ".join(redact_text(text).split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def _examine(probe: str) -> Finding:
    module, _, function = probe.partition(":")
    try:
        finding: Finding = getattr(importlib.import_module(module), function)()
    except FlamestreamError as error:
        return Finding("broken", one_line(str(error)))
    return finding


class _Reports:
    """What the parent reads."""

    def __init__(self, pipe: TextIO) -> None:
        self._pipe = pipe
        self.begin()

    def begin(self) -> None:
        """Start the clock of a check."""
        self._started_s = time.perf_counter()

    def tell(self, finding: Finding, *, ends: bool = False) -> None:
        """Report a finding; `ends` when none will follow."""
        elapsed_s = time.perf_counter() - self._started_s
        self._pipe.write(json.dumps({"finding": asdict(finding), "elapsed_s": elapsed_s, "ends": ends}) + "\n")
        self._pipe.flush()

    def raised(self, kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        """The hook for what nothing caught."""
        self.tell(Finding("broken", one_line(f"{kind.__name__}: {error}")), ends=True)
