"""Prediction files: they come back bit for bit, and what is wrong is told with its file and line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.train.ig3d.affect_rows import models
from train.errors import TrainingError
from train.ig3d.predictions import apart, read_predictions, same_rows, write_predictions

HEADER = "val_pred,val_true,aro_pred,aro_true"


@pytest.mark.parametrize("classes", [False, True])
def test_a_file_comes_back_bit_for_bit(tmp_path: Path, classes: bool) -> None:
    first, second = models(50, classes=classes)
    odd = np.array([[0.1 + 0.2, -5e-324], [1e-17, -0.0]])
    first = replace(
        first,
        found=np.concatenate([0.6 * first.found[2:] + 0.4 * second.found[2:], odd]),
        extra={"number": [f"{i:05d}" for i in range(50)], "note": ['a "quoted", one', *["ü"] * 49]},
    )
    path = tmp_path / "a.csv"
    write_predictions(path, first)
    back = read_predictions(path)
    assert back.found.tobytes() == first.found.tobytes()
    assert back.true.tobytes() == first.true.tobytes()
    assert {name: list(texts) for name, texts in back.extra.items()} == first.extra
    assert list(back.names or ()) == first.extra["number"]
    if classes:
        assert first.labels is not None
        assert back.labels is not None
        assert back.probabilities is not None
        assert back.labels.tolist() == first.labels.tolist()
        assert back.probabilities.tobytes() == first.probabilities.tobytes()
    else:
        assert back.labels is back.probabilities is None
    again = tmp_path / "b.csv"
    write_predictions(again, back)
    assert again.read_bytes() == path.read_bytes()


def test_the_published_layout_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f"\ufeff{HEADER}\r\n-0.25,0.5,1.01,-1.0\r\n".encode())
    told = read_predictions(path)
    assert told.found.tolist() == [[-0.25, 1.01]]
    assert told.true.tolist() == [[0.5, -1.0]]
    assert told.names is None
    assert len(told) == 1


SEVEN = "p_neutral,p_happiness,p_sadness,p_surprise,p_fear,p_disgust,p_anger"


def test_seven_classes_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER},exp_true,{SEVEN}\n0,0,0,0,6,0,0,0,0,0.25,0.5,0.25\n")
    told = read_predictions(path)
    assert told.probabilities is not None
    assert told.probabilities.tolist() == [[0, 0, 0, 0, 0.25, 0.5, 0.25]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.csv:1: no column val_pred among none; expected val_pred, val_true, aro_pred, aro_true"),
        ("val_pred,val_true,aro_pred\n0,0,0\n", r"a\.csv:1: no column aro_true"),
        (f"{HEADER},val_pred\n0,0,0,0,0\n", r"a\.csv:1: column 'val_pred' is there 2 times"),
        (f"{HEADER}\n", r"a\.csv: no rows"),
        (f"{HEADER}\n0,0,0,0\n0,0,0\n", r"a\.csv:3: 3 fields, expected 4"),
        (f"{HEADER}\n0,0,0,0\n\n", r"a\.csv:3: 0 fields, expected 4"),
        (f"{HEADER}\n0,0,0,0\n0,0,x,0\n", r"a\.csv:3: aro_pred is 'x', expected a finite number"),
        (f"{HEADER}\n0,0,nan,0\n", r"a\.csv:2: aro_pred is 'nan', expected a finite number"),
        (f"{HEADER}\n0,0,1_0,0\n", r"a\.csv:2: aro_pred is '1_0', expected a finite number"),
        (f"{HEADER}\n0,0,,0\n", r"a\.csv:2: aro_pred is '', expected a finite number"),
        (f"{HEADER}\n0,0,0,0\n0,-2,0,-2\n", r"a\.csv:3: val_true is -2, expected -1\.\.1: drop the rows"),
        (f"{HEADER},exp_true\n0,0,0,0,8\n", r"a\.csv:2: exp_true is 8, expected a whole number from 0 to 7"),
        (f"{HEADER},p_neutral\n0,0,0,0,1\n", r"a\.csv:1: no column p_happiness; expected the first 7 or all 8"),
        (f"{HEADER},{SEVEN}\n0,0,0,0,2,-1,0,0,0,0,0\n", r"a\.csv:2: p_neutral is 2, expected 0\.\.1"),
        (f"{HEADER},{SEVEN}\n0,0,0,0,.5,0,0,0,0,0,0\n", r"a\.csv:2: the sum of p_\* is 0\.5, expected 1"),
        (f'{HEADER}\n0,0,0,"0\n', r"a\.csv: no CSV in UTF-8"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_predictions(path)


def test_what_is_no_text_or_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TrainingError, match=r"a\.csv: no CSV in UTF-8"):
        read_predictions(path)
    with pytest.raises(TrainingError, match=r"none\.csv: cannot be read \(No such file or directory\)"):
        read_predictions(tmp_path / "none.csv")
    with pytest.raises(TrainingError, match=r"a\.csv: cannot be written"):
        write_predictions(tmp_path / "none" / "a.csv", models(3)[0])


def test_other_rows_do_not_go_together() -> None:
    first, second = models(20, classes=True)
    same_rows(first, second)
    with pytest.raises(TrainingError, match="model 2 does not go with model 1: 19 rows, expected 20"):
        same_rows(first, replace(second, true=second.true[1:], found=second.found[1:]))
    swapped = second.true.copy()
    swapped[[6, 7]] = swapped[[7, 6]]
    with pytest.raises(TrainingError, match=r"row 7 has the truth \["):
        same_rows(first, replace(second, true=swapped))
    with pytest.raises(TrainingError, match="row 3 has number x, expected 2"):
        same_rows(first, replace(second, extra={"number": ["0", "1", "x", *map(str, range(3, 20))]}))
    assert second.labels is not None
    with pytest.raises(TrainingError, match="row 1 has exp_true"):
        same_rows(first, replace(second, labels=(second.labels + 1) % 8))


def test_tuning_and_reporting_share_no_picture() -> None:
    first, second = models(20)
    other, _ = models(20, seed=9)
    apart(other, first)  # although their rows have the same numbers
    some = replace(
        other,
        found=np.concatenate([other.found, first.found[4:6]]),
        true=np.concatenate([other.true, first.true[4:6]]),
    )
    with pytest.raises(TrainingError, match="model 1 shares 2 rows with model 1, expected a validation split"):
        apart(some, first)
    with pytest.raises(TrainingError, match="model 2 shares 20 rows with model 1"):
        apart(second, first)  # another model, of the same pictures
