"""What an evaluation says: figures with their targets, in sections; as tables for people and as JSON."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from rich import box
from rich.console import Console
from rich.table import Table

from models.face_model import FaceModel

Sense = Literal[">=", "<=", ">", "<"]
_HOLDS: dict[Sense, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_MARKS = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}

Item = TypeVar("Item")


class Track(Protocol):
    """Shows how far a loop has come."""

    def __call__(self, items: Iterable[Item], what: str, total: int | None = None) -> Iterable[Item]:
        """The items themselves, one after another."""
        ...


def untracked(items: Iterable[Item], what: str, total: int | None = None) -> Iterable[Item]:
    """The items; shows nothing."""
    return items


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, of the model and of the blendshape default beside it."""

    what: str
    model: float | None
    """None where there is nothing to judge; `note` says why."""
    baseline: float | None = None
    unit: str = ""
    target: tuple[Sense, float] | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the model meets the target; None without one, or when there is nothing to judge."""
        if self.target is None or self.model is None:
            return None
        sense, limit = self.target
        return _HOLDS[sense](self.model, limit)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        target = None if self.target is None else f"{self.target[0]} {self.target[1]:.6g}"
        values = {"model": _rounded(self.model), "baseline": _rounded(self.baseline)}
        return {"what": self.what, **values, "unit": self.unit, "target": target, "met": self.met, "note": self.note}


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that belong together."""

    name: str
    figures: Sequence[Figure]
    details: Mapping[str, Any] = field(default_factory=dict)
    """More than a table should hold; JSON types."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "name": self.name,
            "figures": [figure.to_json() for figure in self.figures],
            "details": dict(self.details),
        }

    def table(self) -> Table:
        """The figures, a row each."""
        table = Table(title=self.name, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("what")
        for heading in ("model", "blendshapes", "target"):
            table.add_column(heading, justify="right")
        table.add_column("")
        table.add_column("note", style="dim")
        for figure in self.figures:
            target = "" if figure.target is None else f"{figure.target[0]} {figure.target[1]:.3g}"
            values = (_shown(value, figure.unit) for value in (figure.model, figure.baseline))
            table.add_row(figure.what, *values, target, _MARKS[figure.met], figure.note)
        return table


@dataclass(frozen=True, slots=True)
class Report:
    """A whole evaluation."""

    model: Mapping[str, str]
    """Which model: its name, hash and basis."""
    baseline: Mapping[str, str]
    sections: list[Section] = field(default_factory=list)

    @classmethod
    def of(cls, model: FaceModel, baseline: FaceModel) -> "Report":
        """A report on a model, without any section yet."""
        return cls(_named(model), _named(baseline))

    @property
    def unmet(self) -> list[str]:
        """The targets that are missed, by section and figure."""
        return [
            f"{section.name}: {figure.what}"
            for section in self.sections
            for figure in section.figures
            if figure.met is False
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "model": dict(self.model),
            "baseline": dict(self.baseline),
            "sections": [section.to_json() for section in self.sections],
            "unmet": self.unmet,
        }

    def show(self, console: Console) -> None:
        """Print how many targets are met, and which are not."""
        judged = [figure for section in self.sections for figure in section.figures if figure.met is not None]
        console.print(f"{len(judged) - len(self.unmet)} of {len(judged)} targets met", highlight=False)
        for missed in self.unmet:
            console.print(f"  not met: {missed}", highlight=False, markup=False)


def _named(model: FaceModel) -> dict[str, str]:
    return {"name": model.name, "hash": model.model_hash, "basis": model.basis}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _shown(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.3g} {unit}".rstrip()
