"""What every network that reads affect off a face says: class logits and valence-arousal."""

from typing import NamedTuple

from torch import Tensor


class AffectOutput(NamedTuple):
    """Of B faces. A network without one of the two leaves it None."""

    logits: Tensor | None  # [B, C] not calibrated; in the order of models.emotion.EMOTIONS unless told otherwise
    affect: Tensor | None  # [B, 2] valence, arousal; not bounded
