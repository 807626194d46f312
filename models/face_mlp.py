"""Ig3D's networks on 3D parameters alone (arXiv 2408.16907, section 3; the published code where the paper is silent).

    vector [B, D] ─ 4 x (linear 2048 ─ batch norm ─ leaky ReLU 0.2) ─ linear ─ 8 logits, arousal, valence

It is EMOCA's own emotion recogniser (Danecek et al., 2022) on more numbers. Vectors are not standardised: the first
batch norm is the only scaling. SMIRK-short on AffectNet has another network, with two residual blocks. Names are
upstream's, so that a checkpoint of its trainings loads as it is.
"""

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from models.affect_network import AffectOutput
from models.affect_outputs import AffectOrder, OutputLayout
from models.checkpoint import load_strict
from models.emotion import EMOTIONS, RAF_DB

HIDDEN, SLOPE = 2048, 0.2
DROPOUT = 0.5
"""After the first block. Upstream declares two more, of 0.4 and 0.3, and applies neither."""
NESTED = "model_state_dict"
"""Where upstream's classification trainings keep their tensors; its valence-arousal files are flat."""


class FaceMlp(nn.Module):
    """Four layers of 2048, classifier or regressor or both, by its layout."""

    def __init__(self, size: int, layout: OutputLayout, *, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.size = size
        """Length of the vector: of its `models.representation.Representation`."""
        self.layout = layout
        self.fc1, self.bn1 = nn.Linear(size, HIDDEN), nn.BatchNorm1d(HIDDEN)
        self.fc2, self.bn2 = nn.Linear(HIDDEN, HIDDEN), nn.BatchNorm1d(HIDDEN)
        self.fc3, self.bn3 = nn.Linear(HIDDEN, HIDDEN), nn.BatchNorm1d(HIDDEN)
        self.fc4, self.bn4 = nn.Linear(HIDDEN, HIDDEN), nn.BatchNorm1d(HIDDEN)
        self.output = nn.Linear(HIDDEN, layout.size)
        self.dropout1 = nn.Dropout(dropout)

    def forward(self, vectors: Tensor) -> AffectOutput:
        """What vectors [B, size], as the face model gives them, say; logits in the order of `layout.emotions`."""
        x = self.dropout1(F.leaky_relu(self.bn1(self.fc1(vectors)), SLOPE))
        x = F.leaky_relu(self.bn2(self.fc2(x)), SLOPE)
        x = F.leaky_relu(self.bn3(self.fc3(x)), SLOPE)
        x = F.leaky_relu(self.bn4(self.fc4(x)), SLOPE)
        return self.layout.read(self.output(x))

    def extra_repr(self) -> str:
        """Settings that decide the result: a cached engine is told apart by them."""
        return f"layout={self.layout}"


class ShortSmirkNet(nn.Module):
    """SMIRK-short on AffectNet: 353 to 512, two residual blocks, 8 logits, valence, arousal."""

    def __init__(self, size: int = 353, layout: OutputLayout | None = None) -> None:
        super().__init__()
        self.size = size
        self.layout = layout or OutputLayout(affect="valence-arousal")
        self.Smirk_Linear = nn.Linear(size, 512)
        self.residual_block1 = _residual(512, 1024)
        self.residual_block2 = _residual(512, 512)
        self.fc = nn.Linear(512, self.layout.size)

    def forward(self, vectors: Tensor) -> AffectOutput:
        """What vectors [B, size] say; logits in the order of `layout.emotions`."""
        x = self.Smirk_Linear(vectors)
        x = x + self.residual_block1(x)
        x = x + self.residual_block2(x)
        return self.layout.read(self.fc(x))

    def extra_repr(self) -> str:
        """Settings that decide the result: a cached engine is told apart by them."""
        return f"layout={self.layout}"


def face_classifier(
    size: int, *, order: AffectOrder, labels: Sequence[str] = EMOTIONS, dropout: float = DROPOUT
) -> FaceMlp:
    """Emotions and valence-arousal from vectors [B, size]: AffectNet's network, 10 outputs.

    `order` is that of the two last outputs: arousal first in upstream's classification, valence first in its
    valence-arousal trainings, which apply no dropout either.
    """
    return FaceMlp(size, OutputLayout(tuple(labels), order), dropout=dropout)


def raf_db_classifier(size: int, *, labels: Sequence[str] = RAF_DB, dropout: float = DROPOUT) -> FaceMlp:
    """Seven emotions from vectors [B, size]: RAF-DB's network, of whose 10 outputs three are never trained nor read.

    `labels` is the order of its training. Upstream's dropout is 0.5, and 0.3 where SMIRK's network is fused late.
    """
    return FaceMlp(size, OutputLayout(tuple(labels), spare=3), dropout=dropout)


def affect_regressor(size: int, *, order: AffectOrder = "valence-arousal") -> FaceMlp:
    """Valence and arousal from vectors [B, size]: 2 outputs, no dropout."""
    return FaceMlp(size, OutputLayout((), order), dropout=0.0)


def load_face_network(network: FaceMlp | ShortSmirkNet, path: Path) -> None:
    """Fill a network of this module from a checkpoint of upstream's trainings or ours. Raises CheckpointError."""
    load_strict(network, path, nested=NESTED)


def _residual(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, width))
