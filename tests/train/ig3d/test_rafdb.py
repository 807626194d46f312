"""RAF-DB in both of its layouts, made here."""

from pathlib import Path

import numpy as np
import pytest

from models.emotion import EMOTIONS
from train.errors import MediaError
from train.ig3d.rafdb import read_raf_db

SHOWN = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""By official label - 1."""


def official(root: Path, lines: list[str] | None = None) -> Path:
    """One training picture of each label, and one test picture."""
    aligned = root / "Image" / "aligned"
    aligned.mkdir(parents=True)
    for name in (*(f"train_0000{label}" for label in range(1, 8)), "test_0001"):
        (aligned / f"{name}_aligned.jpg").touch()
    labels = root / "EmoLabel" / "list_patition_label.txt"
    labels.parent.mkdir()
    lines = lines or [*(f"train_0000{label}.jpg {label}" for label in range(1, 8)), "test_0001.jpg 4", ""]
    labels.write_text("\n".join(lines))
    return labels


@pytest.mark.parametrize("below", ["basic", "."])
def test_the_official_release(tmp_path: Path, below: str) -> None:
    official(tmp_path / below)
    train, test = read_raf_db(tmp_path, "train"), read_raf_db(tmp_path, "test")
    assert train.ids == tuple(f"train_0000{label}" for label in range(1, 8))
    assert [EMOTIONS[place] for place in train.emotion] == list(SHOWN)
    assert train.paths[0].name == "train_00001_aligned.jpg"
    assert np.isnan(train.affect).all()
    assert test.ids == ("test_0001",)
    assert EMOTIONS[test.emotion[0]] == "happiness"


@pytest.mark.parametrize("below", ["DATASET", "."])
def test_folders_of_classes(tmp_path: Path, below: str) -> None:
    for split, folder in (("train", "train"), ("test", "val")):
        for label in range(7):
            (tmp_path / below / folder / str(label)).mkdir(parents=True)
            (tmp_path / below / folder / str(label) / f"{split}_{label}_aligned.jpg").touch()
    for split in ("train", "test"):
        found = read_raf_db(tmp_path, split)
        assert found.ids == tuple(f"{split}_{label}" for label in range(7))
        assert [EMOTIONS[place] for place in found.emotion] == list(SHOWN)


@pytest.mark.parametrize("line", ["train_00001.jpg 8", "train_00001.jpg 0", "train_00001.jpg", "train_00001.jpg a b"])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    labels = official(tmp_path, ["test_0001.jpg 4", line])
    with pytest.raises(MediaError, match="expected a picture's name and a label") as raised:
        read_raf_db(tmp_path, "train")
    assert str(raised.value).startswith(f"{labels}, line 2: ")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no split val"):
        read_raf_db(tmp_path, "val")
    with pytest.raises(MediaError, match="no RAF-DB"):
        read_raf_db(tmp_path, "train")
    labels = official(tmp_path, ["train_00001.jpg 1", "train_00001.jpg 2"])
    with pytest.raises(MediaError, match="line 2: train_00001 has a label already"):
        read_raf_db(tmp_path, "train")
    labels.write_text("train_00001.jpg 1\ntrain_09999.jpg 2\n")
    with pytest.raises(MediaError, match=r"1 of 2 .*\(train_09999_aligned\)"):
        read_raf_db(tmp_path, "train")
    with pytest.raises(MediaError, match="no picture of the split test"):
        read_raf_db(tmp_path, "test")
    labels.write_bytes(b"\xff\xfe")
    with pytest.raises(MediaError, match="no labels can be read"):
        read_raf_db(tmp_path, "test")


def test_a_picture_of_two_classes_and_empty_classes_are_refused(tmp_path: Path) -> None:
    for label in ("0", "1"):
        (tmp_path / "train" / label).mkdir(parents=True)
    with pytest.raises(MediaError, match="no pictures in its folders"):
        read_raf_db(tmp_path, "train")
    for label in ("0", "1"):
        (tmp_path / "train" / label / "a.jpg").touch()
    with pytest.raises(MediaError, match="picture a is also"):
        read_raf_db(tmp_path, "train")
