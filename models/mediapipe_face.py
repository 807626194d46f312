"""The default face model: FLAME parameters of the `open` basis, computed from MediaPipe's landmarks and blendshapes.

It looks at no pixels of its own: it costs one 3x3 decomposition per face (well under 0.5 ms on one core, a fifth of
that in batches) and needs nothing but the face_landmarker task that finds the faces anyway. Identity it cannot tell:
the shape is zero.

Pose and camera are those of the open head, the basis' own: MediaPipe's canonical face is laid over it once, in size and
place but not turned, so the rotations stay the canonical face's. On 102 portraits and 4 acted faces the head's 105
points then lie 6.3 % of the eyes' distance beside MediaPipe's at the median (people differ in shape), where a camera of
the canonical face's own space puts them 26 % away.
"""

import hashlib
from pathlib import Path

import numpy as np

from models.head import HeadModel
from models.head_pose import CanonicalFace, DoubleArray, fit_head, read_canonical_face
from models.open_basis import from_blendshapes
from models.open_head import load_open_head
from models.spec import FLAME_LAYOUT, Basis, FaceBatch, FlameParams

_ROOT = 0  # of head.JOINTS


class MediapipeFaceModel:
    """The `mediapipe` face model; open one with `open_mediapipe_face`."""

    name = "mediapipe"
    basis: Basis = "open"
    needs_crops = False

    def __init__(self, face: CanonicalFace, head: HeadModel, model_hash: str) -> None:
        """`face` as the task file has it; `head`: whose pose and camera to tell."""
        self.model_hash = model_hash
        root = head.joint_regressor[_ROOT].astype(np.float64) @ head.template  # [3] about which a head turns
        self._face = CanonicalFace(laid_over(face, head) - root, face.weights)
        self._root_shift = root[:2].astype(np.float32)
        self._shape = np.zeros(FLAME_LAYOUT["shape"], np.float32)
        self._shape.flags.writeable = False  # every result shares it

    def __call__(self, faces: FaceBatch) -> list[FlameParams]:
        """Parameters of each face, in order: pose and camera from the landmarks, the rest from the blendshapes."""
        if len(faces) == 0:
            return []
        pose, camera = fit_head(self._face, faces.landmarks, faces.crop_boxes)
        camera[:, 1:] -= self._root_shift  # fitted to points counted from the root
        expression, eyelids, jaw = from_blendshapes(faces.blendshapes)
        return [
            FlameParams(self._shape, expression[i], pose[i], jaw[i], eyelids[i], camera[i]) for i in range(len(faces))
        ]


def laid_over(face: CanonicalFace, head: HeadModel) -> DoubleArray:
    """The canonical face's points [468, 3], metres, scaled and shifted to lie nearest to a head's 105 points."""
    corners = head.template[head.faces[head.mediapipe.triangles]].astype(np.float64)  # [105, 3, 3]
    points = np.einsum("nc,nci->ni", head.mediapipe.weights, corners)  # [105, 3]
    source = face.points[head.mediapipe_indices]
    centre, middle = source.mean(axis=0), points.mean(axis=0)
    scale = ((source - centre) * (points - middle)).sum() / ((source - centre) ** 2).sum()
    moved: DoubleArray = scale * (face.points - centre) + middle
    return moved


def open_mediapipe_face(task_file: Path) -> MediapipeFaceModel:
    """The default face model, from a face_landmarker task. Raises AssetCorrupt, or as `load_open_head`."""
    face = read_canonical_face(task_file)
    with task_file.open("rb") as file:
        model_hash = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    return MediapipeFaceModel(face, load_open_head(), model_hash)
