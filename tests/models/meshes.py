"""Made meshes, until and besides the open head: an ellipsoid with as many triangles as SMIRK's face region has."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from models.head import Embedding, HeadModel, IntArray


def ellipsoid(axes: tuple[float, float, float], rings: int = 42, sectors: int = 41) -> tuple[Tensor, Tensor]:
    """Vertices [V, 3] float64 and outward faces: 2 * rings * sectors, of which those at the poles have no area."""
    polar = torch.linspace(0, torch.pi, rings + 1, dtype=torch.float64)[:, None]
    around = torch.arange(sectors, dtype=torch.float64) * (2 * torch.pi / sectors)
    unit = torch.stack((polar.sin() * around.sin(), polar.cos().expand(-1, sectors), polar.sin() * around.cos()), dim=2)
    here = torch.arange(rings * sectors).view(rings, sectors)
    right, below, across = here.roll(-1, 1), here + sectors, here.roll(-1, 1) + sectors
    faces = torch.stack((here, below, right, right, below, across), dim=2).view(-1, 3)
    return unit.view(-1, 3) * torch.tensor(axes, dtype=torch.float64), faces


def made_head(template: Tensor, faces: Tensor, regions: Mapping[str, IntArray]) -> HeadModel:
    """A head that only has a surface."""
    count = len(template)
    nowhere = Embedding(np.zeros((1,), np.int64), np.full((1, 3), 1 / 3, np.float32))
    return HeadModel(
        basis="open",
        name="made",
        licence="CC0-1.0",
        template=template.float().numpy(),
        faces=faces.numpy(),
        shape_basis=np.zeros((count, 3, 300), np.float32),
        expression_basis=np.zeros((count, 3, 50), np.float32),
        pose_basis=np.zeros((36, count * 3), np.float32),
        joint_regressor=np.zeros((5, count), np.float32),
        parents=(-1, 0, 1, 1, 1),
        skinning=np.eye(1, 5, dtype=np.float32).repeat(count, axis=0),
        eyelids=np.zeros((2, count, 3), np.float32),
        contour=nowhere,
        static=nowhere,
        full=nowhere,
        mediapipe=nowhere,
        mediapipe_indices=np.zeros(105, np.int64),
        regions=regions,
    )
