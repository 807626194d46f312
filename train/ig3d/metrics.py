"""How far predictions agree with the truth: valence-arousal figures and classification figures; numpy alone.

Valence and arousal are judged each on their own. The pooled figures of CAGE (Wagner et al., 2024) and Ig3D (Dong et
al., 2024) are there as well: they put valence and arousal into one vector of twice the length, in which the distance
between the two means counts as agreement.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.errors import TrainingError

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

STILL = 1e-12
"""Range of values below which something does not move: rounding alone."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far predicted values agree with true ones."""

    mse: float
    mae: float
    rmse: float
    ccc: float
    """Concordance (Lin, 1989), -1..1; 0 where either side does not move."""
    pcc: float
    """Pearson's r, -1..1; 0 where either side does not move."""

    def to_json(self) -> dict[str, float]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AffectAgreement:
    """Valence, arousal, the mean of their figures, and the pooled figures of one vector of both."""

    valence: Agreement
    arousal: Agreement
    mean: Agreement
    pooled: Agreement
    mean_predictor: float
    """Pooled CCC of predicting the two means of this very truth whatever the picture: what pooling gives away."""
    count: int
    published: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Averages:
    """Precision, recall and F1 averaged over classes, each 0..1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Classification:
    """How far predicted classes are the true ones."""

    accuracy: float
    macro: Averages
    """Over the classes that occur in the truth or in the prediction, each counting the same."""
    weighted: Averages
    """Each class counting as often as it is true; the recall is the accuracy."""
    confusion: tuple[tuple[int, ...], ...]
    """[C][C] counts: a row per true class, a column per predicted one."""
    count: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"confusion": [list(row) for row in self.confusion]}


def checked(values: npt.ArrayLike, what: str, shape: tuple[int | None, ...]) -> DoubleArray:
    """The values in float64, of this shape; None is any size but 0. Raises TrainingError for others, or not finite."""
    array = np.asarray(values, np.float64)
    fits = array.ndim == len(shape) and all(
        size == wanted or (wanted is None and size > 0) for size, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("at least 1" if size is None else str(size) for size in shape)
        raise TrainingError(f"{what} of shape {list(array.shape)}, expected [{wanted}]")
    if not np.isfinite(array).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise TrainingError(f"{what} holds {array[first]} at {list(first)}, expected finite numbers")
    return array


def paired(found: npt.ArrayLike, true: npt.ArrayLike) -> tuple[DoubleArray, DoubleArray]:
    """Predictions and truth [N], N >= 1, in float64. Raises TrainingError."""
    truth = checked(true, "the truth", (None,))
    return checked(found, "predictions", truth.shape), truth


def paired_affect(found: npt.ArrayLike, true: npt.ArrayLike) -> tuple[DoubleArray, DoubleArray]:
    """Predictions and truth [N, 2] valence, arousal, N >= 1, in float64. Raises TrainingError."""
    truth = checked(true, "the truth", (None, 2))
    return checked(found, "predictions", truth.shape), truth


def agreement(found: npt.ArrayLike, true: npt.ArrayLike, *, published: bool = False) -> Agreement:
    """Figures of predictions [N] for a truth [N]. Raises TrainingError.

    `published` divides a sample covariance (n - 1) by population variances (n) as CAGE's and Ig3D's evaluation does,
    which makes the CCC n / (n - 1) times what it is.
    """
    a, b = paired(found, true)
    apart = a - b
    mse = float(np.mean(apart * apart))
    ccc = pcc = 0.0
    if min(np.ptp(a), np.ptp(b)) > STILL:
        da, db = a - a.mean(), b - b.mean()
        together = float(np.mean(da * db))
        va, vb = float(np.mean(da * da)), float(np.mean(db * db))
        pcc = together / float(np.sqrt(va) * np.sqrt(vb))
        ccc = 2 * together / (va + vb + float(a.mean() - b.mean()) ** 2)
        ccc *= len(a) / (len(a) - 1) if published else 1
    return Agreement(mse, float(np.mean(np.abs(apart))), float(np.sqrt(mse)), ccc, min(1.0, max(-1.0, pcc)))


def affect_agreement(found: npt.ArrayLike, true: npt.ArrayLike, *, published: bool = False) -> AffectAgreement:
    """Figures of predictions [N, 2] valence, arousal for a truth [N, 2]. Raises TrainingError."""
    a, b = paired_affect(found, true)
    valence, arousal = (agreement(a[:, i], b[:, i], published=published) for i in (0, 1))
    halves = {name: (getattr(valence, name) + getattr(arousal, name)) / 2 for name in asdict(valence)}
    pooled = agreement(a.T.ravel(), b.T.ravel(), published=published)
    idle = mean_predictor_ccc(b, published=published)
    return AffectAgreement(valence, arousal, Agreement(**halves), pooled, idle, len(b), published)


def mean_predictor_ccc(true: npt.ArrayLike, *, published: bool = False) -> float:
    """Pooled CCC of who says the truth's two means for every picture; each dimension's own CCC is 0 then.

    About 0.45 on AffectNet's validation set, whose valence lies around -0.2 and arousal around 0.35.
    """
    b = checked(true, "the truth", (None, 2))
    means = np.broadcast_to(b.mean(axis=0), b.shape)
    return agreement(means.T.ravel(), b.T.ravel(), published=published).ccc


def classification(found: npt.ArrayLike, true: npt.ArrayLike, classes: int) -> Classification:
    """Figures of predicted labels [N] for true labels [N], both 0..classes-1. Raises TrainingError."""
    a, b = paired(found, true)
    for values, what in ((a, "predicted"), (b, "true")):
        wrong = values[(values != np.floor(values)) | (values < 0) | (values >= classes)]
        if len(wrong):
            raise TrainingError(f"{what} class {wrong[0]:g}, expected a whole number from 0 to {classes - 1}")
    cells = b.astype(np.int64) * classes + a.astype(np.int64)
    confusion = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    hits, truths, calls = confusion.diagonal().astype(np.float64), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = (np.divide(hits, n, out=np.zeros(classes), where=n > 0) for n in (calls, truths))
    f1 = np.divide(2 * hits, calls + truths, out=np.zeros(classes), where=calls + truths > 0)
    occurs = (calls + truths > 0).astype(np.float64)
    macro, weighted = (
        Averages(*(float((values * weights).sum() / weights.sum()) for values in (precision, recall, f1)))
        for weights in (occurs, truths.astype(np.float64))
    )
    table = tuple(tuple(int(count) for count in row) for row in confusion)
    return Classification(float(hits.sum() / len(b)), macro, weighted, table, len(b))
