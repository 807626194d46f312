"""Two trained branches as one late fusion, weighed on a validation split that neither the training nor the test saw.

The published weights were chosen on the test set. Here the 2D branch's share of valence-arousal is that of the best
mean CCC, and its share of the probabilities that of the best accuracy, after each branch's logits are calibrated.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.ig3d import Design, Ig3dNetwork, Shares
from train.errors import TrainingError
from train.ig3d.late import Tuned, fit_temperature, softmax, tune_weight
from train.ig3d.metrics import DoubleArray, IntArray, affect_agreement
from train.ig3d.predict import Branch, branch_outputs
from train.ig3d.samples import Samples


@dataclass(frozen=True, slots=True)
class Combined:
    """A late fusion and how its shares were found."""

    network: Ig3dNetwork
    affect: Tuned | None
    """None where the 2D branch tells no valence-arousal, so that it is the 3D branch's, or the set does not."""
    emotions: Tuned

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        shares = self.network.design.shares
        return {
            "affect": None if self.affect is None else self.affect.to_json(),
            "emotions": self.emotions.to_json(),
            "temperatures": list(shares.temperatures),
        }


def combine(picture: Ig3dNetwork, face: Ig3dNetwork, validation: Samples) -> Combined:
    """A late fusion of a 2D and a 3D network. Raises TrainingError for networks that do not go together."""
    network = Ig3dNetwork(late_design(picture.design, face.design)).eval()
    assert network.picture is not None
    assert network.face is not None
    assert picture.picture is not None
    assert face.face is not None
    network.picture.load_state_dict(picture.picture.state_dict())
    network.face.load_state_dict(face.face.state_dict())
    network.mean.copy_(face.mean)
    network.deviation.copy_(face.deviation)
    first, second = branch_outputs(network, validation)
    affect = _tuned_affect(first, second, validation)
    temperatures, emotions = _tuned_emotions(first, second, validation)
    shares = Shares(0.5 if affect is None else affect.weight, emotions.weight, temperatures)
    network.design = replace(network.design, shares=shares)
    return Combined(network, affect, emotions)


def late_design(picture: Design, face: Design) -> Design:
    """Of a late fusion of a 2D and a 3D network. Raises TrainingError for networks that do not go together."""
    if picture.kind != "2d" or face.kind != "3d":
        raise TrainingError(f"heads of kind {picture.kind} and {face.kind}, expected 2d and then 3d")
    if picture.labels != face.labels:
        raise TrainingError(f"heads of {len(picture.labels)} and {len(face.labels)} emotions; train both on the same")
    return replace(face, kind="late", backbone=picture.backbone)


def _tuned_affect(first: Branch, second: Branch, validation: Samples) -> Tuned | None:
    if first.affect is None or second.affect is None:
        return None
    true = validation.labelled.affect
    kept = np.isfinite(true).all(axis=1)
    if kept.sum() < 2:  # RAF-DB tells emotions only: the shares of valence-arousal stay equal
        return None

    def mean_ccc(found: DoubleArray, truth: DoubleArray) -> float:
        return affect_agreement(found, truth).mean.ccc

    return tune_weight(first.affect[kept], second.affect[kept], true[kept], mean_ccc)


def _tuned_emotions(first: Branch, second: Branch, validation: Samples) -> tuple[tuple[float, float], Tuned]:
    labels = validation.labelled.emotion
    kept = labels >= 0
    if not kept.any():
        raise TrainingError("the validation split has no emotions to weigh the branches by; give another set")
    assert first.logits is not None
    assert second.logits is not None
    logits, labels = (first.logits[kept], second.logits[kept]), labels[kept]
    temperatures = (fit_temperature(logits[0], labels), fit_temperature(logits[1], labels))
    chances = [softmax(each, temperature) for each, temperature in zip(logits, temperatures, strict=True)]

    def accuracy(found: DoubleArray, truth: IntArray) -> float:
        return float((found.argmax(axis=1) == truth).mean())

    return temperatures, tune_weight(chances[0], chances[1], labels, accuracy)
