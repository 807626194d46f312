"""`flamestream-train synthetic`: a sheet to look at, and a rate."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train import __main__ as command
from train.synthetic.faces import SyntheticFaces
from train.synthetic.sheet import draw_sheet


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["flamestream-train", "synthetic", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return int(ended.value.code or 0)


def test_showing_writes_a_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "sheet.png"
    assert run(monkeypatch, "show", "--out", str(out), "--faces", "3", "--seed", "2") == 0
    with Image.open(out) as picture:
        assert picture.size == (8 * 224, 224)


def test_a_sheet_marks_landmarks_on_some(faces: SyntheticFaces) -> None:
    batch = faces.batch([0, 1])
    sheet = draw_sheet(batch)
    assert not np.array_equal(sheet[:, :224], batch.images[0])
    assert np.array_equal(sheet[:, 224:448], batch.images[1])
    assert not sheet[:, 448:].any()


def test_a_missing_head_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.npz"
    assert run(monkeypatch, "show", "--head", str(missing), "--out", str(tmp_path / "sheet.png")) == 1
    assert str(missing) in capsys.readouterr().err.strip().splitlines()[-1]


def test_the_rate_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "rate", "--workers", "1", "--faces", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["faces"] == 16
    assert told["faces_per_second"] == pytest.approx(told["faces"] / told["elapsed_s"], rel=0.05)
