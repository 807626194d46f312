"""Each part of the loss tells of one kind of error, in units that make the parts comparable."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.flame import HeadLayer, project
from models.open_basis import EXPRESSION_NAMES
from models.open_head import load_open_head
from train.default.augment import Batch, plain
from train.default.examples import Examples
from train.default.losses import GAZE, Losses
from train.default.network import Numbers
from train.synthetic.faces import SyntheticFaces

SPREADS = torch.tensor([0.1, 0.2, 0.4])[:, None].expand(3, 50)


@pytest.fixture(scope="module")
def losses() -> Losses:
    return Losses(load_open_head(), SPREADS)


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Six faces, two of each kind, whose points are those of their parameters."""
    made = SyntheticFaces(load_open_head(), seed=4).batch(range(6))
    face = Numbers.of(torch.from_numpy(made.parameters))
    head = HeadLayer(load_open_head(), landmarks_only=True)(
        face.shape, face.expression, face.pose, face.jaw, face.eyelids
    )
    points, outline = (project(places, face.camera)[..., :2].numpy() for places in (head.mediapipe, head.full[:, :17]))
    kinds = np.arange(6, dtype=np.uint8) % 3
    return plain(Examples(made.images, made.parameters, points, outline, kinds), 64)


def changed(batch: Batch, name: str, place: int, by: float) -> Numbers:
    """What is known, but for one number of each face."""
    known = Numbers.of(batch.parameters)
    value = getattr(known, name).clone()
    value[:, place] += by
    return replace(known, **{name: value})


def test_what_is_known_costs_nothing(losses: Losses, batch: Batch) -> None:
    parts = losses(Numbers.of(batch.parameters), batch).parts
    assert all(value < 1e-3 for name, value in parts.items()), parts


def test_an_error_of_the_place_is_not_one_of_the_face(losses: Losses, batch: Batch) -> None:
    parts = losses(changed(batch, "pose", 1, 0.1), batch).parts
    assert parts["pose"] > 0.1
    assert parts["placed points"] > 0.1
    assert parts["points"] < 1e-3
    assert parts["expression"] == 0


def test_an_error_of_the_face_is_seen_in_both_places_but_teaches_the_face_alone(losses: Losses, batch: Batch) -> None:
    found = changed(batch, "jaw", 0, 0.2)
    found.jaw.requires_grad_()
    found.pose.requires_grad_(False)
    loss = losses(found, batch)
    assert loss.parts["points"] > 0.1
    assert loss.parts["placed points"] > 0.1
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert found.jaw.grad is not None
    assert float(found.jaw.grad[:, 0].min()) > 0


def test_an_action_is_measured_by_its_spread_in_faces_of_its_kind(losses: Losses, batch: Batch) -> None:
    action = EXPRESSION_NAMES.index("mouthSmileLeft")
    found = changed(batch, "expression", action, 0.1)
    expected = torch.stack([(0.1 / SPREADS[kind, action]) ** 2 for kind in batch.kinds]).mean() / 50
    assert losses(found, batch).parts["expression"] == pytest.approx(float(expected), rel=1e-4)


def test_a_gaze_aside_counts_more(losses: Losses, batch: Batch) -> None:
    gaze, other = (
        losses(changed(batch, "expression", EXPRESSION_NAMES.index(name), 0.1), batch).parts["expression"]
        for name in ("eyeLookInLeft", "eyeLookUpLeft")
    )
    assert gaze == pytest.approx(GAZE * other, rel=1e-4)


def test_heads_turn_about_their_necks(losses: Losses, batch: Batch) -> None:
    layer = HeadLayer(load_open_head(), landmarks_only=True)
    torch.testing.assert_close(losses.roots(batch.parameters), layer.root(Numbers.of(batch.parameters).shape))
