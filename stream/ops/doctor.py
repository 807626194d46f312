"""`flamestream doctor`: what works on this machine, and what to install for the rest."""

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.ops.check import Check, Status
from stream.ops.diagnosis import PLAN, Diagnosis, diagnose
from stream.ops.host import REDIS_VARIABLE
from stream.ops.isolate import TIMEOUT_S, run_checks

CHECKS: tuple[Check, ...] = (
    Check("Python", "stream.ops.host:python"),
    Check("CPU", "stream.ops.host:processor"),
    Check("memory", "stream.ops.host:memory"),
    Check("cache", "stream.ops.host:cache", needed=True),
    Check("assets", "stream.ops.host:assets", needed=True),
    Check("Redis", "stream.ops.host:redis_server", needed=True),
    Check("video", "stream.ops.video:on_cpu", needed=True),
    Check("RTSP", "stream.ops.video:rtsp"),
    Check("PyTorch", "stream.ops.engines:pytorch", lane="torch", needed=True),
    Check("torchvision", "stream.ops.engines:torchvision", lane="torch"),
    Check("OpenVINO", "stream.ops.engines:openvino", lane="torch"),
    Check("NVIDIA driver", "stream.ops.nvidia:driver"),
    Check("GPU", "stream.ops.nvidia:gpus", lane="torch"),
    Check("NVDEC library", "stream.ops.nvidia:decoding_library", lane="torch"),
    Check("NVDEC", "stream.ops.nvidia:nvdec", lane="torch"),
    Check("DALI", "stream.ops.video:dali", lane="DALI"),
    Check("TensorRT", "stream.ops.engines:tensorrt", lane="torch"),
    Check("inductor", "stream.ops.engines:inductor", lane="torch"),
    Check("TensorRT-RTX", "stream.ops.engines:tensorrt_rtx"),
    Check(PLAN, "stream.ops.plan:plan", lane="torch", needed=True),
)

MARKS: dict[Status, tuple[str, str]] = {"works": ("✔", "green"), "missing": ("-", "yellow"), "broken": ("✘", "red")}
"""Status: its mark and colour."""


def run_doctor(
    console: Console,
    *,
    redis: str | None = None,
    as_json: bool = False,
    checks: Sequence[Check] = CHECKS,
    timeout_s: float = TIMEOUT_S,
) -> bool:
    """Examine this machine and tell what was found; whether `flamestream run` works here.

    `redis` is the URL of the server to look for; without one the embedded server is tried. Told on standard output,
    `as_json` or as a table as wide as `console`.
    """
    # By a variable, since everyone on this machine can read command lines.
    environment = {} if redis is None else {REDIS_VARIABLE: redis}
    with console.status("looking at this machine"):
        diagnosis = diagnose(run_checks(checks, timeout_s=timeout_s, environment=environment))
    if as_json:
        sys.stdout.write(json.dumps(diagnosis.to_json()) + "\n")
    else:
        show(Console(file=sys.stdout, width=console.width if console.is_terminal else None), diagnosis)
    return diagnosis.ok


def show(console: Console, diagnosis: Diagnosis) -> None:
    """A table of what was found, then what to do, then what a run will use."""
    table = Table("status", "what", "found")
    for row in diagnosis.rows:
        mark, colour = MARKS[row.finding.status]
        status = Text(f"{mark} {row.finding.status}", colour, no_wrap=True)
        table.add_row(status, Text(row.check.name, no_wrap=True), Text(row.finding.detail))
    console.print(table)
    remedies = {row.check.name: row.finding.remedy for row in diagnosis.rows if row.finding.remedy}
    for name, remedy in remedies.items():  # below the table, so that a command is on one line, to be copied
        console.print(Text.assemble((f"{name}: ", "bold"), remedy), soft_wrap=True)
    console.print(Text(diagnosis.last_words(), "green" if diagnosis.ok else "red"), soft_wrap=True)
