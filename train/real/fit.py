"""The open head fitted to what MediaPipe sees: every real face gets parameters to learn from.

The fit is SMIRK's landmark loss (arXiv 2404.04104, section 3.2), solved for each face instead of learnt: identity,
expression, lids, jaw, pose and camera that bring the head's 105 points and the 17 of its outline onto MediaPipe's,
while the actions stay near MediaPipe's own blendshapes. So the parameters agree with both, as far as both agree.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.flame import HeadLayer, project
from models.head import HeadModel
from models.head_pose import CanonicalFace, fit_head
from models.open_basis import EXPRESSION_NAMES, from_blendshapes
from models.spec import CROP_SIZE, FLAME_LAYOUT, FloatArray
from train.open_head.landmarks import CONTOUR, EYE_CORNERS
from train.real.teacher import Faces

SHAPES = 100
"""Axes of identity that landmarks can tell: 99.8 % of the open head's variance."""
OUTLINE_WEIGHT = 0.15
"""Of the outline against the 105 points: MediaPipe's slides along the cheek."""
SHAPE_PRIOR, ACTION_PRIOR, JAW_PRIOR, POSE_PRIOR = 4e-5, 4e-2, 1.5, 0.3
"""Costs of one standard deviation and of a whole action, where a mean squared error of the distance between the eyes'
outer corners costs 1. The jaw's and the pose's are of a radian. A tenth of the actions' and a hundredth of the jaw's
bring points 0.4 % of that distance nearer, but then the jaw makes up for what is identity: over a clip its opening
agrees with MediaPipe's jawOpen to r 0.61 in place of 0.99. Without the pose's, heads are fitted 1.9 degrees from how
MediaPipe's canonical face lies best, since one that looks up and one that is shaped so look alike; with it 0.3, and
points as near."""
STEPS = {"shape": 0.1, "expression": 0.03, "pose": 0.01, "jaw": 0.01, "eyelids": 0.03, "camera": 0.02}
STILL = tuple(EXPRESSION_NAMES.index(name) for name in ("jawOpen", "jawLeft", "jawRight", "tongueOut"))
"""Actions that the head leaves to the jaw joint, or that no landmark shows."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the points of B heads should be, normalised -1..1 over their crops as `models.flame.project` has it."""

    points: FloatArray  # [B, 105, 2]
    outline: FloatArray  # [B, 17, 2]
    eye_distance: FloatArray  # [B] between the outer corners of the eyes


@dataclass(frozen=True, slots=True)
class Fitted:
    """Heads as they fit best."""

    parameters: FloatArray  # [B, 361] in the order of FLAME_LAYOUT
    errors: FloatArray  # [B] mean distance of the 105 points, in distances of the eyes' outer corners


def to_crop(points: FloatArray, boxes: FloatArray) -> FloatArray:
    """Points [B, N, 2] of frames, normalised -1..1 over their crops [B, 3]; undoes `models.renderer.to_frame`.

    As SMIRK has it, -1 is the middle of the crop's first pixel.
    """
    centre, side = boxes[:, None, :2], boxes[:, None, 2:]
    pixels = ((points - centre) / side + 0.5) * (CROP_SIZE - 1)
    return np.asarray(pixels / CROP_SIZE * 2 - 1, np.float32)


def targets_of(head: HeadModel, faces: Faces) -> Targets:
    """What faces as MediaPipe sees them ask of the head."""
    points = to_crop(faces.landmarks[:, :, :2], faces.boxes)
    first, second = (points[:, corner] for corner in EYE_CORNERS)
    distance = np.linalg.norm(first - second, axis=1)
    return Targets(points[:, head.mediapipe_indices], points[:, CONTOUR], distance.astype(np.float32))


class Fitter:
    """Fits a head to faces, as many at once as are given."""

    def __init__(self, head: HeadModel, canonical: CanonicalFace) -> None:
        self._head = head
        self._layer = HeadLayer(head, landmarks_only=True)
        self._canonical = canonical

    def __call__(self, faces: Faces, *, start: FloatArray | None = None, steps: int = 150) -> Fitted:
        """Heads of F faces; `start` [F, 361]: where to begin, by default the mean face with MediaPipe's actions."""
        targets = targets_of(self._head, faces)
        expression, eyelids, jaw = from_blendshapes(faces.blendshapes)
        pose, camera = fit_head(self._canonical, faces.landmarks, faces.boxes)
        shape = np.zeros((len(faces), FLAME_LAYOUT["shape"]), np.float32)
        first = np.concatenate([shape, expression, pose, jaw, eyelids, camera], axis=1)
        wanted = {"expression": expression, "eyelids": eyelids, "jaw": jaw, "pose": pose}
        return self._fit(first if start is None else start, targets, wanted, steps)

    def _fit(self, start: FloatArray, targets: Targets, wanted: dict[str, FloatArray], steps: int) -> Fitted:
        ends = np.cumsum(list(FLAME_LAYOUT.values()))[:-1]
        parts = zip(FLAME_LAYOUT, np.split(start, ends, axis=1), strict=True)
        heads = {name: torch.from_numpy(np.ascontiguousarray(part)).requires_grad_() for name, part in parts}
        aims = {name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in wanted.items()}
        points, outline = torch.from_numpy(targets.points), torch.from_numpy(targets.outline)
        measure = torch.from_numpy(targets.eye_distance)[:, None]
        groups = [{"params": [heads[name]], "lr": step} for name, step in STEPS.items()]
        optimiser = torch.optim.Adam(groups, betas=(0.9, 0.95))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, 1e-3)
        for _ in range(steps):
            on_points, on_outline = self._distances(heads, points, outline, measure)
            cost = on_points.square().mean(1) + OUTLINE_WEIGHT * on_outline.square().mean(1) + _priors(heads, aims)
            optimiser.zero_grad()
            cost.sum().backward()  # type: ignore[no-untyped-call]
            _hold_still(heads)
            optimiser.step()
            schedule.step()
            _confine(heads)
        with torch.no_grad():
            errors = self._distances(heads, points, outline, measure)[0].mean(1)
            parameters = torch.cat([heads[name] for name in FLAME_LAYOUT], dim=1)
        return Fitted(parameters.numpy(), errors.numpy())

    def _distances(
        self, heads: dict[str, Tensor], points: Tensor, outline: Tensor, measure: Tensor
    ) -> tuple[Tensor, Tensor]:
        """How far the 105 points [B, 105] and the outline [B, 17] are from where they should be."""
        posed = self._layer(**{name: part for name, part in heads.items() if name != "camera"})
        found = project(posed.mediapipe, heads["camera"])[..., :2]
        edge = project(posed.full[:, : outline.shape[1]], heads["camera"])[..., :2]
        return (
            torch.linalg.vector_norm(found - points, dim=2) / measure,
            torch.linalg.vector_norm(edge - outline, dim=2) / measure,
        )


def _priors(heads: dict[str, Tensor], aims: dict[str, Tensor]) -> Tensor:
    """What [B] it costs that identities are unusual, and that actions and pose are not MediaPipe's."""
    off = {name: (heads[name] - aim).square().sum(1) for name, aim in aims.items()}
    actions = off["expression"] + off["eyelids"]
    rigid = JAW_PRIOR * off["jaw"] + POSE_PRIOR * off["pose"]
    return SHAPE_PRIOR * heads["shape"].square().sum(1) + ACTION_PRIOR * actions + rigid


def _hold_still(heads: dict[str, Tensor]) -> None:
    for name, columns in (("shape", slice(SHAPES, None)), ("expression", list(STILL))):
        gradient = heads[name].grad
        assert gradient is not None
        gradient[:, columns] = 0


@torch.no_grad()
def _confine(heads: dict[str, Tensor]) -> None:
    """Keeps what SMIRK's encoder can say: actions from 0 on, lids 0..1, a jaw that opens and hardly turns."""
    heads["expression"].clamp_(0, 1)
    heads["eyelids"].clamp_(0, 1)
    heads["jaw"][:, 0].clamp_(min=0)
    heads["jaw"][:, 1:].clamp_(-0.2, 0.2)
