"""Intervals: the fast way and the plain way agree, they cover what they should, groups stay whole."""

import numpy as np
import pytest

from tests.train.ig3d.affect_rows import said, truth
from train.errors import TrainingError
from train.ig3d.bootstrap import (
    Plan,
    bootstrap,
    bootstrap_affect,
    bootstrap_affect_difference,
    bootstrap_difference,
)
from train.ig3d.metrics import affect_agreement

TRUE = truth(80)
FIRST, SECOND = said(TRUE, 0.2, 1), said(TRUE, 0.3, 2)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("groups", [None, np.arange(80) // 7])
def test_sums_give_what_resampled_rows_give(published: bool, groups: np.ndarray | None) -> None:
    plan = Plan(repeats=60, seed=3, groups=groups)
    fast = bootstrap_affect(FIRST, TRUE, plan, published=published)
    less = bootstrap_affect_difference(FIRST, SECOND, TRUE, plan, published=published)
    for name in ("valence ccc", "arousal pcc", "mean mae", "pooled ccc", "pooled rmse"):
        part, figure = name.split()

        def metric(found: np.ndarray, true: np.ndarray, part: str = part, figure: str = figure) -> float:
            told = affect_agreement(found, true, published=published)
            return float(getattr(getattr(told, part), figure))

        for mine, plain in (
            (fast[name], bootstrap(metric, FIRST, TRUE, plan)),
            (less[name], bootstrap_difference(metric, FIRST, SECOND, TRUE, plan)),
        ):
            assert (mine.value, mine.low, mine.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-9)


def test_the_same_seed_draws_the_same_rows() -> None:
    one, two = (bootstrap_affect(FIRST, TRUE, Plan(50, seed)) for seed in (1, 1))
    assert one == two
    assert one != bootstrap_affect(FIRST, TRUE, Plan(50, 2))


def test_blocks_are_only_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.ig3d.bootstrap.BLOCK", 80 * 7)
    blocks = list(Plan(30, 0).counts(80))
    assert [len(block) for block in blocks] == [7, 7, 7, 7, 2]
    assert all((block.sum(axis=1) == 80).all() for block in blocks)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of a correlation and of a mean whose population values are known; nine in ten, give or take 400 trials' luck."""
    random = np.random.default_rng(5)
    held = np.zeros(2)
    for trial in range(400):
        true = random.normal(size=(200, 2))
        found = 0.6 * true + 0.8 * random.normal(size=(200, 2))
        told = bootstrap_affect(found, true, Plan(200, trial, 0.9))
        known = {"valence pcc": 0.6, "arousal mse": 0.8}
        held += [told[name].low <= value <= told[name].high for name, value in known.items()]
    assert ((held / 400 > 0.85) & (held / 400 < 0.95)).all(), held / 400


def test_a_difference_is_surer_than_its_parts() -> None:
    better = said(TRUE, 0.02, 4)
    plan = Plan(400)
    less = bootstrap_affect_difference(better, SECOND, TRUE, plan)["mean ccc"]
    assert less.excludes_zero
    assert less.low > 0
    none = bootstrap_affect_difference(FIRST, FIRST, TRUE, plan)["mean ccc"]
    assert (none.low, none.value, none.high) == (0, 0, 0)
    assert not none.excludes_zero


def test_whole_groups_are_drawn() -> None:
    groups = np.array(["a", "b", "b", "c", "c", "c"])
    for counts in Plan(40, groups=groups).counts(6):
        assert (counts[:, 1] == counts[:, 2]).all()
        assert (counts[:, 3] == counts[:, 5]).all()
        assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_rows_of_one_person_widen_the_interval() -> None:
    true, found = np.repeat(TRUE[:20], 8, axis=0), np.repeat(FIRST[:20], 8, axis=0)
    rows = bootstrap_affect(found, true, Plan(300))["valence ccc"]
    people = bootstrap_affect(found, true, Plan(300, groups=np.repeat(np.arange(20), 8)))["valence ccc"]
    assert people.high - people.low > 1.5 * (rows.high - rows.low)


@pytest.mark.parametrize("plan", [Plan(0), Plan(5, confidence=1.0), Plan(5, groups=np.zeros(3))])
def test_plans_that_cannot_be_are_refused(plan: Plan) -> None:
    with pytest.raises(TrainingError, match="expected"):
        bootstrap_affect(FIRST, TRUE, plan)


def test_unpaired_samples_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"predictions of shape \[3\], expected as many as the truth \[2\]"):
        bootstrap(lambda a, b: 0.0, np.zeros(3), np.zeros(2), Plan(5))
