"""From the numbers of a last layer to what a network says of a face.

Published networks disagree about the order of emotions and about which of valence and arousal comes first, even within
one repository. Here a network's own order is part of it, and what comes out of `read` is always in one order.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from models.affect_network import AffectOutput
from models.emotion import EMOTIONS, places

AffectOrder = Literal["valence-arousal", "arousal-valence"]


@dataclass(frozen=True, slots=True)
class OutputLayout:
    """What the outputs of a network are, in the network's own order: logits, then valence and arousal."""

    labels: tuple[str, ...] = EMOTIONS
    """Which emotion each logit is of; empty for a network that tells none."""
    affect: AffectOrder | None = None
    """The two outputs after the logits; None for a network without them."""
    spare: int = 0
    """Outputs after those that a published network has and nobody reads."""

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown or repeated emotion, and when nothing is said."""
        places(self.labels, EMOTIONS)
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"emotions {', '.join(self.labels)}: one is there twice")
        if not self.labels and self.affect is None:
            raise ValueError("a network with neither emotions nor valence-arousal says nothing")

    @property
    def size(self) -> int:
        """Outputs of the last layer."""
        return len(self.labels) + (2 if self.affect else 0) + self.spare

    @property
    def emotions(self) -> tuple[str, ...]:
        """Which emotion each logit is of after `read`: the order of EMOTIONS, without those the network lacks."""
        return tuple(emotion for emotion in EMOTIONS if emotion in self.labels)

    def read(self, numbers: Tensor) -> AffectOutput:
        """Of outputs [B, size]: logits [B, C] of `emotions`, and valence and arousal [B, 2], not bounded."""
        logits = affect = None
        count = len(self.labels)
        if count:
            logits = numbers[:, :count]
            if self.labels != self.emotions:
                logits = logits[:, places(self.emotions, self.labels)]
        if self.affect:
            affect = numbers[:, count : count + 2]
            if self.affect == "arousal-valence":
                affect = affect[:, [1, 0]]
        return AffectOutput(logits, affect)
