"""The weights that come with flamestream: they load, fit a real face, and a damaged or foreign file is refused."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from models.assets import fetch
from models.errors import CheckpointError
from models.face_engines import open_face_engines
from models.flame import HeadLayer, project
from models.open_basis import BLENDSHAPE_NAMES, actions
from models.open_head import load_open_head
from models.open_smirk import WEIGHTS, open_open_smirk, read_open_smirk
from models.real_faces import real_inputs
from models.smirk import SmirkFaceModel, split_parameters
from models.spec import CROP_SIZE, FaceBatch
from train.real.teacher import Teacher


@pytest.fixture(scope="module")
def model() -> SmirkFaceModel:
    return open_open_smirk()


def test_it_is_a_face_model_of_the_open_basis(model: SmirkFaceModel) -> None:
    assert (model.name, model.basis, model.needs_crops) == ("smirk-open", "open", True)


def test_smiles_of_a_group_and_a_portrait_are_seen(model: SmirkFaceModel) -> None:
    crops = real_inputs().crops
    nothing = np.zeros((len(crops), 478, 3), np.float32)
    params = model(FaceBatch(crops, nothing[:, 0], nothing, nothing[:, :52, 0]))
    smiles = actions(params)[:, [BLENDSHAPE_NAMES.index(f"mouthSmile{side}") for side in ("Left", "Right")]]
    assert np.median(smiles) > 0.4  # five people grin and one smiles, each more than once
    assert all(face.expression.min() >= 0 and face.expression.max() <= 1 for face in params)
    assert np.ptp(np.stack([face.shape for face in params]), axis=0).max() > 0.05  # people differ


def test_the_head_lies_where_mediapipe_sees_the_face() -> None:
    crops = real_inputs().crops
    head = load_open_head()
    with torch.inference_mode():
        parts = split_parameters(read_open_smirk()(crops))
        camera = parts.pop("camera")
        points = project(HeadLayer(head, landmarks_only=True)(**parts).mediapipe, camera)[..., :2].numpy()
    teacher = Teacher(open_face_engines(fetch("face_landmarker")))
    off = []
    for crop, found in zip(crops.numpy(), points, strict=True):
        seen = teacher.look((255 * crop.transpose(1, 2, 0)).round().astype(np.uint8))
        if len(seen):
            there = seen.landmarks[0, head.mediapipe_indices, :2] / (CROP_SIZE / 2) - 1
            off.append(np.linalg.norm(found - there, axis=1).mean())
    assert len(off) > 0.8 * len(crops)
    assert np.median(off) < 0.03  # of half a crop: 3 pixels of 224
    assert np.mean(np.array(off) < 0.06) > 0.8  # of one face it sees the neighbour, and one wears sunglasses


def test_nothing_comes_of_nobody(model: SmirkFaceModel) -> None:
    empty = np.zeros((0, 478, 3), np.float32)
    assert model(FaceBatch(np.zeros((0, 3, 224, 224), np.float32), empty[:, 0], empty, empty[:, :52, 0])) == []


def test_weights_that_lack_a_tensor_are_refused(tmp_path: Path) -> None:
    tensors = safetensors.torch.load_file(WEIGHTS)
    tensors.pop("pose_encoder.pose_cam_layers.0.bias")
    path = tmp_path / "less.safetensors"
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"less\.safetensors.*1 tensors missing"):
        read_open_smirk(path)
