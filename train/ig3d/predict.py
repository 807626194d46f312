"""What an Ig3D network says of a whole set: to choose an epoch, to weigh branches, and for files of predictions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from models.ig3d import Ig3dNetwork
from train.errors import TrainingError
from train.ig3d.metrics import DoubleArray, affect_agreement
from train.ig3d.predictions import Predictions
from train.ig3d.samples import Samples

AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Branch:
    """What one branch says of N faces, before anything is fused."""

    logits: DoubleArray | None  # [N, C]
    affect: DoubleArray | None  # [N, 2]


def branch_outputs(network: Ig3dNetwork, samples: Samples) -> list[Branch]:
    """Of each branch, in the order of the samples; 2D first."""
    collected: list[list[tuple[np.ndarray | None, np.ndarray | None]]] = []
    for crops, vectors in _inputs(network, samples):
        said = network.branches(crops, vectors)
        collected.append([(_numpy(branch.logits), _numpy(branch.affect)) for branch in said])
    return [
        Branch(*(_joined([batch[branch][part] for batch in collected]) for part in range(2)))
        for branch in range(len(collected[0]))
    ]


def answers(network: Ig3dNetwork, samples: Samples, done: Callable[[int], None] = lambda _: None) -> DoubleArray:
    """Valence, arousal and 8 probabilities [N, 10] as a run publishes them; `done` is told how many faces are."""
    rows: list[np.ndarray] = []
    for crops, vectors in _inputs(network, samples):
        rows.append(network(crops, vectors).double().numpy())
        done(sum(map(len, rows)))
    return np.concatenate(rows)


def measured(network: Ig3dNetwork, samples: Samples, measure: Literal["accuracy", "ccc"]) -> float:
    """Accuracy of the labelled faces, or the mean CCC of valence and arousal of the annotated ones; 0 without any."""
    said = answers(network, samples)
    emotion, affect = samples.labelled.emotion, samples.labelled.affect
    if measure == "accuracy":
        labelled = emotion >= 0
        return float((said[labelled, 2:].argmax(axis=1) == emotion[labelled]).mean()) if labelled.any() else 0.0
    kept = np.flatnonzero(np.isfinite(affect).all(axis=1))
    return affect_agreement(said[kept, :2], affect[kept]).mean.ccc if len(kept) else 0.0


def predictions_of(
    network: Ig3dNetwork, samples: Samples, source: str, done: Callable[[int], None] = lambda _: None
) -> Predictions:
    """What a network says of the samples that have a truth, as a file of predictions holds it."""
    said, labelled = answers(network, samples, done), samples.labelled
    classes = len(network.design.labels)
    kept = np.flatnonzero(np.isfinite(labelled.affect).all(axis=1))
    annotated = len(kept) > 0
    if not annotated:  # RAF-DB tells emotions only
        kept = np.flatnonzero(labelled.emotion >= 0)
    if len(kept) == 0:
        raise TrainingError(f"{labelled.name} {labelled.split} has neither valence-arousal nor emotions: no truth")
    emotion = labelled.emotion[kept]
    labels = emotion if (emotion >= 0).all() else None
    extra = {"image": [labelled.ids[row] for row in kept]}
    times = labelled.time_s[kept].tolist()
    filmed = np.isfinite(times).tolist()
    if any(filmed):
        # A still is of no clip: blank, so that whoever smooths clips leaves it out.
        extra["clip"] = [labelled.group[row] if moves else "" for row, moves in zip(kept, filmed, strict=True)]
        extra["time_s"] = [repr(time_s) if moves else "" for time_s, moves in zip(times, filmed, strict=True)]
    found, true = (said[kept, :2], labelled.affect[kept].astype(np.float64)) if annotated else (None, None)
    return Predictions(source, found, true, labels, said[kept, 2 : 2 + classes], extra)


def _inputs(network: Ig3dNetwork, samples: Samples) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Crops and vectors, in order, with the network in evaluation mode and no gradients."""
    network.eval()
    with torch.inference_mode():
        for batch in samples.batches(np.arange(len(samples)), AT_ONCE):
            yield batch.pictures, batch.vectors


def _numpy(tensor: torch.Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.double().numpy()


def _joined(parts: list[np.ndarray | None]) -> DoubleArray | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None
