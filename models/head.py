"""What a 3D head is made of, in FLAME's terms: one description for the official FLAME and for the open head."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.spec import Basis, FloatArray

IntArray = npt.NDArray[np.int64]

JOINTS = ("root", "neck", "jaw", "left_eye", "right_eye")
"""In the order of FLAME's kinematic tree; a joint's parent comes before it."""
CONTOUR_ANGLES = 79
"""Rows of the contour's table: head turned 0..39 degrees one way, 1..39 the other."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """Points on the surface: a triangle each, and where in it."""

    triangles: IntArray  # [...]
    weights: FloatArray  # [..., 3] barycentric, of the triangle's three corners; they sum to 1


@dataclass(frozen=True, slots=True)
class HeadModel:
    """The arrays of a head: V vertices, F triangles. Metres; x to the subject's left, y up, z to the viewer."""

    basis: Basis
    name: str
    """For people: which file this is."""
    licence: str
    template: FloatArray  # [V, 3]
    faces: IntArray  # [F, 3] counter-clockwise as seen from outside
    shape_basis: FloatArray  # [V, 3, 300]; identity, in standard deviations
    expression_basis: FloatArray  # [V, 3, 50]; of the open basis one named action each (models.open_basis)
    pose_basis: FloatArray  # [36, V * 3]; correctives, of R - 1 of every joint but the root; zero where there are none
    joint_regressor: FloatArray  # [5, V]
    parents: tuple[int, ...]
    """Of JOINTS; -1 for the root."""
    skinning: FloatArray  # [V, 5]; rows sum to 1
    eyelids: FloatArray  # [2, V, 3]; what closing the left and the right lid adds, after the skinning
    contour: Embedding
    """[79, 17]: the outline of the face by how far the head is turned; row 0 frontal, see FLAME's dynamic landmarks."""
    static: Embedding
    """[51]: brows, nose, eyes and mouth of the 68 points."""
    full: Embedding
    """[68]: all of them on the frontal face."""
    mediapipe: Embedding
    """[105]: those of MediaPipe's points that lie still on a skull or lip."""
    mediapipe_indices: IntArray  # [105] which of the 478 they are
    regions: Mapping[str, IntArray]
    """Vertices by region, ascending; `face` is what SMIRK renders."""
    uv: FloatArray | None = None  # [U, 2] texture coordinates
    uv_faces: IntArray | None = None  # [F, 3]
