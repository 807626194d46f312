"""The encoders of EMOCA (Danecek et al., CVPR 2022) and DECA (Feng et al., SIGGRAPH 2021): 3D vectors off crops.

    crop [B, 3, 224, 224] ─┬─ E_flame       ResNet-50 ─ 1024 ─ shape, texture, expression, pose, jaw, camera, light
                           ├─ E_expression  ResNet-50 ─ 1024 ─ expression 50
                           └─ E_detail      ResNet-50 ─ 1024 ─ detail 128

EMOCA is DECA with an expression encoder of its own; all else is DECA's. Camera and light are in no representation.
Written from the papers and the layout of the files. The weights are the user's to get: MPI's licence allows research
that is not commercial, and no passing on. Names are upstream's, so that its files load.

EMOCA's expression encoder was trained with an emotion network's loss on AffectNet: what is evaluated on AffectNet
with these vectors has seen more of it than shape.
"""

from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from models.checkpoint import fill_strict, read_tensors
from models.errors import CheckpointError
from models.geometry import bounding_boxes
from models.ibug import IBUG
from models.representation import REPRESENTATIONS, Name
from models.spec import FloatArray

DECA_LAYOUT = {"shape": 100, "texture": 50, "expression": 50, "pose": 3, "jaw": 3, "camera": 3, "light": 27}
"""Outputs of E_flame, in order. Upstream's pose of 6 is the head's rotation, then the jaw's; both axis-angle."""
EXPRESSION, DETAIL = 50, 128
BOX_SCALE, LANDMARK_SCALE = 1.25, 1.1
"""How much wider than the face the crop is, and than its landmarks the face."""


class Encoder(nn.Module):
    """A ResNet-50 without its classifier, and two layers to the numbers."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.encoder = torchvision.models.resnet50(weights=None)
        self.encoder.fc = nn.Identity()
        self.layers = nn.Sequential(nn.Linear(2048, 1024), nn.ReLU(), nn.Linear(1024, outputs))

    def forward(self, crops: Tensor) -> Tensor:
        """Numbers [B, outputs] of crops [B, 3, 224, 224], RGB 0..1, not normalised."""
        numbers: Tensor = self.layers(self.encoder(crops))
        return numbers


class EmocaEncoder(nn.Module):
    """The encoders that a representation needs: three for emoca-full, two for emoca-short.

    With `own_expression` false it is plain DECA, whose expression comes from E_flame: an encoder less.
    """

    def __init__(self, representation: Name = "emoca-full", *, own_expression: bool = True) -> None:
        """Raises ValueError for a representation that is not one of EMOCA's."""
        super().__init__()
        if not representation.startswith("emoca-"):
            raise ValueError(f"EMOCA's encoders give emoca-full and emoca-short, not {representation}")
        self.representation = REPRESENTATIONS[representation]
        self.E_flame = Encoder(sum(DECA_LAYOUT.values()))
        self.E_expression = Encoder(EXPRESSION) if own_expression else None
        self.E_detail = Encoder(DETAIL) if "detail" in self.representation.parts else None

    def forward(self, crops: Tensor) -> Tensor:
        """Vectors [B, 334 or 156], in the order of the representation, of crops [B, 3, 224, 224], RGB 0..1."""
        numbers = torch.split(self.E_flame(crops), list(DECA_LAYOUT.values()), dim=1)
        parts = dict(zip(DECA_LAYOUT, numbers, strict=True))
        if self.E_expression is not None:
            parts["expression"] = self.E_expression(crops)
        if self.E_detail is not None:
            parts["detail"] = self.E_detail(crops)
        return torch.cat([parts[name] for name in self.representation.parts], dim=1)

    def extra_repr(self) -> str:
        """Settings that decide the result: a cached engine is told apart by them."""
        return f"representation={self.representation.name}"


def load_emoca(network: EmocaEncoder, path: Path) -> None:
    """Fill every encoder of the network from one file. Raises CheckpointError.

    A file of EMOCA's training names tensors `deca.E_flame.encoder.conv1.weight`, at top or under `state_dict`; such a
    name without `deca.` is fine too. DECA's deca_model.tar holds a dict for each encoder. What belongs to decoders and
    losses is left alone. EMOCA's files hold settings as objects, which are not run: save the `state_dict` first.
    """
    whole = read_tensors(path, nested="state_dict") if network.E_expression is not None else None
    for name, part in network.named_children():
        tensors = read_tensors(path, nested=name) if whole is None else whole
        starts = (f"deca.{name}.", f"{name}.", "")
        prefix = next(start for start in starts if any(found.startswith(start) for found in tensors))
        if not prefix and whole is not None:
            raise CheckpointError(
                f"{path} holds no {name}, only {', '.join(list(tensors)[:3])}; give EMOCA's checkpoint, or ask for DECA"
            )
        fill_strict(
            part, {found: tensor for found, tensor in tensors.items() if found.startswith(prefix)}, path, prefix=prefix
        )


def emoca_boxes(landmarks: FloatArray) -> FloatArray:
    """Centre x, centre y and side [B, 3] in pixels of the squares EMOCA crops, from MediaPipe's landmarks [B, 478, 3].

    The box of the 68 points, its mean side times 1.1 and 1.25, truncated to whole pixels. Upstream's 68 come from FAN,
    which puts the outline and the brows elsewhere by some pixels; here MediaPipe's points of the same names stand for
    them. `models.geometry.crop_faces` cuts the squares, and truncates colours to whole 255ths, which upstream does not.
    """
    boxes = bounding_boxes(landmarks[:, IBUG]).astype(np.float64)
    low, high = boxes[:, :2], boxes[:, 2:]
    side = np.trunc((high - low).mean(axis=1) * LANDMARK_SCALE * BOX_SCALE).clip(min=1)
    return np.column_stack([(low + high) / 2, side]).astype(np.float32)
