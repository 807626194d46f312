"""Comparison with the truth, on parameters rather than pictures."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from models.flame import HeadLayer, project
from models.head import HeadModel
from models.spec import FlameParams
from train.evaluate.figures import stacked
from train.evaluate.synthetic import Comparison, joined
from train.synthetic.faces import SyntheticBatch
from train.synthetic.parameters import PLACES, draw_parameters

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def truth(head: HeadModel) -> SyntheticBatch:
    parameters = np.stack([draw_parameters(np.random.default_rng(i)) for i in range(12)])
    parameters[:, PLACES["camera"]] = 7, 0, 0
    values = stacked(as_params(parameters))
    camera = values.pop("camera")
    with torch.inference_mode():
        points = project(HeadLayer(head)(**values).mediapipe, camera)[..., :2].numpy()
    return SyntheticBatch(np.zeros((12, 1, 1, 3), np.uint8), parameters, points, points)


def as_params(parameters: np.ndarray) -> list[FlameParams]:
    return [FlameParams(**{name: row[place].copy() for name, place in PLACES.items()}) for row in parameters]


def test_the_truth_itself_has_no_error(bench_of: Make, saying: Make, truth: SyntheticBatch) -> None:
    found = Comparison(bench_of([], saying(None)))(as_params(truth.parameters), truth)
    assert found.vertex_mm.max() < 1e-3
    assert found.degrees.max() < 1e-3
    assert found.percent.max() < 1e-2
    r = found.r()
    assert min(r.values()) == pytest.approx(1, abs=1e-4)
    assert "tongueOut" not in r  # it never moves
    assert {"jaw opening", "left lid", "shape 0", "yaw"} <= r.keys()


def test_each_error_is_told_apart(bench_of: Make, saying: Make, truth: SyntheticBatch, head: HeadModel) -> None:
    compare = Comparison(bench_of([], saying(None)))
    turned, other = truth.parameters.copy(), truth.parameters.copy()
    turned[:, PLACES["pose"]] = 0
    other[:, PLACES["shape"].start] += 1
    found = compare(as_params(turned), truth)
    expected = np.degrees(np.linalg.norm(truth.parameters[:, PLACES["pose"]], axis=1))
    assert found.degrees == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert found.vertex_mm.max() < 1e-3  # meshes are compared without their rotation
    assert found.r()["yaw"] == 0
    axis = np.linalg.norm(head.shape_basis[head.regions["face"], :, 0], axis=1).mean() * 1000
    found = compare(as_params(other), truth)
    assert found.vertex_mm.mean() == pytest.approx(axis, rel=0.1)  # the jaw turns what hangs on it
    assert found.degrees.max() < 1e-3


def test_parts_join_in_order(bench_of: Make, saying: Make, truth: SyntheticBatch) -> None:
    whole = Comparison(bench_of([], saying(None)))(as_params(truth.parameters), truth)
    assert np.array_equal(joined([whole, whole]).true[12:], truth.parameters)
