"""AffectNet in each of its layouts, made here."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from train.errors import MediaError
from train.ig3d.affectnet import read_affectnet

ROWS = ("10,0,0.0,0.1", "11,1,0.8,0.4", "12,7,-0.25,0.3", "13,6,-2,-2")


def pictures(folder: Path, numbers: Sequence[object]) -> None:
    """Files that nobody reads: a data set only lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number}.jpg").touch()


def table(root: Path, rows: Sequence[str] = ROWS, header: str = "number,exp,val,aro") -> Path:
    """A split `train` as a table."""
    pictures(root / "train" / "images", [10, 11, 12, 13])
    path = root / "train" / "annotations.csv"
    path.write_text("\n".join([header, *rows]) + "\n\n")
    return path


def arrays(folder: Path, number: int, exp: object, valence: object, arousal: object) -> None:
    """The official annotations of one picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in {"exp": exp, "val": valence, "aro": arousal, "lnd": np.zeros(136)}.items():
        np.save(folder / f"{number}_{name}.npy", np.asarray(value))


def test_a_table_beside_its_pictures(tmp_path: Path) -> None:
    table(tmp_path)
    found = read_affectnet(tmp_path, "train")
    assert found.ids == found.group == ("10", "11", "12", "13")
    assert found.paths[0] == tmp_path / "train" / "images" / "10.jpg"
    assert found.emotion.tolist() == [0, 1, 7, 6]
    assert np.allclose(found.affect[:3], [[0, 0.1], [0.8, 0.4], [-0.25, 0.3]])
    assert np.isnan(found.affect[3]).all()
    assert np.isnan(found.time_s).all()
    assert read_affectnet(tmp_path, "train", classes=7).emotion.tolist() == [0, 1, 6]


def test_a_table_beside_the_folders_of_the_splits(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    table(tmp_path).rename(tmp_path / "train_set_annotation_without_lnd.csv")
    (tmp_path / "train").rename(tmp_path / "train_set")
    assert len(read_affectnet(tmp_path, "train")) == 4


def test_columns_of_people_and_times_are_kept(tmp_path: Path) -> None:
    rows = ["10,0,0,0,anna,c1,0.04", "11,1,0,0,anna,c1,0.08", "12,2,0,0,bert,,", "13,3,0,0,,c2,0"]
    table(tmp_path, rows, "number,exp,val,aro,person,clip,time_s")
    found = read_affectnet(tmp_path, "train")
    assert found.group == ("anna", "anna", "bert", "c2")
    assert np.array_equal(found.time_s, [0.04, 0.08, np.nan, 0], equal_nan=True)


def test_pictures_without_an_emotion_are_left_out_and_counted(tmp_path: Path) -> None:
    table(tmp_path, ["10,8,0,0", "11,9,0,0", "12,8.0,-2,-2", "13,3.0,0.5,0.5"])
    found = read_affectnet(tmp_path, "train")
    assert found.ids == ("13",)
    assert found.left_out == {"none": 2, "uncertain": 1}


def test_the_official_release(tmp_path: Path) -> None:
    folder = tmp_path / "val_set"
    pictures(folder / "images", [2, 10, 3])
    arrays(folder / "annotations", 2, "3", "0.4", "0.6")  # numbers kept as text, as the release does
    arrays(folder / "annotations", 10, 5, [-0.6], -0.25)
    arrays(folder / "annotations", 3, "10", "-2", "-2")
    found = read_affectnet(tmp_path, "val")
    assert found.ids == ("2", "10")
    assert found.emotion.tolist() == [3, 5]
    assert np.allclose(found.affect, [[0.4, 0.6], [-0.6, -0.25]])
    assert found.left_out == {"no face": 1}


def test_folders_of_classes(tmp_path: Path) -> None:
    pictures(tmp_path / "val" / "0", [5])
    pictures(tmp_path / "val" / "7", [6, 7])
    found = read_affectnet(tmp_path, "val")
    assert found.ids == ("5", "6", "7")
    assert found.emotion.tolist() == [0, 7, 7]
    assert np.isnan(found.affect).all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("13,6,0.5", "shorter"),
        ("13,6,0.5,0.5,1", "longer"),
        ("13,six,0,0", "six"),
        ("13,1.5,0,0", "exp 1.5"),
        ("13,11,0,0", "exp 11, expected 0 to 10"),
        ("13,1,1.5,0", "val 1.5"),
        ("13,1,0,nan", "aro nan"),
        (",1,0,0", "number"),
        ("10,1,0,0", "picture 10 is on line 2 already"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = table(tmp_path, [*ROWS[:3], row])
    with pytest.raises(MediaError, match=message) as raised:
        read_affectnet(tmp_path, "train")
    assert str(raised.value).startswith(f"{path}, line 5: ")


def test_missing_pictures_are_named_and_counted(tmp_path: Path) -> None:
    table(tmp_path, [*ROWS, *(f"{number},0,0,0" for number in range(90, 95))])
    with pytest.raises(MediaError, match=r"5 of 9 .*\(90, 91, 92, ...\)"):
        read_affectnet(tmp_path, "train")


def test_what_is_no_affectnet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="neither a folder train nor train_set"):
        read_affectnet(tmp_path, "train")
    (tmp_path / "train").mkdir()
    with pytest.raises(MediaError, match="no annotations"):
        read_affectnet(tmp_path, "train")
    (tmp_path / "train" / "3").mkdir()
    with pytest.raises(MediaError, match="no pictures in its folders"):
        read_affectnet(tmp_path, "train")


def test_a_table_of_other_columns_and_two_tables_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, header="name,exp,val,aro")
    with pytest.raises(MediaError, match="first line is 'name,exp,val,aro'"):
        read_affectnet(tmp_path, "train")
    path.with_name("more.csv").touch()
    with pytest.raises(MediaError, match=r"annotations.csv and more.csv"):
        read_affectnet(tmp_path, "train")


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    table(tmp_path).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MediaError, match="no table can be read"):
        read_affectnet(tmp_path, "train")


def test_a_table_of_no_emotion_is_refused(tmp_path: Path) -> None:
    table(tmp_path, ["10,8,0,0"])
    with pytest.raises(MediaError, match="no picture with an emotion"):
        read_affectnet(tmp_path, "train")


def test_a_picture_of_two_classes_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "val" / "0", [5])
    pictures(tmp_path / "val" / "1", [5])
    with pytest.raises(MediaError, match="picture 5 is also"):
        read_affectnet(tmp_path, "val")


@pytest.mark.parametrize(
    ("exp", "message"),
    [
        (np.array(["x"], object), "allow_pickle"),
        ([1, 2], "2 values"),
        ("x", "could not convert"),
        (12, "exp 12"),
        (0.5, "exp 0.5"),
    ],
)
def test_an_array_that_is_no_label_is_refused(tmp_path: Path, exp: object, message: str) -> None:
    pictures(tmp_path / "val_set" / "images", [2])
    arrays(tmp_path / "val_set" / "annotations", 2, exp, 0, 0)
    with pytest.raises(MediaError, match=message):
        read_affectnet(tmp_path, "val")


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    pictures(tmp_path / "val_set" / "images", [2])
    arrays(tmp_path / "val_set" / "annotations", 2, 1, 0, 0)
    (tmp_path / "val_set" / "annotations" / "2_aro.npy").unlink()
    with pytest.raises(MediaError, match=r"2_aro.npy: No such file"):
        read_affectnet(tmp_path, "val")


def test_two_pictures_of_one_number_are_refused(tmp_path: Path) -> None:
    table(tmp_path)
    (tmp_path / "train" / "images" / "10.png").touch()
    with pytest.raises(MediaError, match=r"10.jpg and 10.png are both picture 10"):
        read_affectnet(tmp_path, "train")
