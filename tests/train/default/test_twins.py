"""Twins are the same face from almost the same place, and only what differs between them counts as unrest."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from models.flame import HeadLayer, project
from models.open_head import load_open_head
from train.default.augment import Batch, augmented
from train.default.examples import Examples
from train.default.network import Numbers
from train.default.twins import unrest, with_twins
from train.synthetic.faces import SyntheticFaces
from train.synthetic.parameters import PLACES


@pytest.fixture(scope="module")
def layer() -> HeadLayer:
    return HeadLayer(load_open_head(), landmarks_only=True)


@pytest.fixture(scope="module")
def batch(layer: HeadLayer) -> Batch:
    """Six faces, the first two with twins."""
    made = SyntheticFaces(load_open_head(), seed=4).batch(range(6))
    made.parameters[:, PLACES["eyelids"]] = 0  # SMIRK adds lids after posing, so that they do not turn
    examples = Examples(made.images, made.parameters, made.landmarks, made.outline[:, :17], np.zeros(6, np.uint8))
    random, roots = torch.Generator().manual_seed(1), layer.root(Numbers.of(torch.from_numpy(made.parameters)).shape)
    return with_twins(augmented(examples, 112, random, roots), 2, random, roots)


def test_a_twin_is_almost_the_same_picture_and_its_targets_fit_it(batch: Batch, layer: HeadLayer) -> None:
    assert all(len(getattr(batch, part.name)) == 8 for part in fields(Batch))
    apart = (batch.pictures[6:] - batch.pictures[:2]).abs().mean(dim=(1, 2, 3))
    assert bool(((apart > 1e-3) & (apart < 0.05)).all())
    assert not torch.equal(batch.points[6:], batch.points[:2])
    face = Numbers.of(batch.parameters)
    head = layer(face.shape, face.expression, face.pose, face.jaw, face.eyelids)
    places = project(head.mediapipe, face.camera)[..., :2]
    moved = (places[6:] - places[:2]) - (batch.points[6:] - batch.points[:2])
    assert float(moved.abs().max()) < 2e-3


def test_an_error_that_twins_share_is_no_unrest(batch: Batch) -> None:
    known = Numbers.of(batch.parameters)
    wrong = batch.parameters.clone()
    wrong[:, PLACES["pose"]] += 0.3
    wrong[:, PLACES["expression"]] += 0.2
    assert float(unrest(Numbers.of(wrong), known, 2)) == pytest.approx(0, abs=1e-6)
    wrong[6:, PLACES["pose"]] += 0.02
    assert float(unrest(Numbers.of(wrong), known, 2)) == pytest.approx((0.02 / 0.01 - 0.5) / 5, rel=1e-3)
    assert float(unrest(Numbers.of(wrong), known, 0)) == 0


def test_the_place_counts_by_how_far_the_picture_moves(batch: Batch) -> None:
    known = Numbers.of(batch.parameters)
    wrong = batch.parameters.clone()
    scale = wrong[6:, PLACES["camera"]][:, :1]
    wrong[6:, PLACES["camera"].start + 1 : PLACES["camera"].start + 2] += 0.01 / scale
    assert float(unrest(Numbers.of(wrong), known, 2)) == pytest.approx((0.01 / 0.005 - 0.5) / 3 / 5, rel=1e-3)
