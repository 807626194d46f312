"""Answers to classes that are rarer than others: weights of the loss, and ways to draw examples.

Each recipe of Ig3D uses another one, see `train.ig3d.recipes`.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from train.errors import TrainingError

Balance = Literal["none", "drawn", "drawn once", "smallest"]
"""none: every example once; drawn: with replacement, classes alike, anew each epoch (the classifiers);
drawn once: the same, fixed for the whole training (stage B of the regressors); smallest: as many of each class as the
smallest has, chosen once (CAGE and the regressors' fusion)."""

Indices = npt.NDArray[np.int64]


def class_counts(emotion: Indices, classes: int) -> Indices:
    """How many examples [C] each class has; those not labelled (-1) are left out."""
    return np.bincount(emotion[emotion >= 0], minlength=classes).astype(np.int64)


def class_weights(emotion: Indices, classes: int) -> npt.NDArray[np.float32]:
    """Inverse frequency, of sum 1 [C] (CAGE's rule): for the cross-entropy. Raises TrainingError for an empty class."""
    inverse = 1 / _counted(emotion, classes)
    return np.asarray(inverse / inverse.sum(), np.float32)


def draw(emotion: Indices, classes: int, balance: Balance, seed: int, epoch: int) -> Indices:
    """The examples of an epoch, shuffled; which ones follows from the seed and the epoch alone.

    Raises TrainingError for a class without examples where the balance needs each.
    """
    random = np.random.default_rng((seed, epoch))
    fixed = np.random.default_rng((seed, 2**31))
    if balance == "none":
        chosen = np.arange(len(emotion))
    elif balance == "smallest":
        least = int(_counted(emotion, classes).min())
        chosen = np.concatenate([fixed.choice(np.flatnonzero(emotion == c), least, False) for c in range(classes)])
    else:
        chances = np.zeros(len(emotion))
        labelled = emotion >= 0
        chances[labelled] = 1 / _counted(emotion, classes)[emotion[labelled]]
        source = random if balance == "drawn" else fixed
        chosen = source.choice(len(emotion), len(emotion), p=chances / chances.sum())
    return np.asarray(random.permutation(chosen), np.int64)


def _counted(emotion: Indices, classes: int) -> Indices:
    counts = class_counts(emotion, classes)
    if not counts.all():
        raise TrainingError(
            f"class {int(np.flatnonzero(counts == 0)[0])} of {classes} has no examples; "
            "give a set that has each class, or another number of classes"
        )
    return counts
