"""Which examples a step learns from."""

import numpy as np
import pytest

from train.default.choice import Choice, chances
from train.default.examples import KINDS, Examples
from train.synthetic.parameters import COUNT, PLACES

SHARES = dict(zip(KINDS, (0.1, 0.3, 0.6), strict=True))


def examples(kinds: np.ndarray, parameters: np.ndarray | None = None) -> Examples:
    count = len(kinds)
    return Examples(
        np.zeros((count, 2, 2, 3), np.uint8),
        np.zeros((count, COUNT), np.float32) if parameters is None else parameters,
        np.zeros((count, 105, 2), np.float32),
        np.zeros((count, 17, 2), np.float32),
        kinds.astype(np.uint8),
    )


def test_each_kind_has_its_share() -> None:
    choice = Choice(examples(np.arange(300) % 3), SHARES, seed=0)
    chosen = np.concatenate([choice(step, 50) for step in range(100)])
    assert np.bincount(chosen % 3) / len(chosen) == pytest.approx([0.1, 0.3, 0.6], abs=0.03)


def test_the_share_of_a_kind_that_is_not_there_goes_to_the_others() -> None:
    choice = Choice(examples(np.full(20, 1)), SHARES, seed=0)
    assert len(choice(0, 16)) == 16


def test_a_step_has_the_same_examples_whenever_it_comes() -> None:
    one, other = (Choice(examples(np.arange(60) % 3), SHARES, seed=5) for _ in range(2))
    one(0, 8)
    np.testing.assert_array_equal(one(7, 32), other(7, 32))
    assert (one(8, 32) != other(7, 32)).any()


def test_faces_that_do_what_others_do_not_are_chosen_more_often() -> None:
    parameters = np.zeros((100, COUNT), np.float32)
    parameters[:, PLACES["expression"]] = np.random.default_rng(0).normal(0, 0.1, (100, 50))
    parameters[:5, PLACES["expression"]] *= 4
    choice = Choice(examples(np.full(100, 2), parameters), SHARES, seed=0)
    chosen = np.concatenate([choice(step, 50) for step in range(100)])
    assert 0.12 < (chosen < 5).mean() < 0.25  # of 5 in 100
    assert set(chosen.tolist()) == set(range(100))


def test_chances_are_whole_and_equal_where_all_do_the_same() -> None:
    assert chances(np.full((4, 50), 0.3, np.float32)) == pytest.approx(0.25)
    assert len(chances(np.zeros((0, 50), np.float32))) == 0
