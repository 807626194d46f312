"""Everything that decides how fast flamestream is on a GPU, each figure beside the best that could be.

python -m benchmarks.gpu                                  all sections, within 8 minutes
python -m benchmarks.gpu --sections decode,engines        some of them
python -m benchmarks.gpu --device cpu --quick             on a machine without a GPU: shows that it runs, not how fast
python -m benchmarks.gpu find-max-streams --fps 30 --p95 150ms --seconds 20

Each section runs in a process of its own, so that one that fails or hangs does not take the others along. The results
are in one JSON file (--out) that is written again with every figure. The exit code is 1 when a section failed.
What is fetched or made on the way stays in the cache (FLAMESTREAM_CACHE), so that a machine without a network can be
given it; `--sections none` only prepares that.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.figures import Section, progress, table_of, update_section, write_json
from benchmarks.machine import describe_machine
from benchmarks.sections import SECTIONS, Options, prepare
from models.device import open_device

REPOSITORY = Path(__file__).parents[1]
SHARES = {"build": 30, "decode": 8, "crops": 8, "engines": 20, "end_to_end": 14, "max_streams": 16, "trace": 4}
"""Of the time limit, for each section; what one leaves goes to those after it."""
GRACE_S = 30.0
"""How long after its time limit a section is killed: measurements under way are finished."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the sections, prints their tables; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        options = _options(chosen)
        sections = _sections(chosen)
    except ValueError as error:
        parser.error(str(error))
    out = chosen.out or _default_out(options)
    if chosen.only_section:
        section = Section(chosen.only_section, results=out, limit_s=chosen.limit_s)
        SECTIONS[section.name](section, options)
        section.save()
        return 0
    started_s = time.monotonic()
    results = {
        "benchmark": "gpu",
        "command": ["python", "-m", "benchmarks.gpu", *arguments],
        "options": options.to_json(),
        "machine": describe_machine(options.device),
        "sections": {},
    }
    write_json(out, results)
    prepare(options)
    for number, name in enumerate(sections):
        left_s = chosen.limit_s - (time.monotonic() - started_s)
        limit_s = left_s * SHARES[name] / sum(SHARES[other] for other in sections[number:])
        update_section(out, name, _run_apart(arguments, name, out, limit_s))
    return _show(out)


def _run_apart(arguments: list[str], name: str, out: Path, limit_s: float) -> dict[str, object]:
    """Runs a section in a process of its own, which adds its figures to `out`; its status, for the results."""
    if limit_s <= 0:
        return {"status": "not run", "error": "the time limit of the whole benchmark came first"}
    progress(f"{name}: at most {limit_s:.0f} s")
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments, "--only-section", name, "--out", str(out.absolute())]
    process = subprocess.Popen(
        [*command, "--limit-s", f"{limit_s:.0f}"],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # so that it can be killed with everything it started
    )
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit_s + GRACE_S, kill)
    timer.start()
    last: deque[str] = deque(maxlen=20)
    assert process.stderr is not None  # it was given a pipe
    try:
        for line in process.stderr:
            sys.stderr.write(line)
            if line.strip():
                last.append(line.strip())
        code = process.wait()
    except BaseException:
        kill()
        raise
    finally:
        timer.cancel()
        process.stderr.close()
    if code == 0:
        return {"status": "ok"}
    why = f"killed {GRACE_S:.0f} s after its time limit of {limit_s:.0f} s" if killed.is_set() else f"exit code {code}"
    return {"status": "failed", "error": f"{why}: {last[-1] if last else 'it said nothing'}", "last_lines": list(last)}


def _show(out: Path) -> int:
    """Prints the tables of a results file; the exit code."""
    results = json.loads(out.read_text(encoding="utf-8"))
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 180)
    for name, section in results["sections"].items():
        console.print(table_of(name, section))
    failed = [name for name, section in results["sections"].items() if section["status"] != "ok"]
    progress(f"results: {out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _default_out(options: Options) -> Path:
    name = "cpu" if options.device.type == "cpu" else torch.cuda.get_device_name(options.device)
    short = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return REPOSITORY / "benchmarks" / "results" / f"gpu-{short}{'-quick' if options.quick else ''}.json"


def _options(chosen: argparse.Namespace) -> Options:
    """Raises ValueError for what cannot be."""
    alone = chosen.command == "find-max-streams"
    face_models = tuple(chosen.face_models.split(","))
    if not set(face_models) <= {"mediapipe", "smirk"}:
        raise ValueError(f"--face-models {chosen.face_models}: expected mediapipe, smirk or both, with a comma")
    return Options(
        device=open_device(chosen.device),
        quick=chosen.quick,
        engine=chosen.engine,
        precision=chosen.precision,
        ingest=chosen.ingest,
        face_models=face_models,
        runtimes=tuple(chosen.engines.split(",")) if chosen.engines else None,
        repeats=chosen.repeats or (2 if chosen.quick else 3),
        fps=chosen.fps or (5.0 if chosen.quick else 30.0),
        p95_ms=_milliseconds(chosen.p95),
        seconds=chosen.seconds or (3.0 if chosen.quick else 20.0 if alone else 8.0),
        first=chosen.first or (1 if chosen.quick else 16),
        most=chosen.most or (2 if chosen.quick else 512),
    )


def _sections(chosen: argparse.Namespace) -> list[str]:
    """Raises ValueError for a section that there is not."""
    if chosen.command == "find-max-streams":
        return ["max_streams"]
    if chosen.sections == "none":
        return []
    names = chosen.sections.split(",") if chosen.sections else list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise ValueError(f"--sections {','.join(unknown)}: expected some of {','.join(SECTIONS)}, or none")
    return names


def _milliseconds(text: str) -> float:
    """`150ms`, `0.15s` or `150`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)?", text)
    if found is None:
        raise ValueError(f"--p95 {text}: expected a time such as 150ms or 0.15s")
    return float(found[1]) * (1000 if found[2] == "s" else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("command", nargs="?", choices=("all", "find-max-streams"), default="all")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    add("--sections", help=f"some of {','.join(SECTIONS)}; or none, to fill the cache only")
    add("--quick", action="store_true", help="tiny measurements: shows that everything runs, not how fast")
    add("--engine", default="auto", help="of whole runs")
    add("--precision", default="auto", help="of whole runs")
    add("--ingest", default="auto", help="of whole runs")
    add("--face-models", default="mediapipe,smirk", help="of whole runs; smirk has random weights")
    add("--engines", help="of the section engines, only these: torch,inductor and so on")
    add("--repeats", type=int, help="of every figure")
    add("--fps", type=float, help="of each camera (30)")
    add("--p95", default="150ms", help="longest time to publication, 95th percentile")
    add("--seconds", type=float, help="of each trial with cameras, after its warm-up (8; 20 in find-max-streams)")
    add("--first", type=int, help="number of cameras that is tried first (16)")
    add("--most", type=int, help="most cameras that are tried (512)")
    add("--limit-s", type=float, default=450.0, help="for everything together, seconds (450)")
    add("--out", type=Path, help="the JSON file (benchmarks/results/gpu-NAME.json)")
    add("--only-section", choices=tuple(SECTIONS), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
