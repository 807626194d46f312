"""The two things a face passes through: a face model (FLAME parameters) and an affect head (valence-arousal)."""

from collections.abc import Sequence
from typing import Protocol

from models.spec import Affect, Basis, FaceBatch, FlameParams


class FaceModel(Protocol):
    """Turns faces into FLAME parameters. Stateless and shared by every source."""

    name: str
    """What `--face-model` calls it."""
    basis: Basis
    model_hash: str
    """First 12 hex digits of the sha256 of its weights: every event names it."""
    needs_crops: bool
    """Whether `FaceBatch.crops` must be filled in."""

    def __call__(self, faces: FaceBatch) -> list[FlameParams]:
        """Parameters of each face, in order."""
        ...


class AffectHead(Protocol):
    """Reads valence-arousal off FLAME parameters of one basis. Stateless and shared."""

    name: str
    basis: Basis
    model_hash: str

    def __call__(self, params: Sequence[FlameParams]) -> list[Affect]:
        """Valence-arousal of each face, in order."""
        ...
