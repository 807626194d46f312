"""The figures, against scikit-learn, torchmetrics, numpy and cases whose answer is known."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    mean_absolute_error,
    mean_squared_error,
    precision_recall_fscore_support,
    root_mean_squared_error,
)
from torchmetrics.functional import concordance_corrcoef, pearson_corrcoef

from tests.train.ig3d.affect_rows import said, truth
from train.errors import TrainingError
from train.ig3d.metrics import affect_agreement, agreement, classification, mean_predictor_ccc


def pair(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    true = truth(rows)
    return said(true, 0.2, 1), true


def test_errors_are_scikit_learns() -> None:
    found, true = (values[:, 0] for values in pair())
    told = agreement(found, true)
    assert told.mse == pytest.approx(mean_squared_error(true, found), rel=1e-12)
    assert told.mae == pytest.approx(mean_absolute_error(true, found), rel=1e-12)
    assert told.rmse == pytest.approx(root_mean_squared_error(true, found), rel=1e-12)


def test_correlations_are_torchmetrics() -> None:
    found, true = (torch.from_numpy(values[:, 1]) for values in pair())
    told = agreement(found.numpy(), true.numpy())
    assert told.pcc == pytest.approx(float(pearson_corrcoef(found, true)), abs=1e-10)
    # Theirs takes all moments from the sample (n - 1), ours from the population: the same once the means are.
    assert told.ccc == pytest.approx(float(concordance_corrcoef(found, true)), abs=1 / len(true))
    centred = found - found.mean() + true.mean()
    exact = float(concordance_corrcoef(centred, true))
    assert agreement(centred.numpy(), true.numpy()).ccc == pytest.approx(exact, abs=1e-10)


def test_ccc_is_what_the_squared_error_leaves() -> None:
    found, true = (values[:, 0] for values in pair())
    told = agreement(found, true)
    most = found.var() + true.var() + (found.mean() - true.mean()) ** 2
    assert told.ccc == pytest.approx(1 - told.mse / most, abs=1e-12)
    assert agreement(true, true).ccc == pytest.approx(1)
    assert agreement(-true, true).pcc == pytest.approx(-1)


def test_published_divides_a_sample_covariance_by_population_variances() -> None:
    found, true = pair()
    a, b = np.concatenate(found.T), np.concatenate(true.T)
    theirs = 2 * np.cov(b, a)[0, 1] / (np.var(b) + np.var(a) + (b.mean() - a.mean()) ** 2)
    told = affect_agreement(found, true, published=True).pooled.ccc
    assert told == pytest.approx(theirs, rel=1e-12)
    n = len(a)
    assert told == pytest.approx(affect_agreement(found, true).pooled.ccc * n / (n - 1), rel=1e-12)


def test_pooled_figures_are_of_one_vector_and_the_mean_of_two() -> None:
    found, true = pair()
    told = affect_agreement(found, true)
    assert told.pooled == agreement(np.concatenate(found.T), np.concatenate(true.T))
    assert told.mean.rmse == pytest.approx((told.valence.rmse + told.arousal.rmse) / 2)
    assert told.pooled.mse == pytest.approx(told.mean.mse)
    assert told.count == 300
    assert json.loads(json.dumps(told.to_json()))["arousal"]["ccc"] == told.arousal.ccc


def test_pooling_rewards_who_knows_nothing_but_the_means() -> None:
    true = truth(4000)
    idle = np.broadcast_to(true.mean(axis=0), true.shape)
    told = affect_agreement(idle, true)
    assert told.valence.ccc == told.arousal.ccc == told.valence.pcc == 0
    assert told.pooled.ccc == pytest.approx(mean_predictor_ccc(true), abs=1e-12)
    assert told.mean_predictor == pytest.approx(told.pooled.ccc, abs=1e-12)
    between = np.var(true.mean(axis=0))  # of the pooled variance, the part between the two means
    assert told.pooled.ccc == pytest.approx(2 * between / (between + true.T.ravel().var()), abs=1e-12)
    assert 0.4 < told.pooled.ccc < 0.7


@pytest.mark.parametrize("published", [False, True])
def test_what_does_not_move_has_no_ccc(published: bool) -> None:
    constant, true = np.full(9, 0.1), np.linspace(-1, 1, 9)
    for found, against in ((constant, true), (true, constant), (constant, constant), (true[:1], true[:1])):
        told = agreement(found, against, published=published)
        assert (told.ccc, told.pcc) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("found", "true", "message"),
    [
        ([], [], r"the truth of shape \[0\], expected \[at least 1\]"),
        ([0.1, 0.2], [0.1], r"predictions of shape \[2\], expected \[1\]"),
        ([0.1, np.nan], [0.1, 0.2], r"predictions holds nan at \[1\], expected finite"),
        ([0.1, 0.2], [np.inf, 0.2], r"the truth holds inf at \[0\], expected finite"),
        ([[0.1, 0.2]], [[0.1, 0.2]], r"the truth of shape \[1, 2\], expected \[at least 1\]"),
    ],
)
def test_what_is_no_pair_is_refused(found: list[float], true: list[float], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        agreement(found, true)


def test_valence_arousal_needs_two_columns() -> None:
    with pytest.raises(TrainingError, match=r"the truth of shape \[4\], expected \[at least 1, 2\]"):
        affect_agreement(np.zeros(4), np.zeros(4))
    with pytest.raises(TrainingError, match=r"the truth of shape \[4, 3\], expected \[at least 1, 2\]"):
        mean_predictor_ccc(np.zeros((4, 3)))


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_classification_is_scikit_learns(classes: int, average: str) -> None:
    random = np.random.default_rng(classes)
    true = random.integers(classes - 1, size=200)  # the last class is never true
    found = np.where(random.random(200) < 0.6, true, random.integers(1, classes, size=200))
    told = classification(found, true, classes)
    p, r, f, _ = precision_recall_fscore_support(true, found, average=average, zero_division=0)
    mine = getattr(told, average)
    assert (mine.precision, mine.recall, mine.f1) == pytest.approx((p, r, f), abs=1e-12)
    assert told.accuracy == pytest.approx(accuracy_score(true, found))
    assert told.weighted.recall == pytest.approx(told.accuracy)
    assert np.array_equal(told.confusion, confusion_matrix(true, found, labels=range(classes)))
    assert json.loads(json.dumps(told.to_json()))["confusion"] == [list(row) for row in told.confusion]


@pytest.mark.parametrize(("found", "true", "which"), [(8, 0, "predicted class 8"), (0, -1, "true class -1")])
def test_classes_there_are_not_are_refused(found: int, true: int, which: str) -> None:
    with pytest.raises(TrainingError, match=f"{which}, expected a whole number from 0 to 7"):
        classification([found], [true], 8)
    with pytest.raises(TrainingError, match=r"true class 0\.5"):
        classification([0], [0.5], 8)
