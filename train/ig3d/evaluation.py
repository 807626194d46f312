"""Judges prediction files: each model by itself, their late fusions, and the baseline that fusion has to beat."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models.fusion import Rule
from train.ig3d.bootstrap import (
    Interval,
    Plan,
    bootstrap,
    bootstrap_affect,
    bootstrap_affect_difference,
    bootstrap_difference,
)
from train.ig3d.late import PUBLISHED_CLASS_WEIGHTS, PUBLISHED_WEIGHT, Tuned, fit_affine, fuse, tune_weight
from train.ig3d.metrics import (
    AffectAgreement,
    Classification,
    DoubleArray,
    IntArray,
    affect_agreement,
    classification,
)
from train.ig3d.predictions import Predictions, apart, read_predictions, same_rows
from train.ig3d.tables import POOLED, Beside, PaperTable, beside

TWO_D, THREE_D, FEATURES, RECALIBRATED = "2D", "3D", "feature fusion", "2D recalibrated"
ALONE = "model"
"""The role of a single file, of whichever kind its model is."""
VECTORS: Mapping[str, tuple[str, str]] = {
    "emoca-short": ("EMOCA", "EMOCA short (156)"),
    "emoca-full": ("EMOCA", "EMOCA full (334)"),
    "smirk-short": ("SMIRK", "SMIRK short (353)"),
    "smirk-full": ("SMIRK", "SMIRK full (358)"),
}
"""What the paper calls representations: in the fusions' tables, and in those of 3D alone."""


def rows_of(table: int, vectors: str, *, fused: bool) -> dict[str, str]:
    """Which of the judged goes beside which row of a table, for a 3D model of `vectors`; `fused`: there is a 2D one."""
    encoder, alone = VECTORS[vectors]
    first = TWO_D if fused else ALONE
    late = {rule: f"late, {rule}" for rule in ("max", "min", "mean", "weighted")}
    match table:
        case 2 | 3:
            return {alone: THREE_D if fused else ALONE}
        case 4 | 5:
            named = {f"late, {encoder}, {rule}": role for rule, role in late.items() if rule != "min"}
            return {"DDAMFN": first, f"intermediate, {encoder}": FEATURES} | named
        case 6:
            return {"Ours": late["weighted"]}
        case 7:
            alone_rows = {"CAGE (reproduced)": first, "EMOCA regressor": THREE_D, "feature fusion": FEATURES}
            return alone_rows | {role: role for role in late.values()}
        case _:
            return {"Ours": late["weighted"], "CAGE": first}


@dataclass(frozen=True, slots=True)
class Request:
    """What to judge, and how."""

    files: Sequence[Path]
    """The 2D model's predictions, then the 3D model's if there are any."""
    rules: Sequence[Rule]
    weight: float | None = None
    tune: tuple[Path, Path] | None = None
    """Predictions of both models for validation pictures."""
    published: bool = False
    """Pooled figures digit for digit as Ig3D and CAGE compute them."""
    midfusion: Path | None = None
    plan: Plan | None = None
    """None: no intervals."""


@dataclass(frozen=True, slots=True)
class Weight:
    """The 2D model's share, and where it comes from."""

    value: float
    origin: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A predictor and its figures."""

    role: str
    predictions: Predictions
    affect: AffectAgreement | None
    """None of sets without valence-arousal."""
    classes: Classification | None
    intervals: Mapping[str, Interval]
    differences: Mapping[str, Interval]
    """To the 2D model, on the same resamples."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "role": self.role,
            "source": self.predictions.source,
            "affect": None if self.affect is None else self.affect.to_json(),
            "classes": None if self.classes is None else self.classes.to_json(),
            "intervals": {name: interval.to_json() for name, interval in self.intervals.items()},
            "differences": {name: interval.to_json() for name, interval in self.differences.items()},
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was judged, the 2D model first."""

    judged: Sequence[Judged]
    weight: Weight | None
    """None: nothing was fused."""
    class_weight: Weight | None
    published: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        weights = {"weight": self.weight, "class_weight": self.class_weight}
        return {
            "rows": len(self.judged[0].predictions),
            "published": self.published,
            **{name: None if w is None else {"value": w.value, "origin": w.origin} for name, w in weights.items()},
            "judged": [judged.to_json() for judged in self.judged],
        }

    def beside(self, table: PaperTable, vectors: str) -> list[Beside]:
        """The paper's cells with ours, where these files can fill any. Raises TrainingError."""
        by_role = {judged.role: judged for judged in self.judged}
        rows = rows_of(table.number, vectors, fused=THREE_D in by_role)
        there = {row.name for row in table.rows}
        ours = {row: _cells(by_role[role]) for row, role in rows.items() if role in by_role and row in there}
        return beside(table, ours)


def evaluate(request: Request) -> Evaluation:
    """Read the files, fuse them, judge everything. Raises TrainingError."""
    first, *others = [read_predictions(path) for path in request.files]
    roles = {TWO_D if others else ALONE: first} | dict(zip([THREE_D], others, strict=False))
    if request.midfusion is not None:
        roles[FEATURES] = read_predictions(request.midfusion)
    for predictions in list(roles.values())[1:]:
        same_rows(first, predictions)
    weight = class_weight = None
    if others:
        validation = _validation(request, roles)
        weight, class_weight = _weights(request, validation, has_classes=first.probabilities is not None)
        if validation is not None:
            told = validation[0]
            if told.found is not None and told.true is not None and first.found is not None:
                line = fit_affine(told.found, told.true)
                roles[RECALIBRATED] = replace(first, source=f"{first.source}, a line of it", found=line(first.found))
        roles |= {f"late, {rule}": fused(rule, first, others[0], weight, class_weight) for rule in request.rules}
    judged = [_judge(role, predictions, first, request) for role, predictions in roles.items()]
    return Evaluation(judged, weight, class_weight, request.published)


def fused(rule: Rule, first: Predictions, second: Predictions, weight: Weight, class_weight: Weight) -> Predictions:
    """Late fusion of two models' predictions of the same pictures. Raises TrainingError."""
    probabilities = None
    if first.probabilities is not None and second.probabilities is not None:
        scores = fuse(rule, first.probabilities, second.probabilities, class_weight.value)
        probabilities = scores / scores.sum(axis=1, keepdims=True)
    found = None
    if first.found is not None and second.found is not None:
        found = fuse(rule, first.found, second.found, weight.value)
    source = f"{first.source} and {second.source}, {rule}"
    return replace(first, source=source, found=found, probabilities=probabilities)


def mean_ccc(found: DoubleArray, true: DoubleArray) -> float:
    """The mean of valence's and arousal's CCC: what weights are tuned for."""
    return affect_agreement(found, true).mean.ccc


def accuracy(found: DoubleArray, labels: IntArray) -> float:
    """The share of pictures whose likeliest class [N, C] is the true one [N]."""
    return float((found.argmax(axis=1) == labels).mean())


def _validation(request: Request, roles: Mapping[str, Predictions]) -> tuple[Predictions, Predictions] | None:
    """Both models' validation predictions, which share no picture with the reported ones."""
    if request.tune is None:
        return None
    first, second = (read_predictions(path) for path in request.tune)
    same_rows(first, second)
    apart(first, roles[TWO_D])
    apart(second, roles[THREE_D])
    return first, second


def _weights(
    request: Request, validation: tuple[Predictions, Predictions] | None, *, has_classes: bool
) -> tuple[Weight, Weight]:
    """The shares for valence-arousal and for classes."""
    if request.weight is not None:
        given = Weight(request.weight, "given")
        return given, given
    theirs = "Ig3D's, chosen there on the pictures that it reports"
    affect = Weight(PUBLISHED_WEIGHT, theirs)
    classes = Weight(PUBLISHED_CLASS_WEIGHTS["affectnet emoca"], f"{theirs}, for AffectNet with EMOCA")
    if validation is not None:
        first, second = validation
        if first.found is not None and second.found is not None and first.true is not None:
            affect = _tuned(tune_weight(first.found, second.found, first.true, mean_ccc), "mean CCC")
        if first.probabilities is not None and second.probabilities is not None and first.labels is not None:
            chances = first.probabilities, second.probabilities
            classes = _tuned(tune_weight(*chances, first.labels, accuracy), "accuracy")
    return affect, classes if has_classes else affect


def _tuned(tuned: Tuned, metric: str) -> Weight:
    return Weight(tuned.weight, f"tuned for {metric} on {tuned.rows} validation pictures")


def _judge(role: str, predictions: Predictions, first: Predictions, request: Request) -> Judged:
    """The figures of a predictor; differences to the 2D model's for all but itself."""
    found, true, published = predictions.found, first.true, request.published
    classes, intervals, differences = _judge_classes(role, predictions, first, request.plan)
    if found is None or true is None or first.found is None:
        return Judged(role, predictions, None, classes, intervals, differences)
    affect = affect_agreement(found, true, published=published)
    if request.plan is not None:
        intervals |= bootstrap_affect(found, true, request.plan, published=published)
        if predictions is not first:
            differences |= bootstrap_affect_difference(found, first.found, true, request.plan, published=published)
    return Judged(role, predictions, affect, classes, intervals, differences)


def _judge_classes(
    role: str, predictions: Predictions, first: Predictions, plan: Plan | None
) -> tuple[Classification | None, dict[str, Interval], dict[str, Interval]]:
    """The classification figures, if the files hold classes, with the accuracy's interval and difference."""
    chances, labels, theirs = predictions.probabilities, first.labels, first.probabilities
    intervals: dict[str, Interval] = {}
    differences: dict[str, Interval] = {}
    if chances is None or labels is None:
        return None, intervals, differences
    if plan is not None:
        intervals["accuracy"] = bootstrap(accuracy, chances, labels, plan)
        if predictions is not first and theirs is not None:
            differences["accuracy"] = bootstrap_difference(accuracy, chances, theirs, labels, plan)
    return classification(chances.argmax(axis=1), labels, chances.shape[1]), intervals, differences


def _cells(judged: Judged) -> dict[str, float]:
    """Figures by the columns of the paper's tables; its averages over classes are weighted."""
    cells: dict[str, float] = {}
    if judged.classes is not None:
        cells = {"accuracy": judged.classes.accuracy} | asdict(judged.classes.weighted)
    affect = judged.affect
    if affect is None:
        return cells
    parts = {"valence": affect.valence, "arousal": affect.arousal}
    split = {f"{name} {part}": getattr(told, name) for part, told in parts.items() for name in ("rmse", "ccc")}
    return cells | {name: getattr(affect.pooled, name) for name in POOLED} | split
