"""The square in which the running program would cut a face, from the mesh alone.

The program cuts around MediaPipe's 478 points (models.geometry.crop_box). Their box is spanned by the outline of the
face and, on a turned head, by the nose and the brows. OUTLINE says where the outline's points lie on the template.

It was fitted to what the face_landmarker networks found on 105 near-frontal faces of seed 7, and compared on 141
of that seed, partly the same: the side is 1.00 of the program's (5 to 95 %: 0.96 to 1.07), the middle is off
by some 0.02 of it, and the two squares' intersection over union is 0.95 at the median, 0.86 at the 5th percentile.
"""

import numpy as np

from models.head import HeadModel, IntArray
from models.spec import CROP_SCALE, FloatArray

OUTLINE = (
    *((0, 85, 84), (18, 84, 83), (38, 80, 76), (51, 75, 66), (56, 71, 59), (66, 56, 34), (69, 45, 22)),
    *((70, 31, 24), (69, 17, 30), (67, 1, 34), (66, -16, 22), (64, -31, 18), (57, -47, 34), (52, -59, 31)),
    *((40, -66, 54), (34, -71, 56), (21, -75, 71), (14, -77, 74), (0, -79, 76)),
)
"""Millimetres, of one side."""
SCALE_JITTER, PLACE_JITTER = 0.07, 0.04
"""Of the square's side: the program's boxes follow a network's points."""


def spanning_vertices(head: HeadModel) -> IntArray:
    """The vertices whose box stands for that of MediaPipe's points."""
    sides = np.array([(side * x, y, z) for x, y, z in OUTLINE for side in (-1, 1)]) / 1000
    near = np.linalg.norm(head.template[None] - sides[:, None], axis=2)
    skin = np.isin(np.arange(len(head.template)), head.regions["skin"])
    outline = np.where(skin, near, np.inf).argmin(axis=1)
    return np.unique(np.concatenate([outline, head.faces[head.static.triangles].ravel()]))


def crop_camera(points: FloatArray, random: np.random.Generator | None = None) -> FloatArray:
    """The camera [3] (scale, tx, ty) of the square around points [N, 3], metres; shaken where `random` is given."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    side, centre = CROP_SCALE * float((high - low).mean()), (low + high) / 2
    if random is not None:
        centre = centre + side * random.uniform(-PLACE_JITTER, PLACE_JITTER, 2)
        side *= 1 + random.uniform(-SCALE_JITTER, SCALE_JITTER)
    return np.array([2 / side, -centre[0], -centre[1]], np.float32)
