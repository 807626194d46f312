"""The `flamestream-train` command: an engine from a checkpoint, or one line that says why not."""

import json
from pathlib import Path

import pytest
import torch

from models.smirk import SmirkEncoder
from tests.train.conftest import Train


def test_export_makes_the_engine_that_a_run_will_use(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    checkpoint = tmp_path / "random.pt"
    weights = SmirkEncoder().state_dict()
    torch.save({f"smirk_encoder.{name}": tensor for name, tensor in weights.items()}, checkpoint)
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path / "cache"))
    assert train("export", str(checkpoint), "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert described["model"] == "smirk"
    manifests = list((tmp_path / "cache" / "engines").glob("smirk-*/manifest.json"))
    assert len(manifests) == 1
    assert described["model_hash"] in manifests[0].read_text()


def test_a_missing_checkpoint_is_one_line(tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.pt"
    assert train("export", str(missing)) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert str(missing) in errors[-1]
