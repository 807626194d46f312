"""`flamestream-train synthetic`: a sheet to look at, and a rate."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.train.conftest import Train
from train.synthetic.faces import SyntheticFaces
from train.synthetic.sheet import draw_sheet


def test_showing_writes_a_sheet(tmp_path: Path, train: Train) -> None:
    out = tmp_path / "sheet.png"
    assert train("synthetic", "show", "--out", str(out), "--faces", "3", "--seed", "2") == 0
    with Image.open(out) as picture:
        assert picture.size == (8 * 224, 224)


def test_a_sheet_marks_landmarks_on_some(faces: SyntheticFaces) -> None:
    batch = faces.batch([0, 1])
    sheet = draw_sheet(batch)
    assert not np.array_equal(sheet[:, :224], batch.images[0])
    assert np.array_equal(sheet[:, 224:448], batch.images[1])
    assert not sheet[:, 448:].any()


def test_a_missing_head_is_one_line(tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.npz"
    assert train("synthetic", "show", "--head", str(missing), "--out", str(tmp_path / "sheet.png")) == 1
    assert str(missing) in capsys.readouterr().err.strip().splitlines()[-1]


def test_the_rate_is_told(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("synthetic", "rate", "--workers", "1", "--faces", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["faces"] == 16
    assert told["faces_per_second"] == pytest.approx(told["faces"] / told["elapsed_s"], rel=0.05)
