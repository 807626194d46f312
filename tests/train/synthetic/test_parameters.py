"""Who a face is and what it does: within what a head can do, and spread as cameras see it."""

import numpy as np
import pytest
import torch

from models.flame import rotation_matrices
from models.open_basis import BLENDSHAPE_NAMES, EXPRESSION_NAMES, JAW_NAMES, JAW_OPEN_RADIANS
from train.open_head.draw import turn
from train.synthetic import expressions
from train.synthetic.parameters import PLACES, axis_angle, draw_parameters

COLUMN = {name: column for column, name in enumerate(BLENDSHAPE_NAMES)}


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    return np.stack([draw_parameters(np.random.default_rng((5, i))) for i in range(1500)])


@pytest.fixture(scope="module")
def actions() -> np.ndarray:
    return np.stack([expressions.draw_actions(np.random.default_rng((6, i))) for i in range(1500)])


def test_tables_name_real_actions() -> None:
    for table in (*expressions.PROTOTYPES.values(), *expressions.SPEECH.values(), dict.fromkeys(expressions.PAIRS, 1)):
        for name, value in table.items():
            assert name in COLUMN or (name + "Left" in COLUMN and name + "Right" in COLUMN), name
            assert 0 < value <= 1


def test_actions_are_ones_that_go_together(actions: np.ndarray) -> None:
    assert actions.min() >= 0
    assert actions.max() <= 1
    assert (actions[:, COLUMN["mouthClose"]] <= actions[:, COLUMN["jawOpen"]]).all()
    for left, right in (
        *expressions.SIDEWAYS,
        ("eyeLookInLeft", "eyeLookOutLeft"),
        ("eyeLookUpLeft", "eyeLookDownLeft"),
    ):
        assert (np.minimum(actions[:, COLUMN[left]], actions[:, COLUMN[right]]) == 0).all()
    assert np.array_equal(actions[:, COLUMN["eyeLookOutLeft"]], actions[:, COLUMN["eyeLookInRight"]])
    assert np.array_equal(actions[:, COLUMN["eyeLookUpLeft"]], actions[:, COLUMN["eyeLookUpRight"]])


def test_actions_are_spread_as_faces_are(actions: np.ndarray) -> None:
    smiles = actions[:, [COLUMN["mouthSmileLeft"], COLUMN["mouthSmileRight"]]]
    assert np.corrcoef(smiles.T)[0, 1] > 0.7
    gaze_or_lids = np.array([name.startswith(("eyeLook", "eyeBlink")) for name in BLENDSHAPE_NAMES])
    still = (actions[:, ~gaze_or_lids].max(axis=1) < 0.2).mean()
    assert 0.1 < still < 0.4
    both_closed = (actions[:, [COLUMN["eyeBlinkLeft"], COLUMN["eyeBlinkRight"]]].min(axis=1) > 0.75).mean()
    assert 0.05 < both_closed < 0.25
    assert (actions.max(axis=0)[1:] > 0.5).all()  # every action but `_neutral` is met somewhere


def test_a_smile_raises_the_corners_on_both_sides() -> None:
    found = np.zeros(52)
    expressions.add(found, expressions.PROTOTYPES["smile"], 1.0, np.random.default_rng(1))
    assert found[COLUMN["mouthSmileLeft"]] > 0.3
    assert found[COLUMN["mouthSmileRight"]] > 0.3
    assert found[COLUMN["mouthFrownLeft"]] == 0


def test_the_jaw_alone_carries_the_jaw(many: np.ndarray) -> None:
    expression, jaw = many[:, PLACES["expression"]], many[:, PLACES["jaw"]]
    for name in (*JAW_NAMES, "tongueOut"):
        assert (expression[:, EXPRESSION_NAMES.index(name)] == 0).all()
    close = expression[:, EXPRESSION_NAMES.index("mouthClose")]
    assert (close <= jaw[:, 0] / JAW_OPEN_RADIANS + 1e-6).all()
    assert 0 <= jaw[:, 0].min() <= jaw[:, 0].max() <= JAW_OPEN_RADIANS
    assert (many[:, PLACES["camera"]] == 0).all()


def test_heads_mostly_face_the_camera(many: np.ndarray) -> None:
    turns = rotation_matrices(torch.from_numpy(many[:, PLACES["pose"]]).double()).numpy()
    away = np.degrees(np.arcsin(np.clip(np.abs(turns[:, 0, 2]), 0, 1)))
    assert (away < 30).mean() > 0.75
    assert 45 < away.max() < 75


def test_identities_are_in_standard_deviations(many: np.ndarray) -> None:
    spread = many[:, PLACES["shape"]].std(axis=0)
    assert 0.9 < spread[:50].mean() < 1.25
    assert spread[-20:].mean() < 0.5


@pytest.mark.parametrize(("yaw", "pitch"), [(40, 0), (0, -25), (-55, 20)])
def test_axis_angle_turns_as_the_open_head_s_own_pictures_do(yaw: float, pitch: float) -> None:
    expected = turn(yaw, pitch)
    found = rotation_matrices(torch.from_numpy(axis_angle(yaw, pitch, 0))[None].double())[0].numpy()
    assert np.allclose(found, expected, atol=1e-5)


def test_roll_turns_the_crown_to_the_left_of_the_picture() -> None:
    turned = rotation_matrices(torch.from_numpy(axis_angle(0, 0, 30))[None])[0].numpy() @ np.array(
        [0, 1, 0], np.float32
    )
    assert np.allclose(turned, [-0.5, np.sqrt(0.75), 0], atol=1e-5)
