"""Predictions for pictures, one a row, in CSV files; the layout of Ig3D's published ones (its models/VA/infer_csv).

Columns val_pred, val_true, aro_pred, aro_true; where there are classes exp_true (AffectNet's labels) and a probability
for each (p_neutral .. p_anger, p_contempt). The first four are missing where a set tells classes only, as RAF-DB does.
Any others, such as `number` or `image`, are kept as they are.
Such files hold a data set's labels: theirs are AffectNet's, which may not be passed on.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.emotion import EMOTIONS
from train.errors import TrainingError
from train.ig3d.metrics import DoubleArray, IntArray

FOUND, TRUE = ("val_pred", "aro_pred"), ("val_true", "aro_true")
REQUIRED = ("val_pred", "val_true", "aro_pred", "aro_true")
NAMES = ("number", "image")
LABEL = "exp_true"
PROBABILITY = tuple(f"p_{name}" for name in EMOTIONS)
TOLERANCE = 1e-3
"""How far probabilities of one picture may add up to something else than 1: they may have been rounded."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one model says of N >= 1 pictures, and what is true."""

    source: str
    """Where it is from, for messages."""
    found: DoubleArray | None  # [N, 2] valence, arousal; about -1..1, not clipped; None of sets without them
    true: DoubleArray | None  # [N, 2] valence, arousal, -1..1; None with `found`
    labels: IntArray | None = None  # [N] AffectNet's classes
    probabilities: DoubleArray | None = None  # [N, C] of the first C = 7 or 8 of EMOTIONS
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Other columns as they stand in the file, each [N]."""

    def __post_init__(self) -> None:
        """Raises ValueError when there is nothing to judge."""
        if (self.found is None) != (self.true is None) or (self.true is None and self.labels is None):
            raise ValueError(f"{self.source}: neither valence-arousal nor classes with their truth")

    def __len__(self) -> int:
        told = self.labels if self.true is None else self.true
        assert told is not None
        return len(told)

    @property
    def names(self) -> Sequence[str] | None:
        """What each row's picture is called, if the file says so."""
        return next((self.extra[name] for name in NAMES if name in self.extra), None)


def read_predictions(path: Path) -> Predictions:
    """The predictions of a CSV file. Raises TrainingError that names the file, the line and what was expected."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            header = _header(path, next(rows, []))
            lines, table = zip(*_lines(path, rows, len(header)), strict=True)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror}); expected a CSV of predictions") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path}: no CSV in UTF-8 ({error}); expected columns {', '.join(REQUIRED)}") from error
    columns = dict(zip(header, zip(*table, strict=True), strict=True))
    place = _Places(path, lines)
    numbers = {name: place.numbers(name, columns.pop(name)) for name in REQUIRED if name in columns}
    for name in TRUE if numbers else ():
        place.refuse(name, np.abs(numbers[name]) > 1, numbers[name], "-1..1: drop the rows that have no label")
    labels = place.labels(columns.pop(LABEL)) if LABEL in columns else None
    probabilities = place.probabilities({name: columns.pop(name) for name in PROBABILITY if name in columns})
    if not numbers:
        return Predictions(str(path), None, None, labels, probabilities, columns)
    found, true = (np.stack([numbers[name] for name in names], axis=1) for names in (FOUND, TRUE))
    return Predictions(str(path), found, true, labels, probabilities, columns)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a CSV that reads back to the same numbers, bit for bit. Raises TrainingError."""
    columns: dict[str, Sequence[str]] = {}
    for name in REQUIRED:
        values = predictions.found if name in FOUND else predictions.true
        if values is None:
            continue
        columns[name] = [repr(value) for value in values[:, name.startswith("aro") * 1].tolist()]
    if predictions.labels is not None:
        columns[LABEL] = [str(label) for label in predictions.labels.tolist()]
    if predictions.probabilities is not None:
        for name, values in zip(PROBABILITY, predictions.probabilities.T, strict=False):
            columns[name] = [repr(value) for value in values.tolist()]
    columns |= predictions.extra
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written ({error.strerror}); give another folder") from error


def same_rows(first: Predictions, second: Predictions) -> None:
    """Refuse two models' predictions that are not of the same pictures in the same order. Raises TrainingError."""
    who = f"{second.source} does not go with {first.source}"
    if len(first) != len(second):
        raise TrainingError(f"{who}: {len(second)} rows, expected {len(first)} of the same pictures")
    if (first.true is None) != (second.true is None):
        raise TrainingError(f"{who}: one has valence-arousal and the other has not; predict both anew")
    if (
        first.true is not None
        and second.true is not None
        and (differs := (first.true != second.true).any(axis=1)).any()
    ):
        row = int(differs.argmax())
        came, expected = second.true[row].tolist(), first.true[row].tolist()
        raise TrainingError(f"{who}: row {row + 1} has the truth {came}, expected {expected}")
    pairs = [
        (name, first.extra[name], second.extra[name]) for name in NAMES if name in {*first.extra} & {*second.extra}
    ]
    if first.labels is not None and second.labels is not None:
        pairs.append((LABEL, [str(n) for n in first.labels.tolist()], [str(n) for n in second.labels.tolist()]))
    for name, mine, theirs in pairs:
        for row, (expected, came) in enumerate(zip(mine, theirs, strict=True), 1):
            if came != expected:
                raise TrainingError(f"{who}: row {row} has {name} {came}, expected {expected}")


def apart(tuning: Predictions, reported: Predictions) -> None:
    """Refuse to tune on pictures that are reported. Raises TrainingError.

    They are known by rows of the same prediction and truth to the last digit, or by the same truth altogether. Names
    do not tell: AffectNet numbers the pictures of its training set and of its validation set from the same start.
    """
    shared = len(_rows(*_told(tuning)) & _rows(*_told(reported)))
    if tuning.true is not None and reported.true is not None and len(tuning) == len(reported):
        shared = len(tuning) if _rows(tuning.true) == _rows(reported.true) else shared
    if shared:
        raise TrainingError(
            f"{tuning.source} shares {shared} rows with {reported.source}, expected a validation split of other "
            "pictures: what is tuned on the reported ones says nothing"
        )


def _told(predictions: Predictions) -> list[DoubleArray]:
    """What a row is known by: prediction and truth."""
    if predictions.found is not None and predictions.true is not None:
        return [predictions.found, predictions.true]
    assert predictions.labels is not None
    chances = predictions.probabilities
    return [predictions.labels[:, None].astype(np.float64), *([] if chances is None else [chances])]


def _rows(*columns: DoubleArray) -> set[bytes]:
    return {row.tobytes() for row in np.concatenate(columns, axis=1)}


def _header(path: Path, header: list[str]) -> list[str]:
    missing = [name for name in REQUIRED if name not in header]
    classes_only = len(missing) == len(REQUIRED) and {LABEL, *PROBABILITY[:7]} <= set(header)
    if missing and not classes_only:
        raise TrainingError(
            f"{path}:1: no column {missing[0]} among {', '.join(header) or 'none'}; expected {', '.join(REQUIRED)}"
        )
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise TrainingError(f"{path}:1: column {twice[0]!r} is there {header.count(twice[0])} times, expected once")
    there = [name for name in PROBABILITY if name in header]
    if there and there != list(PROBABILITY[: max(7, len(there))]):
        absent = next(name for name in PROBABILITY if name not in header)
        raise TrainingError(f"{path}:1: no column {absent}; expected the first 7 or all 8 of {', '.join(PROBABILITY)}")
    return header


def _lines(path: Path, rows: Iterator[list[str]], width: int) -> Iterator[tuple[int, list[str]]]:
    """The rows with their lines' numbers; at least one."""
    line = 1
    for line, row in enumerate(rows, 2):
        if len(row) != width:
            raise TrainingError(f"{path}:{line}: {len(row)} fields, expected {width} as in the header")
        yield line, row
    if line == 1:
        raise TrainingError(f"{path}: no rows, expected one for each picture")


@dataclass(frozen=True, slots=True)
class _Places:
    """Reads columns, and knows which line a value is on."""

    path: Path
    lines: Sequence[int]

    def numbers(self, name: str, texts: Sequence[str]) -> DoubleArray:
        values = np.empty(len(texts))
        for row, text in enumerate(texts):
            try:
                values[row] = float(text)
            except ValueError:
                values[row] = math.nan
            if not math.isfinite(values[row]) or "_" in text:  # float() takes 1_0 for 10
                raise TrainingError(f"{self.path}:{self.lines[row]}: {name} is {text!r}, expected a finite number")
        return values

    def labels(self, texts: Sequence[str]) -> IntArray:
        values = self.numbers(LABEL, texts)
        wrong = (values != np.floor(values)) | (values < 0) | (values >= len(EMOTIONS))
        self.refuse(LABEL, wrong, values, f"a whole number from 0 to {len(EMOTIONS) - 1}")
        return values.astype(np.int64)

    def probabilities(self, columns: Mapping[str, Sequence[str]]) -> DoubleArray | None:
        if not columns:
            return None
        values = np.stack([self.numbers(name, texts) for name, texts in columns.items()], axis=1)
        for name, column in zip(columns, values.T, strict=True):
            self.refuse(name, (column < 0) | (column > 1), column, "0..1: probabilities, no logits")
        total = values.sum(axis=1)
        self.refuse("the sum of p_*", np.abs(total - 1) > TOLERANCE, total, "1")
        return values

    def refuse(self, name: str, wrong: np.ndarray, values: DoubleArray, expected: str) -> None:
        if wrong.any():
            row = int(wrong.argmax())
            raise TrainingError(f"{self.path}:{self.lines[row]}: {name} is {values[row]:g}, expected {expected}")
