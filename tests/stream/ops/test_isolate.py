"""Checks that crash, hang, raise or talk: each costs its own row, and no other."""

import time
from pathlib import Path

import pytest

from stream.ops.check import Check, Finding
from stream.ops.isolate import run_checks

PROBES = """
import ctypes, os, sys, time
from models.errors import EngineError
from stream.ops.check import Finding

def fine():
    return Finding("works", "as it should", facts={"process": os.getpid()})

def sees():
    return Finding("works", os.environ["ANSWER"])

def crashes():
    os.write(2, b"libfancy: cannot go on\\n")
    ctypes.string_at(0)

def aborts():
    os.abort()

def exits():
    os._exit(3)

def raises():
    raise ValueError("no luck with redis://user:hunter2@host/0,\\nreally")

def refuses():
    raise EngineError("rtsp://user:hunter2@host/x: expected something else; do that")

def talks():
    print("{}")
    os.write(1, b"from C\\n")
    return Finding("works", "x" * 100_000)

def hangs():
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_probes.py").write_text(PROBES)
    monkeypatch.syspath_prepend(tmp_path)


def check(name: str, *, lane: str = "one", needed: bool = False, number: int = 0) -> Check:
    return Check(f"{name}{number or ''}", f"made_probes:{name}", lane=lane, needed=needed)


def test_each_failure_is_its_own_row_and_the_rest_are_still_made() -> None:
    names = ["fine", "crashes", "raises", "fine", "aborts", "exits", "refuses", "talks", "missing", "fine"]
    checks = [check(name, number=number) for number, name in enumerate(names)]
    results = run_checks(checks)

    assert [result.check for result in results] == checks
    findings = dict(zip(range(len(names)), (result.finding for result in results), strict=True))
    assert [findings[number].status for number in (0, 3, 7, 9)] == ["works"] * 4
    assert findings[7].detail == "x" * 100_000
    for number in (1, 2, 4, 5, 6, 8):
        assert findings[number].status == "broken", names[number]
        assert "hunter2" not in findings[number].detail
    assert findings[1].detail == "crashed: Segmentation fault; libfancy: cannot go on"
    assert findings[2].detail == "ValueError: no luck with redis://***@host/0, really"
    assert findings[4].detail.startswith("crashed: Aborted")
    assert findings[5].detail == "ended with exit code 3"
    assert findings[6].detail == "rtsp://***@host/x: expected something else; do that"
    assert "AttributeError" in findings[8].detail
    for number in (1, 2, 4, 5, 8):
        assert f"from made_probes import {names[number]};" in findings[number].remedy


def test_a_process_serves_a_lane_until_a_check_ends_it() -> None:
    checks = [check("fine", number=1), check("fine", number=2), check("exits"), check("fine", number=3)]
    results = run_checks([*checks, check("fine", lane="two")])
    first, second, _, third, other = (result.finding.facts.get("process") for result in results)
    assert first == second
    assert len({first, third, other}) == 3


def test_a_check_that_hangs_is_given_up() -> None:
    started_s = time.monotonic()
    hung, fine = run_checks([check("hangs"), check("fine", lane="two")], timeout_s=6)
    assert time.monotonic() - started_s < 60
    assert (hung.finding.status, hung.finding.detail) == ("broken", "no answer within 6 s")
    assert fine.finding.status == "works"


def test_only_what_a_run_needs_blocks_it_by_crashing() -> None:
    needed, spare, fine = run_checks(
        [check("exits", needed=True), check("exits", number=1), check("fine", needed=True)]
    )
    assert [result.finding.blocks for result in (needed, spare, fine)] == [True, False, False]


def test_checks_see_what_they_are_given_and_this_process_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANSWER", raising=False)
    (result,) = run_checks([check("sees")], environment={"ANSWER": "redis://:hunter2@host"})
    assert result.finding == Finding("works", "redis://:hunter2@host")


def test_folders_where_the_user_stands_are_not_taken_for_flamestream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("models", "stream", "json"):
        (tmp_path / "elsewhere" / package).mkdir(parents=True)
        (tmp_path / "elsewhere" / package / "__init__.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path / "elsewhere")
    (result,) = run_checks([check("fine")])
    assert result.finding.status == "works", result.finding.detail
