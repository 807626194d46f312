"""Percentile bootstrap: how sure a figure of paired samples is, and a difference of two predictors (Efron, 1979).

A resample is how often each row is drawn. Figures of valence-arousal come from sums over rows, so that a block of
resamples is one matrix product; any other figure is computed resample after resample.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.errors import TrainingError
from train.ig3d.metrics import DoubleArray, IntArray, affect_agreement, paired_affect

Metric = Callable[[Any, Any], float]
"""A figure of predictions [N, ...] and truth [N, ...]."""

BLOCK = 1 << 21
"""Counts that are held at once: 16 MB."""
STILL = 1e-14
"""Variance below which something does not move: rounding alone."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure of all rows, and where the middle of its resamples lies."""

    value: float
    low: float
    high: float
    confidence: float
    repeats: int

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference has a sign that the interval does not doubt."""
        return self.low > 0 or self.high < 0

    def to_json(self) -> dict[str, float]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to draw: the same seed draws the same rows, so that predictors are compared on the same resamples."""

    repeats: int = 2000
    seed: int = 0
    confidence: float = 0.95
    groups: npt.NDArray[Any] | None = None
    """[N] which clip or person each row is of; whole groups are drawn then. None: rows are drawn."""

    def counts(self, rows: int) -> Iterator[IntArray]:
        """How often each row is drawn, resamples in blocks [B, N]. Raises TrainingError."""
        if self.repeats < 1 or not 0 < self.confidence < 1:
            raise TrainingError(
                f"a bootstrap of {self.repeats} resamples at {self.confidence}, expected 1 or more, between 0 and 1"
            )
        group = np.arange(rows)
        if self.groups is not None:
            if np.shape(self.groups) != (rows,):
                raise TrainingError(f"groups of shape {list(np.shape(self.groups))}, expected [{rows}]: one a row")
            group = np.unique(self.groups, return_inverse=True)[1]
        random, units = np.random.default_rng(self.seed), int(group.max()) + 1
        block = max(1, BLOCK // rows)
        for start in range(0, self.repeats, block):
            size = min(block, self.repeats - start)
            drawn = random.integers(units, size=(size, units)) + units * np.arange(size)[:, None]
            yield np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)[:, group]

    def interval(self, value: float, draws: DoubleArray) -> Interval:
        """The interval that the resamples' figures [R] give."""
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(draws, [tail, 1 - tail])
        return Interval(value, float(low), float(high), self.confidence, self.repeats)


def bootstrap(metric: Metric, found: npt.ArrayLike, true: npt.ArrayLike, plan: Plan) -> Interval:
    """Interval of any figure of predictions [N, ...] and truth [N, ...]. Raises TrainingError."""
    a, b = _same_length(found, true)
    draws = [metric(a[rows], b[rows]) for rows in _rows(plan, len(b))]
    return plan.interval(metric(a, b), np.array(draws))


def bootstrap_difference(
    metric: Metric, first: npt.ArrayLike, second: npt.ArrayLike, true: npt.ArrayLike, plan: Plan
) -> Interval:
    """Interval of the first predictor's figure minus the second's, on the same resamples. Raises TrainingError."""
    a, b = _same_length(first, true)
    other, _ = _same_length(second, true)
    draws = [metric(a[rows], b[rows]) - metric(other[rows], b[rows]) for rows in _rows(plan, len(b))]
    return plan.interval(metric(a, b) - metric(other, b), np.array(draws))


def bootstrap_affect(
    found: npt.ArrayLike, true: npt.ArrayLike, plan: Plan, *, published: bool = False
) -> dict[str, Interval]:
    """Intervals by "valence ccc", "mean mse", "pooled rmse" and so on, of predictions and truth [N, 2]."""
    values, draws = _affect_draws(found, true, plan, published)
    return {name: plan.interval(values[name], draws[name]) for name in values}


def bootstrap_affect_difference(
    first: npt.ArrayLike, second: npt.ArrayLike, true: npt.ArrayLike, plan: Plan, *, published: bool = False
) -> dict[str, Interval]:
    """The same of the first predictor's figures minus the second's, on the same resamples. Raises TrainingError."""
    values, draws = _affect_draws(first, true, plan, published)
    others, other_draws = _affect_draws(second, true, plan, published)
    return {name: plan.interval(values[name] - others[name], draws[name] - other_draws[name]) for name in values}


def _affect_draws(
    found: npt.ArrayLike, true: npt.ArrayLike, plan: Plan, published: bool
) -> tuple[dict[str, float], dict[str, DoubleArray]]:
    """The figures of all rows, and of every resample [R]."""
    a, b = paired_affect(found, true)
    whole = affect_agreement(a, b, published=published).to_json()
    centre = b.mean()  # near the values, so that sums of squares lose no digits; no figure depends on it
    sums = [_sums(a[:, i] - centre, b[:, i] - centre) for i in (0, 1)]
    products = [counts.astype(np.float64) @ np.concatenate(sums, axis=1) for counts in plan.counts(len(b))]
    valence, arousal = np.split(np.concatenate(products), 2, axis=1)
    parts = {
        "valence": _figures(valence, published),
        "arousal": _figures(arousal, published),
        "pooled": _figures(valence + arousal, published),
    }
    parts["mean"] = {name: (parts["valence"][name] + parts["arousal"][name]) / 2 for name in parts["valence"]}
    draws = {f"{part} {name}": figures for part, named in parts.items() for name, figures in named.items()}
    return {name: float(whole[name.split()[0]][name.split()[1]]) for name in draws}, draws


def _sums(a: DoubleArray, b: DoubleArray) -> DoubleArray:
    """What a row [N] adds to the sums that figures are made of: [N, 8]."""
    apart = a - b
    return np.stack([np.ones_like(a), a, b, a * a, b * b, a * b, apart * apart, np.abs(apart)], axis=1)


def _figures(sums: DoubleArray, published: bool) -> dict[str, DoubleArray]:
    """The figures [R] of sums [R, 8]."""
    n = sums[:, 0]
    ma, mb, aa, bb, ab, mse, mae = (sums[:, 1:] / n[:, None]).T
    va, vb, together = aa - ma * ma, bb - mb * mb, ab - ma * mb
    moves = (va > STILL) & (vb > STILL)
    spread = np.sqrt(np.maximum(va, 0) * np.maximum(vb, 0))
    pcc = np.divide(together, spread, out=np.zeros_like(n), where=moves)
    ccc = np.divide(2 * together, va + vb + (ma - mb) ** 2, out=np.zeros_like(n), where=moves)
    if published:
        ccc = ccc * n / np.maximum(n - 1, 1)
    return {"mse": mse, "mae": mae, "rmse": np.sqrt(mse), "ccc": ccc, "pcc": np.clip(pcc, -1, 1)}


def _rows(plan: Plan, rows: int) -> Iterator[IntArray]:
    for block in plan.counts(rows):
        for counts in block:
            yield np.repeat(np.arange(rows), counts)


def _same_length(found: npt.ArrayLike, true: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    a, b = np.asarray(found), np.asarray(true)
    if a.ndim < 1 or b.ndim < 1 or len(a) != len(b) or len(a) == 0:
        raise TrainingError(f"predictions of shape {list(a.shape)}, expected as many as the truth {list(b.shape)} has")
    return a, b
