"""What every data set becomes: checked, cut to classes, split without anybody on both sides."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.emotion import EMOTIONS
from train.ig3d.labelled import LabelledSet


def made(count: int = 40, **changed: object) -> LabelledSet:
    """Pictures of each emotion in turn, four of each person."""
    given: dict[str, Any] = {
        "name": "made",
        "split": "train",
        "paths": tuple(Path(f"{row}.jpg") for row in range(count)),
        "ids": tuple(str(row) for row in range(count)),
        "emotion": np.arange(count) % 8,
        "affect": np.linspace(-1, 1, 2 * count, dtype=np.float32).reshape(count, 2),
        "group": tuple(f"p{row // 4}" for row in range(count)),
        "time_s": np.full(count, np.nan),
    }
    return LabelledSet(**given | changed)


def test_contempt_is_dropped_for_seven_classes() -> None:
    whole = made(16)
    seven = whole.with_classes(7)
    assert whole.with_classes(8) is whole
    assert seven.class_counts == dict.fromkeys(EMOTIONS[:7], 2) | {"contempt": 0}
    assert seven.ids == tuple(str(row) for row in range(16) if row % 8 != 7)
    with pytest.raises(ValueError, match="6 classes"):
        whole.with_classes(6)  # type: ignore[arg-type]


def test_a_subset_keeps_rows_together() -> None:
    part = made().subset([3, 1])
    assert part.ids == ("3", "1")
    assert part.paths == (Path("3.jpg"), Path("1.jpg"))
    assert part.emotion.tolist() == [3, 1]
    assert np.array_equal(part.affect, made().affect[[3, 1]])
    with pytest.raises(ValueError, match="more than once"):
        made().subset([1, 1])


def test_nobody_is_on_both_sides_of_a_split() -> None:
    whole = made(4000)
    rest, aside = whole.split_off(0.25, seed=3)
    assert not set(rest.group) & set(aside.group)
    assert len(rest) + len(aside) == len(whole)
    assert len(aside) / len(whole) == pytest.approx(0.25, abs=0.04)


def test_a_split_follows_from_names_and_seed_alone() -> None:
    _, aside = made(400).split_off(0.3, seed=1)
    _, of_fewer = made(400).subset(range(200, 400)).split_off(0.3, seed=1)
    assert set(of_fewer.ids) == {name for name in aside.ids if int(name) >= 200}
    assert made(400).split_off(0.3, seed=2)[1].ids != aside.ids
    assert len(made().split_off(0.0)[1]) == 0
    assert len(made().split_off(1.0)[0]) == 0
    with pytest.raises(ValueError, match="share 2"):
        made().split_off(2)


def test_unlabelled_pictures_are_not_counted() -> None:
    unlabelled = made(8, emotion=np.full(8, -1), affect=np.full((8, 2), np.nan, np.float32))
    assert sum(unlabelled.class_counts.values()) == 0
    assert len(unlabelled.with_classes(7)) == 8


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ids": ("0", "1", "2", "0")}, r"1 ids are there more than once \(0\)"),
        ({"ids": ("0", "1", "2")}, "3 ids for 4 pictures"),
        ({"group": ("a",)}, "1 group for 4"),
        ({"emotion": np.array([0, 1, 2])}, r"emotion has shape \(3,\)"),
        ({"emotion": np.array([0, 1, 2, 8])}, "emotion 8"),
        ({"emotion": np.array([0, 1, 2, -2])}, "emotion -2"),
        ({"emotion": np.zeros(4)}, "emotion is float64"),
        ({"affect": np.zeros((4, 2))}, "affect is float64"),
        ({"affect": np.zeros((4, 3), np.float32)}, r"affect has shape \(4, 3\)"),
        ({"affect": np.full((4, 2), 1.5, np.float32)}, "beyond"),
        ({"affect": np.array([[0, np.nan]] * 4, np.float32)}, "only one of"),
        ({"time_s": np.zeros(3)}, "time_s has shape"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(4, **changed)
