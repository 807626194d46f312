"""The command's refusals, each one line, before anything is fetched or compiled."""

from pathlib import Path

import pytest
import torch

from models.errors import CheckpointError
from tests.train.conftest import Train
from train.evaluate.candidates import open_weights


def test_a_missing_clip_is_one_line(tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("evaluate", "default", "--face-model", "mediapipe", "--media", str(tmp_path), "--clip", "man") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "noface_face.mov: no such clip; give --media" in line


def test_one_model_at_a_time_is_judged(train: Train) -> None:
    assert train("evaluate", "default", "--face-model", "mediapipe", "--weights", "w.safetensors") == 2


@pytest.mark.parametrize("content", [b"no checkpoint", None])
def test_what_is_no_checkpoint_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    if content is None:
        torch.save({"mean": {"smirk.nothing": torch.zeros(1)}}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: no checkpoint of a training"):
        open_weights(path)
