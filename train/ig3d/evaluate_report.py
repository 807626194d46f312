"""What an evaluation of prediction files says, as tables for people and as files in a folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.emotion import EMOTIONS
from train.errors import TrainingError
from train.ig3d.bootstrap import Interval
from train.ig3d.evaluation import Evaluation, Judged
from train.ig3d.metrics import AffectAgreement, Agreement
from train.ig3d.predictions import write_predictions
from train.ig3d.tables import FILES, Beside, PaperTable

FIGURES = ("mse", "mae", "rmse", "ccc", "pcc")
TOLD = ("valence ccc", "arousal ccc", "mean ccc", "pooled ccc", "pooled mse", "accuracy")
"""Which figures' intervals are shown; report.json has all."""


def show(console: Console, evaluation: Evaluation) -> None:
    """Print the figures: each dimension's first, then the pooled ones with what inflates them."""
    affects = {judged.role: judged.affect for judged in evaluation.judged if judged.affect is not None}
    if affects:
        console.print(_per_dimension(affects))
        console.print(_pooled(affects))
    if any(judged.classes for judged in evaluation.judged):
        console.print(_classes(evaluation))
    if any(judged.intervals for judged in evaluation.judged):
        console.print(_intervals(evaluation.judged))
    for judged in evaluation.judged:
        if not judged.role.startswith("late"):
            told = f"{judged.role}: {judged.predictions.source}"
            console.print(told, style="dim", highlight=False, markup=False, soft_wrap=True)
    for what, weight in (("valence-arousal", evaluation.weight), ("classes", evaluation.class_weight)):
        there = affects if what != "classes" else any(judged.classes for judged in evaluation.judged)
        if weight is not None and there:
            told = f"2D's weight for {what}: {weight.value:g}, {weight.origin}"
            console.print(told, highlight=False, markup=False, soft_wrap=True)


def show_paper(console: Console, table: PaperTable, cells: Sequence[Beside] | None) -> None:
    """Print a table of the paper; with ours and the difference in each cell where there are any."""
    drawn = _table(f"Table {table.number}: {table.title}", ["", *table.columns, "note"], f"{table.note}.")
    notes = list(dict.fromkeys(row.note for row in table.rows if row.note))
    by_cell = {(cell.row, cell.column): cell for cell in cells or ()}
    for row in table.rows:
        values = [_beside(by_cell.get((row.name, column)), row.cells.get(column)) for column in table.columns]
        note = f"{notes.index(row.note) + 1}" if row.note else ""
        drawn.add_row(row.name, *values, note, style="dim" if row.invalid else "")
    console.print(drawn)
    lines = [f"note {number}: {note}" for number, note in enumerate(notes, 1)]
    if cells is not None and any(cell.ours is not None for cell in cells):
        lines.append("each cell: the paper's, ours, ours minus the paper's")
    else:
        lines.append(f"to compute ours: {table.needs}")
    if table.number in (7, 8):
        lines.append(FILES)
    if any(row.cells.get(column) is None for row in table.rows for column in table.columns):
        lines.append("–: not known here")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def write(out: Path, evaluation: Evaluation, report: Mapping[str, Any]) -> None:
    """Write report.json, the fused predictions and the pictures into a folder. Raises TrainingError."""
    from train.ig3d.plots import plot_affect, plot_confusion

    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    except OSError as error:
        raise TrainingError(f"{out}: cannot be written ({error.strerror}); give another --out") from error
    for judged in evaluation.judged:
        name = judged.role.replace(", ", "_").replace(" ", "_").lower()
        if name.startswith("late_"):
            write_predictions(out / f"{name}.csv", judged.predictions)
        found, true = judged.predictions.found, judged.predictions.true
        if found is not None and true is not None:
            plot_affect(found, true, judged.role, out / f"affect_{name}.png")
        if judged.classes is not None:
            confusion = judged.classes.confusion
            plot_confusion(confusion, EMOTIONS[: len(confusion)], judged.role, out / f"confusion_{name}.png")


def _table(title: str, columns: Sequence[str], caption: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.caption, table.caption_justify = caption, "left"
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _per_dimension(affects: Mapping[str, AffectAgreement]) -> Table:
    rows = next(iter(affects.values())).count
    heads = ["", "of", *(name.upper() for name in FIGURES)]
    table = _table(f"valence and arousal, each by itself, {rows} pictures", heads)
    for role, affect in affects.items():
        for name, told in (("valence", affect.valence), ("arousal", affect.arousal), ("mean", affect.mean)):
            table.add_row(role if name == "valence" else "", name, *_five(told), end_section=name == "mean")
    return table


def _pooled(affects: Mapping[str, AffectAgreement]) -> Table:
    affect = next(iter(affects.values()))
    table = _table("pooled: V and A as one vector", ["", *(name.upper() for name in FIGURES)], _inflation(affect))
    for role, told in affects.items():
        table.add_row(role, *_five(told.pooled))
    table.add_row("the two means", "", "", "", f"{affect.mean_predictor:.4f}", "", style="dim")
    return table


def _inflation(affect: AffectAgreement) -> str:
    """What a pooled figure must not be printed without."""
    as_published = " Its covariance is the sample's, as published." if affect.published else ""
    return (
        "The pooled CCC is inflated: knowing the means of V and A counts as agreement. Saying these two means for "
        f"every picture scores {affect.mean_predictor:.4f} here (about 0.45 on AffectNet), and 0 in each dimension."
        f"{as_published}"
    )


def _classes(evaluation: Evaluation) -> Table:
    heads = [f"{name}\n{kind}" for kind in ("macro", "weighted") for name in ("F1", "precision", "recall")]
    table = _table("classes", ["", "accuracy", *heads])
    for judged in evaluation.judged:
        if judged.classes is not None:
            averages = (judged.classes.macro, judged.classes.weighted)
            values = [value for told in averages for value in (told.f1, told.precision, told.recall)]
            table.add_row(judged.role, *(f"{value:.4f}" for value in (judged.classes.accuracy, *values)))
    return table


def _intervals(judged: Sequence[Judged]) -> Table:
    """Every figure of TOLD with its interval, and its difference to the 2D model's with that one's."""
    any_one = next(iter(judged[0].intervals.values()))
    caption = (
        f"{any_one.confidence:.0%} percentile bootstrap, {any_one.repeats} resamples, the same for every row. "
        "Differences whose interval holds 0 are grey."
    )
    table = _table("intervals", ["", "of", "value", "low", "high", "less 2D", "low", "high"], caption)
    for one in judged:
        shown = [name for name in TOLD if name in one.intervals]
        for name in shown:
            difference = one.differences.get(name)
            style = "" if difference is None or difference.excludes_zero else "dim"
            mine = _three(one.intervals[name])
            less = (Text(text, style) for text in _three(difference, "+"))
            table.add_row(one.role if name == shown[0] else "", name, *mine, *less, end_section=name == shown[-1])
    return table


def _three(interval: Interval | None, sign: str = "") -> list[str]:
    if interval is None:
        return ["", "", ""]
    return [format(value, f"{sign}.4f") for value in (interval.value, interval.low, interval.high)]


def _five(told: Agreement) -> list[str]:
    return [f"{getattr(told, name):.4f}" for name in FIGURES]


def _beside(cell: Beside | None, paper: float | None) -> str:
    known = "–" if paper is None else f"{paper:.4f}"
    if cell is None or cell.ours is None:
        return known
    difference = "" if cell.difference is None else f"\n{cell.difference:+.4f}"
    return f"{known}\n{cell.ours:.4f}{difference}"
