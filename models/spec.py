"""The contract between face models and everything that reads them: names, shapes, units, ranges."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch  # only for its type: this module is read by everything

FloatArray = npt.NDArray[np.float32]

Basis = Literal["open", "flame2020"]
"""What the coefficients multiply: the open head's named actions, or FLAME 2020's principal components."""

CROP_SIZE = 224
"""Side of a face crop, pixels (SMIRK's input)."""

CROP_SCALE = 1.4
"""Side of the source square over the mean side of the landmarks' box (SMIRK's demos)."""


@dataclass(frozen=True, slots=True)
class FlameParams:
    """FLAME parameters of one face, in SMIRK's layout (arXiv 2404.04104, section 3.1)."""

    shape: FloatArray  # [300] identity coefficients
    expression: FloatArray  # [50] expression coefficients; of the `open` basis: 0..1, names in models.open_basis
    pose: FloatArray  # [3] global head rotation, axis-angle, radians; x right, y up, z to the viewer
    jaw: FloatArray  # [3] jaw rotation, axis-angle, radians; [0] opening >= 0
    eyelids: FloatArray  # [2] left, right; 0 open .. 1 closed
    camera: FloatArray  # [3] scale, tx, ty: x_ndc = s*(x+tx), y_ndc = -s*(y+ty) in the crop, model space in metres

    def __post_init__(self) -> None:
        for field, size in FLAME_LAYOUT.items():
            found = getattr(self, field).shape
            if found != (size,):
                raise ValueError(f"FlameParams.{field} has shape {found}, expected ({size},)")


FLAME_LAYOUT: dict[str, int] = {"shape": 300, "expression": 50, "pose": 3, "jaw": 3, "eyelids": 2, "camera": 3}
"""Length of each array of `FlameParams`, in publishing order."""

assert [f.name for f in fields(FlameParams)] == list(FLAME_LAYOUT)


@dataclass(frozen=True, slots=True)
class FaceBatch:
    """What a face model may look at, for B faces from any frames of any sources."""

    crops: "FloatArray | torch.Tensor"  # [B, 3, 224, 224] RGB 0..1, SMIRK's crop; B = 0 when no model asked for crops
    crop_boxes: FloatArray  # [B, 3] centre x, centre y, side of the crop's source square, frame pixels
    landmarks: FloatArray  # [B, 478, 3] MediaPipe landmarks, frame pixels; z in the same scale as x, smaller is nearer
    blendshapes: FloatArray  # [B, 52] MediaPipe blendshapes, 0..1, in the order of open_basis.BLENDSHAPE_NAMES

    def __len__(self) -> int:
        return len(self.landmarks)


@dataclass(frozen=True, slots=True)
class Affect:
    """Valence-arousal of one face on Russell's circumplex, and which emotion it shows where a head tells that."""

    valence: float  # -1 unpleasant .. 1 pleasant
    arousal: float  # -1 calm .. 1 excited
    emotions: tuple[float, ...] | None = None  # [8] probabilities in the order of models.emotion.EMOTIONS
