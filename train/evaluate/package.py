"""The mediapipe package, where it is installed: a second opinion on how heads are turned."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from models.geometry import Image
from models.head_pose import CanonicalFace, DoubleArray, fit_similarity
from models.spec import FloatArray

FIELD_OF_VIEW = 63.0
"""Degrees, from top to bottom, of the camera that the package takes every picture to be from."""
NEAR = 0.25
"""How far apart, in sides of the crop, the centres of the same face may be as two programs see it."""


def off_axis(boxes: FloatArray, rgb: Image) -> DoubleArray:
    """How far right and down [F, 2] crops' squares [F, 3] are from a picture's middle, in focal lengths."""
    height, width = rgb.shape[:2]
    focal = height / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    away: DoubleArray = (boxes[:, :2] - np.array([width, height]) / 2) / focal
    return away


def as_the_package_turns(face: CanonicalFace, rotations: DoubleArray, away: DoubleArray) -> DoubleArray:
    """What the package says of heads with rotations [F, 3, 3] as seen in their crops, `away` [F, 2] from the middle.

    It lays the canonical face on points in space. A camera sees those aside that are nearer further aside than the head
    is, and there the package lays them: so a head is sheared by its depth, and the rotation that fits best is another.
    """
    points = face.points @ rotations.transpose(0, 2, 1)  # [F, 468, 3]
    points[..., :2] += np.array([-1, 1]) * away[:, None] * points[..., 2:]
    turned, _, _ = fit_similarity(face.points, points, face.weights)
    return turned


class Package:
    """MediaPipe's own geometry stage."""

    def __init__(self, landmarker: Any, as_image: Any) -> None:  # noqa: ANN401 -- the package has no types
        self._landmarker = landmarker
        self._as_image = as_image

    def rotation(self, rgb: Image, box: FloatArray) -> DoubleArray:
        """Rotation [3, 3] of the face in a crop's square [3] of a picture; not a number where it sees none there."""
        found = self._landmarker.detect(self._as_image(np.ascontiguousarray(rgb)))
        size = np.array(rgb.shape[1::-1])
        for points, matrix in zip(found.face_landmarks, found.facial_transformation_matrixes, strict=True):
            places = np.array([(point.x, point.y) for point in points]) * size
            centre = (places.min(axis=0) + places.max(axis=0)) / 2
            if np.abs(centre - box[:2]).max() < NEAR * box[2]:
                turn = np.array(matrix, np.float64)[:3, :3]
                rotation: DoubleArray = turn / np.linalg.norm(turn, axis=0)
                return rotation
        return np.full((3, 3), np.nan)


@contextmanager
def open_package(task_file: Path) -> Iterator[Package | None]:
    """The package with a face_landmarker task; None where it is not installed."""
    if importlib.util.find_spec("mediapipe") is None:
        yield None
        return
    import mediapipe as mp

    options = mp.tasks.vision.FaceLandmarkerOptions(
        base_options=mp.tasks.BaseOptions(model_asset_path=str(task_file)),
        output_facial_transformation_matrixes=True,
        num_faces=2,
    )

    def as_image(rgb: Image) -> Any:  # noqa: ANN401
        return mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb)

    with mp.tasks.vision.FaceLandmarker.create_from_options(options) as landmarker:
        yield Package(landmarker, as_image)
