"""Examples on disk come back as they were written, and a folder that is not whole is refused."""

from pathlib import Path

import numpy as np
import pytest

from train.default.examples import SHAPES, TYPES, Examples, join, read_examples, write_examples
from train.errors import TrainingError


def some(count: int, seed: int = 0) -> Examples:
    random = np.random.default_rng(seed)
    arrays = {name: random.uniform(0, 200, (count, *shape)).astype(TYPES[name]) for name, shape in SHAPES.items()}
    arrays["kinds"] %= 3
    return Examples(**arrays)


def test_what_is_written_in_parts_is_read_as_one(tmp_path: Path) -> None:
    parts = [some(3, 1), some(2, 2)]
    assert write_examples(tmp_path, parts, {"split": "train"}) == 5
    found, expected = read_examples(tmp_path), join(parts)
    assert len(found) == 5
    for name in SHAPES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.pick(np.array([4, 0])).points, expected.points[[4, 0]])


def test_a_folder_whose_making_was_cut_short_is_refused(tmp_path: Path) -> None:
    def cut_short() -> object:
        yield some(2)
        raise KeyboardInterrupt

    write_examples(tmp_path, [some(2)], {})
    with pytest.raises(KeyboardInterrupt):
        write_examples(tmp_path, cut_short(), {})  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="no whole set of examples"):
        read_examples(tmp_path)


def test_a_file_too_short_is_refused(tmp_path: Path) -> None:
    write_examples(tmp_path, [some(3)], {})
    (tmp_path / "points.raw").write_bytes(b"1234")
    with pytest.raises(TrainingError, match="flamestream-train default"):
        read_examples(tmp_path)


def test_examples_of_another_seed_are_refused(tmp_path: Path) -> None:
    write_examples(tmp_path, [some(2)], {"seed": 3})
    assert len(read_examples(tmp_path, seed=3)) == 2
    with pytest.raises(TrainingError, match="examples of seed 3, not 0"):
        read_examples(tmp_path)
