"""The default face model: FLAME parameters of the `open` basis, computed from MediaPipe's landmarks and blendshapes.

It looks at no pixels of its own: it costs one 3x3 decomposition per face (well under 0.5 ms on one core, a fifth of
that in batches) and needs nothing but the face_landmarker task that finds the faces anyway. Identity it cannot tell:
the shape is zero.
"""

import hashlib
from pathlib import Path

import numpy as np

from models.head_pose import CanonicalFace, fit_head, read_canonical_face
from models.open_basis import from_blendshapes
from models.spec import FLAME_LAYOUT, Basis, FaceBatch, FlameParams


class MediapipeFaceModel:
    """The `mediapipe` face model; open one with `open_mediapipe_face`."""

    name = "mediapipe"
    basis: Basis = "open"
    needs_crops = False

    def __init__(self, face: CanonicalFace, model_hash: str) -> None:
        self.model_hash = model_hash
        self._face = face
        self._shape = np.zeros(FLAME_LAYOUT["shape"], np.float32)
        self._shape.flags.writeable = False  # every result shares it

    def __call__(self, faces: FaceBatch) -> list[FlameParams]:
        """Parameters of each face, in order: pose and camera from the landmarks, the rest from the blendshapes."""
        if len(faces) == 0:
            return []
        pose, camera = fit_head(self._face, faces.landmarks, faces.crop_boxes)
        expression, eyelids, jaw = from_blendshapes(faces.blendshapes)
        return [
            FlameParams(self._shape, expression[i], pose[i], jaw[i], eyelids[i], camera[i]) for i in range(len(faces))
        ]


def open_mediapipe_face(task_file: Path) -> MediapipeFaceModel:
    """The default face model, from a face_landmarker task. Raises AssetCorrupt."""
    face = read_canonical_face(task_file)
    with task_file.open("rb") as file:
        model_hash = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    return MediapipeFaceModel(face, model_hash)
