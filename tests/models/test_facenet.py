"""Encoders and an Ig3D head as one engine: the parameters are the encoders' own, and a head of others is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.engines.engine import Target
from models.errors import CheckpointError
from models.facenet import FaceNet, open_facenet
from models.ig3d import Design, Ig3dNetwork, write_head
from models.manifest import model_hash
from models.open_smirk import open_open_smirk, read_open_smirk
from models.spec import FLAME_LAYOUT, FaceBatch

EAGER = Target("torch")


def batch(count: int) -> FaceBatch:
    random = np.random.default_rng(0)
    crops = random.random((count, 3, 224, 224), np.float32)
    landmarks = np.zeros((count, 478, 3), np.float32)
    return FaceBatch(crops, landmarks[:, 0], landmarks, landmarks[:, :52, 0])


def head_file(path: Path, kind: str = "late", encoder_hash: str | None = None) -> Path:
    torch.manual_seed(0)
    named = {"encoder": "smirk-open", "encoder_hash": encoder_hash or model_hash(read_open_smirk())}
    backbone = None if kind == "3d" else "small"
    network = Ig3dNetwork(Design(kind, backbone, "smirk-full", **named))  # type: ignore[arg-type]
    write_head(network.eval(), path)
    return path


def test_one_engine_says_what_encoders_and_head_say(tmp_path: Path) -> None:
    reader = open_facenet("smirk-open", None, head_file(tmp_path / "head.safetensors"))
    params, affects = reader(batch(3))
    alone = open_open_smirk(target=EAGER)(batch(3))
    for mine, theirs in zip(params, alone, strict=True):
        for name in FLAME_LAYOUT:
            np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), atol=2e-3, rtol=1e-3)
    for affect in affects:
        assert affect.emotions is not None
        assert sum(affect.emotions) == pytest.approx(1, abs=1e-4)
    assert (reader.face_model.name, reader.head.name, reader.head.basis) == ("smirk-open", "ig3d-late", "open")
    assert reader(batch(0)) == ([], [])


def test_a_head_of_other_encoders_is_refused(tmp_path: Path) -> None:
    path = head_file(tmp_path / "head.safetensors", "3d", "0123456789ab")
    with pytest.raises(CheckpointError, match=r"trained on vectors of smirk-open 0123456789ab.*train the head anew"):
        open_facenet("smirk-open", None, path, EAGER)
    with pytest.raises(CheckpointError, match="SMIRK_em1"):
        open_facenet("smirk", None, path, EAGER)


def test_emoca_vectors_do_not_come_of_smirk() -> None:
    design = Design("3d", None, "emoca-short")
    with pytest.raises(ValueError, match="emoca-short reads shape"):
        FaceNet(torch.nn.Identity(), Ig3dNetwork(design))
