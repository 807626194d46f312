"""`flamestream-train default`: from pictures to weights that a run can load, and again without doing it twice."""

import json
from pathlib import Path

import pytest

from models.open_smirk import open_open_smirk
from tests.conftest import Media
from tests.train.conftest import Train


@pytest.mark.media
def test_quick_training_writes_weights_and_goes_on_where_it_was(
    tmp_path: Path, media: Media, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = media("congress").parent, tmp_path / "tried.safetensors"
    arguments = ("--quick", "--media", str(folder), "--work", str(tmp_path / "work"), "--out", str(out), "--json")
    assert train("default", *arguments) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["step"] == first["of"] == 10
    assert out.stat().st_size == first["bytes"] < 10_000_000
    assert open_open_smirk(out).basis == "open"

    made = (tmp_path / "work" / "examples" / "about.json").stat().st_mtime_ns
    content = out.read_bytes()
    assert train("default", *arguments) == 0
    assert (tmp_path / "work" / "examples" / "about.json").stat().st_mtime_ns == made
    assert out.read_bytes() == content

    assert train("default", *arguments, "--seed", "1") == 1
    assert "give --seed 0 or another --work" in capsys.readouterr().err


def test_a_folder_without_pictures_is_refused_in_one_line(
    tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("default", "--quick", "--media", str(tmp_path), "--work", str(tmp_path / "work")) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "no portraits" in line
    assert "--media" in line


def test_weights_that_are_not_there_are_refused_before_any_example_is_made(
    tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    start, work = tmp_path / "gone.safetensors", tmp_path / "work"
    assert train("default", "--quick", "--media", str(tmp_path), "--work", str(work), "--start", str(start)) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert str(start) in line
    assert not work.exists()
