"""The data set: exact, repeatable, and near enough to faces that MediaPipe finds them where they are."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from models.assets import fetch
from models.errors import AssetCorrupt, AssetError
from models.face_task import read_face_networks
from models.flame import HeadLayer, project
from models.geometry import crop_box
from models.head import HeadModel
from models.spec import FLAME_LAYOUT
from train.open_head.landmarks import EYE_CORNERS, find_landmarks
from train.synthetic.crop import PLACE_JITTER, SCALE_JITTER, crop_camera
from train.synthetic.faces import SyntheticBatch, SyntheticFaces

FOUND_OF = 40


@pytest.fixture(scope="module")
def task_file() -> Path:
    try:
        return fetch("face_landmarker")
    except AssetError as error:
        pytest.skip(f"the face_landmarker task cannot be had: {error}")


@pytest.fixture(scope="module")
def some(faces: SyntheticFaces) -> SyntheticBatch:
    return faces.batch(range(FOUND_OF))


def test_landmarks_are_those_of_the_parameters(head: HeadModel, some: SyntheticBatch) -> None:
    given = torch.from_numpy(some.parameters)
    shape, expression, pose, jaw, eyelids, camera = given.split(list(FLAME_LAYOUT.values()), dim=1)
    posed = HeadLayer(head)(shape, expression, pose, jaw, eyelids)
    assert np.allclose(project(posed.mediapipe, camera).numpy()[..., :2], some.landmarks, atol=1e-5)
    assert np.allclose(project(posed.full, camera).numpy()[..., :2], some.outline, atol=1e-5)
    assert some.images.shape == (FOUND_OF, 224, 224, 3)
    assert some.images.dtype == np.uint8
    assert some.parameters.dtype == some.landmarks.dtype == some.outline.dtype == np.float32
    assert some.landmarks.shape == (FOUND_OF, 105, 2)
    assert some.outline.shape == (FOUND_OF, 68, 2)
    assert len(some) == FOUND_OF


def test_a_face_is_the_same_in_every_batch(faces: SyntheticFaces, some: SyntheticBatch) -> None:
    other = faces.batch([17, 3])
    for mine, index in enumerate((17, 3)):
        assert np.array_equal(other.parameters[mine], some.parameters[index])
        assert np.array_equal(other.landmarks[mine], some.landmarks[index])
        assert np.array_equal(other.images[mine], some.images[index])
    assert not np.array_equal(some.images[3], some.images[17])


def test_another_seed_has_other_faces(head: HeadModel, faces: SyntheticFaces, some: SyntheticBatch) -> None:
    other = SyntheticFaces(head, seed=12, occluders=False)
    other._layer, other._studio = faces._layer, faces._studio  # of another seed, which the parameters do not see
    assert not np.allclose(other.batch([0]).parameters, some.parameters[:1])


def test_a_faces_pickle_is_its_head_and_numbers(head: HeadModel, faces: SyntheticFaces) -> None:
    again = pickle.loads(pickle.dumps(faces))
    assert again.seed == faces.seed
    assert len(pickle.dumps(faces)) < len(pickle.dumps(head)) + 10_000


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_share_the_faces_in_order(workers: int, faces: SyntheticFaces, some: SyntheticBatch) -> None:
    loader: DataLoader[SyntheticBatch] = DataLoader(
        faces, batch_size=None, num_workers=workers, worker_init_fn=lambda _: torch.set_num_threads(1)
    )
    batches = iter(loader)
    seen = np.concatenate([next(batches).parameters for _ in range(4)])
    assert np.array_equal(seen, some.parameters[:12])


@pytest.mark.parametrize("wrong", [{"size": 8}, {"batch_size": 0}, {"seed": -1}, {"first": -1}])
def test_what_cannot_be_is_refused(head: HeadModel, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))}"):
        SyntheticFaces(head, **wrong)


def test_the_crop_s_camera_puts_its_box_in_the_middle() -> None:
    points = np.array([[-0.05, -0.08, 0], [0.09, 0.1, 0.02], [0, 0, 0.1]], np.float32)
    x, y = project(torch.from_numpy(points)[None], torch.from_numpy(crop_camera(points))[None]).numpy()[0, :, :2].T
    assert x[0] + x[1] == pytest.approx(0, abs=1e-6)
    assert y[0] + y[1] == pytest.approx(0, abs=1e-6)
    assert ((x[1] - x[0]) + (y[0] - y[1])) / 2 == pytest.approx(2 / 1.4, rel=1e-5)
    shaken = np.array([crop_camera(points, np.random.default_rng(i)) for i in range(200)])
    sides, plain = 2 / shaken[:, 0], crop_camera(points)
    assert np.abs(sides * plain[0] / 2 - 1).max() <= SCALE_JITTER
    assert np.abs(shaken[:, 1:] - plain[1:]).max() <= PLACE_JITTER * 2 / plain[0] * 1.0001
    assert sides.std() > 0


def test_mediapipe_finds_the_faces_where_they_are(some: SyntheticBatch, head: HeadModel, task_file: Path) -> None:
    """On 9 of 10; its points lie on the truth, and its box is cut as these pictures are."""
    networks = read_face_networks(task_file)
    errors, sides, shifts = [], [], []
    for image, landmarks in zip(some.images, some.landmarks, strict=True):
        try:
            points = find_landmarks(networks, image)
        except AssetCorrupt:
            continue
        eyes = np.linalg.norm(np.subtract(*points[list(EYE_CORNERS)]))
        true = (1 + landmarks) / 2 * image.shape[0]
        errors.append(np.median(np.linalg.norm(points[head.mediapipe_indices] - true, axis=1)) / eyes)
        x, y, side = crop_box(points[None].astype(np.float32))[0]
        sides.append(side / image.shape[0])
        shifts.append(np.hypot(x - image.shape[1] / 2, y - image.shape[0] / 2) / image.shape[0])
    assert len(errors) >= 0.9 * FOUND_OF
    assert np.median(errors) < 0.06
    assert np.median(sides) == pytest.approx(1, abs=0.05)
    assert np.quantile(np.abs(np.array(sides) - 1), 0.8) < 0.13
    assert np.median(shifts) < 0.06
