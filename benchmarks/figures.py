"""What a benchmark reports: medians with their spread, each beside the best that could be, saved as they come."""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table


class BenchmarkInvalid(Exception):
    """What was measured is not what was meant: frames missing, pixels wrong. No figure may come of it."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeats of one figure."""

    unit: str
    median: float
    minimum: float
    maximum: float
    repeats: int

    @classmethod
    def of(cls, samples: Sequence[float], unit: str) -> "Spread":
        """The spread of one sample or more."""
        low, middle, high = (
            float(f"{value:.5g}") for value in (min(samples), statistics.median(samples), max(samples))
        )
        return cls(unit, middle, low, high, len(samples))


@dataclass(frozen=True, slots=True)
class Floor:
    """The best that could be, in the figure's own unit, and what sets it."""

    value: float
    what: str


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    what: str
    figure: Spread
    floor: Floor | None = None
    bottleneck: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    """What else was found; JSON types."""

    @property
    def share(self) -> float | None:
        """The figure over its floor: 1 is as good as can be. None without a floor."""
        return round(self.figure.median / self.floor.value, 4) if self.floor and self.floor.value else None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "share_of_floor": self.share}


class Section:
    """The rows of one part of a benchmark. The results are written again with every row: a kill loses nothing."""

    def __init__(self, name: str, *, results: Path | None = None, limit_s: float = float("inf")) -> None:
        """`results`: the file to which it is added. After `limit_s` seconds `has_time` says no."""
        self.name = name
        self.rows: list[Row] = []
        self.not_measured: dict[str, str] = {}
        self.details: dict[str, Any] = {}
        """Ceilings, criteria and the like, for all rows; JSON types."""
        self._results = results
        self._started_s = time.monotonic()
        self._limit_s = limit_s

    @property
    def left_s(self) -> float:
        """Seconds of the section's time that are left."""
        return self._started_s + self._limit_s - time.monotonic()

    def add(self, row: Row) -> None:
        """Keep a figure."""
        self.rows.append(row)
        share = "" if row.share is None else f", {row.share:.0%} of {row.floor.value:g}" if row.floor else ""
        progress(f"{self.name}: {row.what}: {row.figure.median:g} {row.figure.unit}{share}")
        self.save()

    def skip(self, what: str, reason: str) -> None:
        """Say why something has no figure."""
        self.not_measured[what] = reason
        progress(f"{self.name}: {what} not measured: {reason}")
        self.save()

    def has_time(self, what: str, need_s: float = 0.0) -> bool:
        """Whether `need_s` seconds are left to measure `what`; if not, that is kept as the reason of its absence."""
        if self.left_s > need_s:
            return True
        self.skip(what, f"the section's time limit of {self._limit_s:.0f} s came first")
        return False

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "seconds": round(time.monotonic() - self._started_s, 1),
            "details": self.details,
            "rows": [row.to_json() for row in self.rows],
            "not_measured": self.not_measured,
        }

    def save(self) -> None:
        """Bring the results up to date, if there is a file of them."""
        if self._results is not None:
            update_section(self._results, self.name, self.to_json())


def progress(text: str) -> None:
    """A line on stderr with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def update_section(results: Path, name: str, changes: dict[str, Any]) -> None:
    """Set entries of one section of a results file."""
    values = json.loads(results.read_text(encoding="utf-8"))
    values["sections"].setdefault(name, {}).update(changes)
    write_json(results, values)


def write_json(path: Path, value: object) -> None:
    """Replace a file in one step: who is killed meanwhile leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def table_of(name: str, section: dict[str, Any]) -> Table:
    """A section's JSON for people."""
    table = Table("what", "median", "min..max", "of floor", "floor", "bottleneck", title=name, title_justify="left")
    for row in section.get("rows", ()):
        figure, floor = row["figure"], row["floor"]
        table.add_row(
            row["what"],
            f"{figure['median']:g} {figure['unit']}",
            f"{figure['minimum']:g}..{figure['maximum']:g} ({figure['repeats']})",
            "" if row["share_of_floor"] is None else f"{row['share_of_floor']:.1%}",
            "" if floor is None else f"{floor['value']:g}: {floor['what']}",
            row["bottleneck"] or "",
        )
    for what, reason in section.get("not_measured", {}).items():
        table.add_row(what, "not measured", "", "", escape(reason), "")
    if error := section.get("error"):
        table.add_row("FAILED", "", "", "", escape(error), "")
    return table
