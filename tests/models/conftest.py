"""MediaPipe itself as the oracle: what it sees in a real picture, from one landmarker for the whole session."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.assets import fetch
from models.geometry import crop_box
from models.spec import CROP_SIZE, FaceBatch


@dataclass(frozen=True)
class Seen:
    """One face as the mediapipe package sees it."""

    landmarks: npt.NDArray[np.float32]  # [478, 3] pixels
    blendshapes: npt.NDArray[np.float32]  # [52]
    blendshape_names: tuple[str, ...]
    rotation: npt.NDArray[np.float64]  # [3, 3] of MediaPipe's own geometry stage

    def batch(self) -> FaceBatch:
        """The face as the pipeline would pass it to a face model, without crops."""
        return FaceBatch(
            crops=np.zeros((0, 3, CROP_SIZE, CROP_SIZE), np.float32),
            crop_boxes=crop_box(self.landmarks[None]),
            landmarks=self.landmarks[None],
            blendshapes=self.blendshapes[None],
        )


Look = Callable[[Image.Image], Seen]


@pytest.fixture(scope="session")
def face_task() -> Path:
    return fetch("face_landmarker")


@pytest.fixture(scope="session")
def look(face_task: Path) -> Iterator[Look]:
    """`look(picture)`: the first face MediaPipe finds; the test fails when there is none."""
    import mediapipe as mp

    vision: Any = mp.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mp.tasks.BaseOptions(model_asset_path=str(face_task)),
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )

    with vision.FaceLandmarker.create_from_options(options) as landmarker:

        def detect(picture: Image.Image) -> Seen:
            pixels = np.ascontiguousarray(np.asarray(picture.convert("RGB")))
            found = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=pixels))
            assert found.face_landmarks, "MediaPipe finds no face in the picture"
            scale = np.array([picture.width, picture.height, picture.width])
            points = np.array([[p.x, p.y, p.z] for p in found.face_landmarks[0]])
            scores = found.face_blendshapes[0]
            matrix = np.array(found.facial_transformation_matrixes[0], np.float64)[:3, :3]
            return Seen(
                landmarks=(points * scale).astype(np.float32),
                blendshapes=np.array([score.score for score in scores], np.float32),
                blendshape_names=tuple(score.category_name for score in scores),
                rotation=matrix / np.linalg.norm(matrix, axis=0),
            )

        yield detect
