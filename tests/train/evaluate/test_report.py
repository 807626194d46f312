"""Figures and their targets, as JSON and on the screen."""

import io
import json

import pytest
from rich.console import Console

from train.evaluate.report import Figure, Report, Section, Sense


@pytest.mark.parametrize(
    ("sense", "below", "at", "above"),
    [(">=", False, True, True), (">", False, False, True), ("<=", True, True, False), ("<", True, False, False)],
)
def test_a_target_is_met_on_its_own_side(sense: Sense, below: bool, at: bool, above: bool) -> None:
    met = [Figure("r", value, target=(sense, 0.8)).met for value in (0.7, 0.8, 0.9)]
    assert met == [below, at, above]


def test_nothing_to_judge_is_neither_met_nor_missed() -> None:
    assert Figure("r", None, target=(">=", 0.8), note="still").met is None
    assert Figure("r", 0.1).met is None


def test_a_report_lists_what_is_missed_and_survives_json() -> None:
    figures = [
        Figure("r of jawOpen", 0.5, 1.0, target=(">=", 0.8)),
        Figure("r of eyeBlink", 0.9, 1.0, target=(">=", 0.8)),
        Figure("r of browInnerUp", None, None, target=(">=", 0.8), note="still"),
    ]
    named = {"name": "a", "hash": "b", "basis": "open"}
    report = Report(named, named, [Section("clip man", figures, {"faces": 3})])
    assert report.unmet == ["clip man: r of jawOpen"]
    read = json.loads(json.dumps(report.to_json()))
    assert [figure["met"] for figure in read["sections"][0]["figures"]] == [False, True, None]
    assert read["sections"][0]["details"] == {"faces": 3}
    screen = Console(file=io.StringIO(), width=120)
    screen.print(report.sections[0].table())
    report.show(screen)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "✗" in text
    assert "✓" in text
    assert "1 of 2 targets met" in text
    assert "not met: clip man: r of jawOpen" in text
