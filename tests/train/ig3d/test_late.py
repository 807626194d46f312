"""Late fusion: bit for bit as published, each picture by itself, weights from validation alone."""

import numpy as np
import pytest

from models.fusion import Rule
from tests.train.ig3d.affect_rows import models, said, truth
from train.errors import TrainingError
from train.ig3d.evaluation import mean_ccc
from train.ig3d.late import (
    GRID,
    RULES,
    fit_affine,
    fit_temperature,
    fuse,
    softmax,
    tune_weight,
)
from train.ig3d.metrics import affect_agreement, mean_predictor_ccc

FIRST, SECOND = (model.found for model in models(200))


def test_fusion_is_float64s_own_arithmetic() -> None:
    assert np.array_equal(fuse("weighted", FIRST, SECOND), 0.6 * FIRST + 0.4 * SECOND)
    assert np.array_equal(fuse("mean", FIRST, SECOND), (FIRST + SECOND) / 2)
    rows = zip(fuse("max", FIRST, SECOND), fuse("min", FIRST, SECOND), FIRST, SECOND, strict=True)
    for most, least, a, b in rows:
        assert most.tolist() == [max(a[0], b[0]), max(a[1], b[1])]  # signed: not the larger in size
        assert least.tolist() == [min(a[0], b[0]), min(a[1], b[1])]
    assert fuse("mean", FIRST.astype(np.float32), SECOND).dtype == np.float64


@pytest.mark.parametrize(("weight", "rest"), [(0.6, 0.4), (0.8, 0.2), (0.77, 0.23), (0.65, 0.35), (1.0, 0.0)])
def test_shares_are_the_decimals_that_were_meant(weight: float, rest: float) -> None:
    assert np.array_equal(fuse("weighted", FIRST, SECOND, weight), weight * FIRST + rest * SECOND)


@pytest.mark.parametrize("rule", RULES)
def test_the_order_and_the_batch_of_pictures_do_not_matter(rule: Rule) -> None:
    order = np.random.default_rng(0).permutation(len(FIRST))
    whole = fuse(rule, FIRST, SECOND)
    assert np.array_equal(fuse(rule, FIRST[order], SECOND[order]), whole[order])
    singles = [fuse(rule, a[None], b[None]) for a, b in zip(FIRST, SECOND, strict=True)]
    assert np.array_equal(np.concatenate(singles), whole)


@pytest.mark.parametrize("second", [SECOND[0], SECOND[:1], SECOND[:, :1], SECOND[:7]])
def test_nothing_is_spread_over_a_batch(second: np.ndarray) -> None:
    for rule in RULES:
        with pytest.raises(TrainingError, match=r"the second predictions of shape .*, expected \[200, 2\]"):
            fuse(rule, FIRST, second)


def test_a_weight_is_a_share() -> None:
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(TrainingError, match=r"a weight of .*, expected 0\.\.1"):
            fuse("mean", FIRST, SECOND, weight)


def test_softmax_is_of_each_picture() -> None:
    z = np.array([[1000.0, 1000.0], [0.0, np.log(3)]])
    assert softmax(z) == pytest.approx(np.array([[0.5, 0.5], [0.25, 0.75]]))
    assert softmax(z, 2.0)[1] == pytest.approx(np.array([1, 3**0.5]) / (1 + 3**0.5))
    with pytest.raises(TrainingError, match="a temperature of 0"):
        softmax(z, 0)


def test_a_temperature_undoes_what_was_too_sure() -> None:
    random = np.random.default_rng(2)
    z = random.normal(size=(4000, 5)) * 2
    labels = np.array([random.choice(5, p=row) for row in softmax(z)])
    assert fit_temperature(z, labels) == pytest.approx(1, abs=0.12)
    assert fit_temperature(4 * z, labels) == pytest.approx(4, abs=0.5)
    with pytest.raises(TrainingError, match=r"labels of shape \[3\], expected \[4000\] of 0\.\.4"):
        fit_temperature(z, labels[:3])


def test_the_weight_follows_who_is_better() -> None:
    true = truth(2000)
    good, bad = said(true, 0.05, 1), said(true, 0.6, 2)
    assert tune_weight(good, bad, true, mean_ccc).weight > 0.9
    assert tune_weight(bad, good, true, mean_ccc).weight < 0.1
    even = tune_weight(said(true, 0.3, 3), said(true, 0.3, 4), true, mean_ccc)
    assert 0.35 < even.weight < 0.65
    assert even.rows == 2000
    assert even.value == max(mean_ccc(fuse("weighted", said(true, 0.3, 3), said(true, 0.3, 4), w), true) for w in GRID)


def test_tuning_needs_weights_and_a_metric_that_tells() -> None:
    with pytest.raises(TrainingError, match="a grid of no weights"):
        tune_weight(FIRST, SECOND, FIRST, mean_ccc, ())
    with pytest.raises(TrainingError, match="the metric is nan"):
        tune_weight(FIRST, SECOND, FIRST, lambda a, b: float("nan"))


def test_a_line_shrinks_as_numpys_least_squares() -> None:
    true = truth(500)
    found = said(true, 0.5, 1) * 1.5 + 0.2
    line = fit_affine(found, true)
    for column in (0, 1):
        slope, offset = np.polyfit(found[:, column], true[:, column], 1)
        assert (line.slope[column], line.offset[column]) == pytest.approx((slope, offset))
    before, after = (affect_agreement(values, true).pooled for values in (found, line(found)))
    assert after.mse < before.mse
    still = fit_affine(np.full_like(true, 0.3), true)
    assert still(found) == pytest.approx(np.broadcast_to(true.mean(axis=0), true.shape))
    told = affect_agreement(still(found), true)
    assert told.pooled.ccc == pytest.approx(mean_predictor_ccc(true))
    with pytest.raises(TrainingError, match=r"the truth of shape \[499, 2\], expected \[500, 2\]"):
        fit_affine(found, true[1:])
