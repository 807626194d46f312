"""The plan of the examples, and what follows from its seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Media
from train.default.data import Amounts, Task, make_examples, plan
from train.default.examples import Examples, read_examples

FEW = Amounts(synthetic=70, portraits=40)


@pytest.fixture
def folder(media: Media) -> Path:
    return media("congress").parent


@pytest.mark.media
def test_no_seed_of_one_split_is_one_of_the_other(folder: Path) -> None:
    of_split = {
        split: {task.own_seed for seed in range(4) for task in plan(folder, split, FEW, seed)}
        for split in ("train", "held_out")
    }
    assert {split: len(seeds) for split, seeds in of_split.items()} == {"train": 4, "held_out": 4}
    assert not of_split["train"] & of_split["held_out"]


@pytest.mark.media
def test_another_seed_is_the_same_work_done_otherwise(folder: Path) -> None:
    tasks, others = (plan(folder, "train", FEW, seed) for seed in (0, 1))
    assert [task.kind for task in tasks] == ["stills", "stills", "synthetic", "synthetic"]
    assert [replace(task, seed=1) for task in tasks] == others


def test_examples_follow_from_the_seed_and_tell_it(tmp_path: Path) -> None:
    def made(name: str, seed: int) -> Examples:
        tasks = [Task("synthetic", 0, "train", seed, count=2)]
        assert make_examples(tmp_path / name, tasks, 1, lambda _: None) == 2
        return read_examples(tmp_path / name, seed)

    one, again, other = made("one", 0), made("again", 0), made("other", 1)
    np.testing.assert_array_equal(one.images, again.images)
    np.testing.assert_array_equal(one.parameters, again.parameters)
    assert (one.parameters != other.parameters).any(axis=1).all()
