"""Made-up predictions of a 2D and a 3D model, whose truth lies about where AffectNet's does."""

from pathlib import Path

import numpy as np

from models.emotion import EMOTIONS
from train.ig3d.metrics import DoubleArray
from train.ig3d.predictions import Predictions, write_predictions


def truth(rows: int, seed: int = 0) -> DoubleArray:
    """Valence, arousal [rows, 2], rounded as labels are."""
    random = np.random.default_rng(seed)
    values = random.normal([-0.2, 0.35], [0.45, 0.35], (rows, 2))
    return np.clip(values, -1, 1).round(6)


def said(true: DoubleArray, noise: float, seed: int) -> DoubleArray:
    """Predictions of a truth, in float32's digits as a network writes them."""
    random = np.random.default_rng(seed)
    found = (0.8 * true + random.normal(0, noise, true.shape)).astype(np.float32)
    return np.array([[float(str(value)) for value in row] for row in found])


def chances(labels: np.ndarray, sure: float, seed: int) -> DoubleArray:
    """Probabilities [N, 8] that favour the true class."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), len(EMOTIONS)))
    logits[np.arange(len(labels)), labels] += sure
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def models(rows: int = 60, seed: int = 0, *, classes: bool = False) -> tuple[Predictions, Predictions]:
    """A 2D and a 3D model's predictions of the same pictures."""
    true = truth(rows, seed)
    names = {"number": [str(number) for number in range(rows)]}
    labels = np.random.default_rng(seed).integers(8, size=rows) if classes else None
    first, second = (
        Predictions(
            f"model {i}",
            said(true, noise, seed + i),
            true,
            labels,
            None if labels is None else chances(labels, 2.0, seed + i),
            names,
        )
        for i, noise in ((1, 0.2), (2, 0.25))
    )
    return first, second


def written(folder: Path, *predictions: Predictions, stem: str = "m") -> list[str]:
    """Their files."""
    paths = [folder / f"{stem}{i}.csv" for i in range(len(predictions))]
    for path, one in zip(paths, predictions, strict=True):
        write_predictions(path, one)
    return [str(path) for path in paths]
