"""Late fusion: one prediction from those of a 2D and of a 3D model, and the single-model baseline to hold it against.

The rules are Ig3D's (Dong et al., 2024): elementwise max and min (signed, so that they move valence up and down), mean,
and a weighted sum; all in float64, as its published files were made. Every rule works on each picture by itself:
shapes must be equal, since a row that is silently spread over a batch gives every picture the first one's answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch

from models.fusion import Rule
from models.fusion import fuse as fuse_tensors
from train.errors import TrainingError
from train.ig3d.metrics import DoubleArray, IntArray, checked

RULES: tuple[Rule, ...] = get_args(Rule)
Metric = Callable[[DoubleArray, Any], float]
"""A figure of predictions and truth; more is better."""

PUBLISHED_WEIGHT = 0.6
"""The 2D model's share in Ig3D's valence-arousal; theirs was chosen on the very pictures that it reports."""
PUBLISHED_CLASS_WEIGHTS = {
    "affectnet emoca": 0.8,
    "affectnet smirk": 0.77,
    "raf-db emoca": 0.65,
    "raf-db smirk": 0.65,
}
"""The 2D model's share in Ig3D's classification, of logits; chosen so as well."""
GRID: tuple[float, ...] = tuple(round(0.01 * step, 2) for step in range(101))
TEMPERATURES = np.exp(np.linspace(np.log(0.05), np.log(20), 241))


@dataclass(frozen=True, slots=True)
class Tuned:
    """A weight chosen on validation pictures."""

    weight: float
    value: float
    """What the metric says of the validation pictures at this weight: too kind for anything but choosing."""
    rows: int

    def to_json(self) -> dict[str, float]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Affine:
    """A straight line for each column: shrinks predictions as far as squared error wants it."""

    slope: DoubleArray  # [D]
    offset: DoubleArray  # [D]

    def __call__(self, found: npt.ArrayLike) -> DoubleArray:
        """Predictions [N, D] recalibrated. Raises TrainingError."""
        values: DoubleArray = checked(found, "predictions", (None, len(self.slope))) * self.slope + self.offset
        return values

    def to_json(self) -> dict[str, list[float]]:
        """Plain JSON types."""
        return {"slope": self.slope.tolist(), "offset": self.offset.tolist()}


def fuse(rule: Rule, first: npt.ArrayLike, second: npt.ArrayLike, weight: float = PUBLISHED_WEIGHT) -> DoubleArray:
    """One prediction [N, D] from the 2D model's and the 3D model's, both [N, D]; `weight` 0..1 is the 2D model's.

    Raises TrainingError, also for shapes that numpy would make equal.
    """
    a = checked(first, "the first predictions", (None, None))
    b = checked(second, "the second predictions", a.shape)
    if not 0 <= weight <= 1:
        raise TrainingError(f"a weight of {weight}, expected 0..1: the first model's share")
    fused: DoubleArray = fuse_tensors(rule, torch.from_numpy(a), torch.from_numpy(b), weight).numpy()
    return fused


def softmax(logits: npt.ArrayLike, temperature: float = 1.0) -> DoubleArray:
    """Probabilities [N, C] of logits [N, C] over a temperature > 0. Raises TrainingError."""
    z = _tempered(logits, temperature)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    probabilities: DoubleArray = e / e.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(logits: npt.ArrayLike, labels: IntArray) -> float:
    """The temperature, 0.05..20, at which validation logits [N, C] say labels [N] best (Guo et al., 2017).

    Raises TrainingError.
    """
    z = checked(logits, "logits", (None, None))
    if np.shape(labels) != (len(z),) or not ((labels >= 0) & (labels < z.shape[1])).all():
        raise TrainingError(f"labels of shape {list(np.shape(labels))}, expected [{len(z)}] of 0..{z.shape[1] - 1}")
    rows = np.arange(len(z))
    losses = [-np.log(np.maximum(softmax(z, t)[rows, labels], 1e-300)).mean() for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def tune_weight(
    first: npt.ArrayLike, second: npt.ArrayLike, truth: npt.NDArray[Any], metric: Metric, grid: Sequence[float] = GRID
) -> Tuned:
    """The weight of the grid that validation predictions [N, D] are best with; the smallest of equals.

    Never give it the pictures that are reported: train.ig3d.predictions.apart refuses them. Raises TrainingError.
    """
    if len(grid) == 0:
        raise TrainingError("a grid of no weights, expected some of 0..1")
    values = [metric(fuse("weighted", first, second, weight), truth) for weight in grid]
    best = int(np.argmax(values))
    if not np.isfinite(values).all():
        raise TrainingError(f"the metric is {values[int(np.argmin(np.isfinite(values)))]}, expected finite numbers")
    return Tuned(float(grid[best]), float(values[best]), len(np.asarray(first)))


def fit_affine(found: npt.ArrayLike, true: npt.ArrayLike) -> Affine:
    """Least squares for each column of validation predictions [N, D] to a truth [N, D]. Raises TrainingError.

    Much of what late fusion gains in squared error is that averaging shrinks: one model, shrunk so, gains it as well.
    A column that does not move becomes the truth's mean.
    """
    a = checked(found, "predictions", (None, None))
    b = checked(true, "the truth", a.shape)
    da, db = a - a.mean(axis=0), b - b.mean(axis=0)
    spread = (da * da).sum(axis=0)
    slope: DoubleArray = np.divide((da * db).sum(axis=0), spread, out=np.zeros_like(spread), where=spread > 1e-14)
    return Affine(slope, b.mean(axis=0) - slope * a.mean(axis=0))


def _tempered(logits: npt.ArrayLike, temperature: float) -> DoubleArray:
    if not 0 < temperature < np.inf:
        raise TrainingError(f"a temperature of {temperature}, expected a finite number above 0")
    scaled: DoubleArray = checked(logits, "logits", (None, None)) / temperature
    return scaled
