"""MediaPipe as a teacher: landmarks and blendshapes of the faces in a picture, by the engines that a run uses."""

import re
from dataclasses import dataclass

import numpy as np

from models import blaze_face, face_mesh
from models.face_engines import FaceEngines
from models.geometry import Float64Array, Image, crop_box, letterbox, regions_to_frame, sample_regions
from models.open_basis import BLENDSHAPE_NAMES
from models.spec import FloatArray

STILL_LOOKS = 3
"""How often a picture that stands alone is looked at: the region that landmarks give is better than the detector's."""

NEAR_LOOKS = 2
_OTHER_SIDE = {"Left": "Right", "Right": "Left"}
_CHANGED = [
    BLENDSHAPE_NAMES.index(re.sub("Left|Right", lambda side: _OTHER_SIDE[side[0]], name)) for name in BLENDSHAPE_NAMES
]
"""For each action, the place of the other side's."""


@dataclass(frozen=True, slots=True)
class Faces:
    """What the teacher sees of F faces in one picture, best detection first."""

    landmarks: FloatArray  # [F, 478, 3] frame pixels
    blendshapes: FloatArray  # [F, 52]
    boxes: FloatArray  # [F, 3] SMIRK's crops

    def __len__(self) -> int:
        return len(self.landmarks)


class Teacher:
    """Looks at pictures, one after another of a clip or each by itself."""

    def __init__(self, engines: FaceEngines) -> None:
        self._engines = engines
        self._regions: Float64Array = np.empty((0, 5))

    def look(self, rgb: Image) -> Faces:
        """The faces of a picture that stands alone."""
        regions = self._detect(rgb)
        for _ in range(STILL_LOOKS):
            landmarks, regions = self._see(rgb, regions)
        return self._faces(landmarks)

    def follow(self, rgb: Image) -> Faces:
        """The faces of a clip's next picture: sought where they were, or anew when one of them is lost."""
        before = len(self._regions)
        landmarks, self._regions = self._see(rgb, self._regions)
        if before == 0 or len(landmarks) < before:
            landmarks, self._regions = self._see(rgb, self._detect(rgb))
        return self._faces(landmarks)

    def forget(self) -> None:
        """The next picture is of another clip."""
        self._regions = np.empty((0, 5))

    def look_near(self, rgb: Image, landmarks: FloatArray) -> Faces:
        """The faces of a picture that are known to be about where landmarks [F, 478, 3] were; others are left out."""
        regions = face_mesh.landmark_regions(landmarks)
        for _ in range(NEAR_LOOKS):
            found, regions = self._see(rgb, regions)
        return self._faces(found)

    def mirrored(self, rgb: Image, landmarks: FloatArray) -> FloatArray:
        """Blendshapes [F, 52] of the faces with landmarks [F, 478, 3], of the mirrored picture; sides changed back."""
        if len(landmarks) == 0:
            return np.empty((0, len(BLENDSHAPE_NAMES)), np.float32)
        mirrored = np.ascontiguousarray(rgb[:, ::-1])
        regions = face_mesh.landmark_regions(landmarks)
        regions[:, 0] = rgb.shape[1] - 1 - regions[:, 0]
        regions[:, 4] *= -1
        for _ in range(NEAR_LOOKS):
            points, _ = self._engines.landmarks(sample_regions(mirrored, regions, face_mesh.INPUT_SIZE))
            found = regions_to_frame(points, regions)
            regions = face_mesh.landmark_regions(found)
        return self._faces(found).blendshapes[:, _CHANGED]

    def _detect(self, rgb: Image) -> Float64Array:
        boxes, scores = self._engines.detector(letterbox(rgb, blaze_face.INPUT_SIZE)[None])
        height, width = rgb.shape[:2]
        found = blaze_face.decode(boxes[0], scores[0], width, height, blaze_face.MIN_SCORE)
        return blaze_face.detection_regions(found)

    def _see(self, rgb: Image, regions: Float64Array) -> tuple[FloatArray, Float64Array]:
        """Landmarks [F, 478, 3] in those regions that hold a face, and the regions that follow from them."""
        if len(regions) == 0:
            return np.empty((0, face_mesh.LANDMARKS, 3), np.float32), regions
        points, presence = self._engines.landmarks(sample_regions(rgb, regions, face_mesh.INPUT_SIZE))
        seen = presence >= face_mesh.MIN_PRESENCE
        landmarks = regions_to_frame(points[seen], regions[seen])
        return landmarks, face_mesh.landmark_regions(landmarks)

    def _faces(self, landmarks: FloatArray) -> Faces:
        if len(landmarks) == 0:
            return Faces(landmarks, np.empty((0, 52), np.float32), np.empty((0, 3), np.float32))
        (blendshapes,) = self._engines.blendshapes(landmarks)
        return Faces(landmarks, blendshapes, crop_box(landmarks))
