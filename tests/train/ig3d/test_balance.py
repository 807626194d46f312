"""Class weights and draws."""

import numpy as np
import pytest

from train.errors import TrainingError
from train.ig3d.balance import Balance, class_counts, class_weights, draw

EMOTION = np.array([0] * 80 + [1] * 15 + [2] * 5 + [-1] * 20, np.int64)


def test_weights_are_inverse_frequencies_of_sum_one() -> None:
    weights = class_weights(EMOTION, 3)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights * class_counts(EMOTION, 3), weights[0] * 80, rtol=1e-6)


def test_drawn_classes_are_alike_and_new_each_epoch() -> None:
    first, again, other = (draw(EMOTION, 3, "drawn", 1, epoch) for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(np.sort(first), np.sort(other))
    assert len(first) == len(EMOTION)
    counts = class_counts(np.concatenate([EMOTION[draw(EMOTION, 3, "drawn", 1, epoch)] for epoch in range(30)]), 3)
    np.testing.assert_allclose(counts / counts.sum(), 1 / 3, atol=0.03)


@pytest.mark.parametrize("balance", ["drawn once", "smallest"])
def test_a_choice_made_once_is_only_shuffled_later(balance: Balance) -> None:
    first, later = (draw(EMOTION, 3, balance, 1, epoch) for epoch in (0, 5))
    assert np.array_equal(np.sort(first), np.sort(later))
    assert not np.array_equal(first, later)
    if balance == "smallest":
        assert class_counts(EMOTION[first], 3).tolist() == [5, 5, 5]
        assert len(set(first.tolist())) == 15


def test_no_balance_is_every_example_once() -> None:
    assert sorted(draw(EMOTION, 3, "none", 0, 0).tolist()) == list(range(len(EMOTION)))


def test_a_class_without_examples_is_told() -> None:
    with pytest.raises(TrainingError, match="class 3 of 4 has no examples"):
        draw(EMOTION, 4, "drawn", 0, 0)
    with pytest.raises(TrainingError, match="class 3 of 4"):
        class_weights(EMOTION, 4)
