"""A published 2D network becomes a head that says what it said; what is no such file is refused by name."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from models.ddamfn import Ddamfn
from models.emotion import EMOTIONS
from models.errors import CheckpointError
from models.ig3d import read_head
from train.__main__ import app
from train.errors import TrainingError


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["ig3d", "import", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_a_published_file_becomes_a_head(tmp_path: Path) -> None:
    torch.manual_seed(2)
    theirs = Ddamfn(label_order=EMOTIONS[:7]).eval()
    torch.save({"model_state_dict": theirs.net.state_dict()}, tmp_path / "ddamfn.pth")
    out = tmp_path / "2d.safetensors"
    told = run(tmp_path / "ddamfn.pth", "--backbone", "ddamfn", "--classes", 7, "--out", out, "--json")
    assert json.loads(told) == {"head": str(out), "backbone": "ddamfn", "classes": 7}
    ours = read_head(out).eval()
    crops = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        expected = theirs.embed(theirs.pixels(crops))
        assert isinstance(ours.picture, Ddamfn)
        torch.testing.assert_close(ours.picture.embed(ours.picture.pixels(crops)), expected, atol=1e-3, rtol=1e-2)


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    torch.save({"model_state_dict": Ddamfn().net.state_dict()}, tmp_path / "ddamfn.pth")
    with pytest.raises(CheckpointError, match=r"ddamfn\.pth"):
        run(tmp_path / "ddamfn.pth", "--backbone", "ddamfn", "--classes", 7, "--out", tmp_path / "2d.safetensors")
    assert not (tmp_path / "2d.safetensors").exists()


def test_what_was_never_published_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--backbone small: expected ddamfn, efficientnet, maxvit"):
        run(tmp_path / "small.pth", "--backbone", "small", "--out", tmp_path / "2d.safetensors")
    with pytest.raises(TrainingError, match="leave --classes out"):
        run(tmp_path / "e.pt", "--backbone", "efficientnet", "--classes", 7, "--out", tmp_path / "2d.safetensors")
