"""Ig3D's fusion of a 2D and a 3D branch (arXiv 2408.16907, section 3): intermediate on features, late on outputs.

    F_2D [B, 512] ────────────────┬─ two or three layers ─ logits, valence, arousal
    vector [B, D] ─ linear 512 ───┘

Every face is fused by itself. Published figures came from code in which the first face of a batch stood for all of
them, so that a loader which walks class by class told the answer; here both sides must have a row for each face, and
what would have to be spread over a batch is refused. Names are upstream's, so that files of its trainings load.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from models.affect_network import AffectOutput
from models.affect_outputs import OutputLayout
from models.cage import Cage, load_cage_body
from models.checkpoint import fill_strict, load_strict, read_tensors
from models.ddamfn import NESTED, Ddamfn
from models.picture_network import PictureNetwork

SIZE = 512
"""Numbers that a vector is brought to, and that both published backbones give."""
SLOPE = 0.2
COMBINED = OutputLayout(affect="valence-arousal")
"""8 logits, valence, arousal: the order of every fusion head of upstream's."""

Rule = Literal["max", "min", "mean", "weighted"]
PUBLISHED_SHARE = 0.6
"""Of the 2D branch in upstream's weighted valence-arousal; chosen on the very pictures that it reports."""


class FusionHead(nn.Module, ABC):
    """From features and a vector of each face to what they say together."""

    def __init__(self, vector_size: int, layout: OutputLayout, feature_size: int) -> None:
        super().__init__()
        self.vector_size, self.feature_size = vector_size, feature_size
        self.layout = layout

    def forward(self, features: Tensor, vectors: Tensor) -> AffectOutput:
        """What F_2D [B, feature_size] and F_3D [B, vector_size] say. Raises ValueError for any other shapes."""
        found = (tuple(features.shape), tuple(vectors.shape))
        paired = len(found[0]) == 2 and len(found[1]) == 2 and features.shape[0] == vectors.shape[0]
        if not paired or features.shape[1] != self.feature_size or vectors.shape[1] != self.vector_size:
            raise ValueError(
                f"features of shape {list(found[0])} and vectors of {list(found[1])}, "
                f"expected [B, {self.feature_size}] and [B, {self.vector_size}]: a row of each for every face"
            )
        return self.layout.read(self.outputs(features, vectors))

    @abstractmethod
    def outputs(self, features: Tensor, vectors: Tensor) -> Tensor:
        """Outputs [B, layout.size] of features [B, feature_size] and vectors [B, vector_size]."""

    def extra_repr(self) -> str:
        """Settings that decide the result: a cached engine is told apart by them."""
        return f"layout={self.layout}"


class DdamfnFusion(FusionHead):
    """The head of upstream's classification, made for DDAMFN: 3D before 2D, 2048, 1024, outputs."""

    def __init__(self, vector_size: int, layout: OutputLayout = COMBINED, *, feature_size: int = SIZE) -> None:
        super().__init__(vector_size, layout, feature_size)
        self.Wash_Linear1 = nn.Linear(vector_size, SIZE)
        self.linear_fusion = nn.Sequential(
            nn.Linear(SIZE + feature_size, 2048), nn.LeakyReLU(SLOPE), nn.Linear(2048, 1024), nn.LeakyReLU(SLOPE)
        )
        self.out = nn.Linear(1024, layout.size)

    def outputs(self, features: Tensor, vectors: Tensor) -> Tensor:
        """Outputs [B, layout.size] of features [B, feature_size] and vectors [B, vector_size]."""
        both = torch.cat([self.Wash_Linear1(vectors), features], dim=1)
        numbers: Tensor = self.out(self.linear_fusion(both))
        return numbers


class MaxVitFusion(FusionHead):
    """The head of upstream's valence-arousal, made for CAGE's MaxViT: 2D before 3D, 512, tanh, outputs."""

    def __init__(self, vector_size: int, layout: OutputLayout = COMBINED, *, feature_size: int = SIZE) -> None:
        super().__init__(vector_size, layout, feature_size)
        self.additional_feature_transform = nn.Linear(vector_size, SIZE)
        self.classifier = nn.Sequential(
            nn.Linear(feature_size + SIZE, SIZE), nn.Tanh(), nn.Linear(SIZE, layout.size, bias=False)
        )

    def outputs(self, features: Tensor, vectors: Tensor) -> Tensor:
        """Outputs [B, layout.size] of features [B, feature_size] and vectors [B, vector_size]."""
        both = torch.cat([features, self.additional_feature_transform(vectors)], dim=1)
        numbers: Tensor = self.classifier(both)
        return numbers


class IntermediateFusion(nn.Module):
    """A 2D network and a fusion head as one network; all of it learns but the 2D network's own last layer."""

    def __init__(self, backbone: PictureNetwork, head: FusionHead) -> None:
        """Raises ValueError when the head is made for features of another length."""
        super().__init__()
        if backbone.width != head.feature_size:
            raise ValueError(
                f"{type(backbone).__name__} gives {backbone.width} features, the head takes {head.feature_size}"
            )
        self.backbone, self.head = backbone, head
        backbone.last.requires_grad_(False)

    def forward(self, crops: Tensor, vectors: Tensor) -> AffectOutput:
        """What crops [B, 3, H, W], RGB 0..1, and vectors [B, vector_size] of the same faces say. Raises ValueError."""
        output: AffectOutput = self.head(self.backbone.features(crops), vectors)
        return output


def load_ddamfn_fusion(network: Ddamfn, head: DdamfnFusion, path: Path) -> None:
    """Fill both from one file of upstream's classification, with the heads it has. Raises CheckpointError."""
    tensors = read_tensors(path, nested=NESTED)
    ours = tuple(f"{name}." for name, _ in head.named_children())
    theirs = tuple(f"{name}." for name, _ in network.net.named_children())
    fill_strict(network.net, tensors, path, ignored=ours)
    fill_strict(head, tensors, path, ignored=theirs)


def load_maxvit_fusion(network: Cage, head: MaxVitFusion, backbone_file: Path, head_file: Path) -> None:
    """Fill both from the two files of upstream's valence-arousal. Raises CheckpointError."""
    load_cage_body(network, backbone_file)
    load_strict(head, head_file)


def fuse(rule: Rule, first: Tensor, second: Tensor, share: float = PUBLISHED_SHARE) -> Tensor:
    """One prediction [B, K] from the 2D branch's and the 3D branch's, both [B, K]; `share` 0..1 is the 2D one's.

    Signed maximum and minimum, mean, or a weighted sum, as published. Raises ValueError for shapes that differ, also
    where torch would spread one over the other.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"predictions of shapes {list(first.shape)} and {list(second.shape)}, "
            "expected [B, K] twice: a row of each for every face"
        )
    if not 0 <= share <= 1:
        raise ValueError(f"a share of {share}, expected 0..1: the first branch's")
    match rule:
        case "max":
            return torch.maximum(first, second)
        case "min":
            return torch.minimum(first, second)
        case "mean":
            return (first + second) / 2
        case "weighted":
            # 1 - 0.8 is not 0.2 in binary: rounded, the shares are the decimals that were meant.
            return share * first + round(1 - share, 12) * second


def fuse_classes(
    rule: Rule,
    first: Tensor,
    second: Tensor,
    share: float = PUBLISHED_SHARE,
    *,
    of: Literal["logits", "probabilities"] = "logits",
    temperatures: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """Scores [B, C] from both branches' logits [B, C], in the same order of emotions. Raises ValueError.

    Logits at temperature 1 are what upstream fuses: the branch whose logits are larger has the say. Temperatures
    fitted on validation faces bring both to one scale; probabilities are softmax's.
    """
    if not all(0 < temperature < float("inf") for temperature in temperatures):
        raise ValueError(f"temperatures of {temperatures}, expected finite numbers above 0")
    scaled = [logits / temperature for logits, temperature in zip((first, second), temperatures, strict=True)]
    if of == "probabilities":
        scaled = [logits.softmax(dim=-1) for logits in scaled]
    return fuse(rule, scaled[0], scaled[1], share)
