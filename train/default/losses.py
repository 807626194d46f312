"""What the default model is trained to get right: parameters where they are known, and points in the picture.

Each part is divided by an error that would be good, so that the parts weigh about the same and have no units. Points
are compared twice: the predicted face where it is known to be, which teaches what the face is, and the same face where
it is predicted to be, which teaches where it is. One error must not be learnt as the other.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flame import Head, HeadLayer, project
from models.head import HeadModel
from models.open_basis import EXPRESSION_NAMES
from train.default.augment import Batch
from train.default.network import Numbers, camera_error
from train.default.twins import unrest
from train.synthetic.parameters import GAZE_ASIDE

POINT, OUTLINE = 0.02, 0.04
"""Normalised units of the crop: a pixel is 0.009."""
LID, JAW, TURN, SCALE, SHIFT = 0.15, 0.02, 0.05, 0.03, 0.03
"""Lids 0..1, radians (talking opens the jaw by 0.05), radians, share of the scale, normalised units of the crop."""
LEAST_SPREAD = 0.03
"""Of an action over the examples: below, it is noise that is not worth learning."""
GAZE = 5.0
"""How much more the actions of a gaze aside count: irises move by a few pixels, and until those are seen, the turn of
the head tells enough of the gaze to be content with."""
LIPS = (
    *("mouthShrugLower", "mouthRollLower", "mouthRollUpper"),
    *("mouthFrownLeft", "mouthFrownRight", "mouthStretchLeft", "mouthStretchRight"),
)
"""Small actions that tell anger, sadness, disgust and fear (models.heads), and hide in those of all mouths."""
LIPS_COUNT = 2.5
WEIGHTS = {
    "points": 1.0,
    "outline": 0.3,
    "placed points": 1.0,
    "placed outline": 0.3,
    "expression": 2.0,
    "eyelids": 0.7,
    "jaw": 2.0,
    "pose": 0.7,
    "camera": 0.7,
    "shape": 0.7,
    "unrest": 1.25,
}


@dataclass(frozen=True, slots=True)
class Loss:
    """A step's loss, and its parts before they are weighted."""

    total: Tensor
    parts: dict[str, float]


class Losses:
    """Compares what a network says with what is known."""

    def __init__(self, head: HeadModel, spread: Tensor) -> None:
        """`spread` [K, 50]: standard deviation of each action over the examples of each kind.

        So rare and small actions count too; and synthetic faces, which act far more than real ones, do not drown them.
        """
        self._spread = spread.clamp(min=LEAST_SPREAD)
        self._layer = HeadLayer(head, landmarks_only=True)
        moves = torch.from_numpy(head.shape_basis).square().sum(dim=(0, 1))  # [300] square metres
        self._axes = moves / moves.sum()
        self._counts = torch.ones(len(EXPRESSION_NAMES))
        self._counts[GAZE_ASIDE] = GAZE
        self._counts[[EXPRESSION_NAMES.index(name) for name in LIPS]] = LIPS_COUNT

    def roots(self, parameters: Tensor) -> Tensor:
        """The joints [B, 3] that heads of parameters [B, 361] turn about."""
        return self._layer.root(Numbers.of(parameters).shape)

    def __call__(self, found: Numbers, batch: Batch, twins: int = 0) -> Loss:
        """The loss of what was `found` in a batch, of which the last are `twins` of the first."""
        known = Numbers.of(batch.parameters)
        face = self._layer(found.shape, found.expression, known.pose, found.jaw, found.eyelids)
        placed = self._layer(
            found.shape.detach(), found.expression.detach(), found.pose, found.jaw.detach(), found.eyelids.detach()
        )
        off = found.expression - known.expression
        parts = {
            **self._points("", face, known.camera, batch),
            **self._points("placed ", placed, found.camera, batch),
            "expression": (self._counts * (off / self._spread[batch.kinds]).square()).mean(),
            "eyelids": _square(found.eyelids - known.eyelids, LID),
            "jaw": _robust(found.jaw - known.jaw, JAW),
            "pose": _robust(found.pose - known.pose, TURN),
            "camera": _camera(found.camera, known.camera),
            # Weighted by how much each axis moves the mesh: the share of the surface's variance that is missed.
            "shape": ((found.shape - known.shape).square() * self._axes).sum(1).mean(),
            "unrest": unrest(found, known, twins),
        }
        total = torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum()
        return Loss(total, {name: float(part.detach()) for name, part in parts.items()})

    def _points(self, prefix: str, head: Head, camera: Tensor, batch: Batch) -> dict[str, Tensor]:
        points = project(head.mediapipe, camera)[..., :2]
        outline = project(head.full[:, : batch.outline.shape[1]], camera)[..., :2]
        return {
            f"{prefix}points": (points - batch.points).abs().mean() / POINT,
            f"{prefix}outline": (outline - batch.outline).abs().mean() / OUTLINE,
        }


def _square(error: Tensor, good: float) -> Tensor:
    return (error / good).square().mean()


def _robust(error: Tensor, good: float) -> Tensor:
    return F.smooth_l1_loss(error / good, torch.zeros_like(error))


def _camera(found: Tensor, known: Tensor) -> Tensor:
    error = camera_error(found, known)
    return _robust(error[:, :1], SCALE) + _robust(error[:, 1:], SHIFT)
