"""What reenacted faces are asked to do."""

import numpy as np

from models.open_basis import EXPRESSION_NAMES
from train.real.roles import FEATURES, LIMIT_YAW, OTHERWISE, draw_features, draw_role
from train.synthetic.parameters import COUNT, GAZE_ASIDE, PLACES


def drawn(fitted: np.ndarray, count: int = 400) -> np.ndarray:
    return np.stack([draw_role(fitted, np.random.default_rng((3, number))) for number in range(count)])


def of(roles: np.ndarray, name: str) -> np.ndarray:
    return roles[:, PLACES["expression"].start + EXPRESSION_NAMES.index(name)]


def test_actions_that_hardly_show_go_further_than_the_head_calls_whole() -> None:
    roles = drawn(np.zeros(COUNT, np.float32))
    assert of(roles, "browInnerUp").max() > 2
    assert of(roles, "mouthShrugLower").max() > 1.2
    assert of(roles, "mouthLeft").max() > 1.2
    assert of(roles, "mouthPressLeft").max() < 0.7
    assert of(roles, "mouthSmileRight").max() <= 1
    assert roles[:, PLACES["expression"]].min() >= 0


def test_who_it_is_and_where_it_looks_stay_and_the_turn_is_limited() -> None:
    fitted = np.zeros(COUNT, np.float32)
    fitted[PLACES["shape"]] = 1.5
    fitted[PLACES["expression"]][GAZE_ASIDE[0]] = 0.4
    fitted[PLACES["pose"]] = 0, np.radians(30), 0
    roles = drawn(fitted)
    assert (roles[:, PLACES["shape"]] == 1.5).all()
    assert np.allclose(roles[:, PLACES["expression"]][:, GAZE_ASIDE], fitted[PLACES["expression"]][GAZE_ASIDE])
    assert np.abs(roles[:, PLACES["pose"]][:, 1]).max() <= np.radians(LIMIT_YAW) + 1e-6
    assert (fitted[PLACES["pose"]] == np.array([0, np.radians(30), 0], np.float32)).all()


def test_some_keep_what_their_photo_does() -> None:
    fitted = np.zeros(COUNT, np.float32)
    fitted[PLACES["expression"].start + EXPRESSION_NAMES.index("cheekSquintLeft")] = 0.77
    shares = of(drawn(fitted), "cheekSquintLeft") / 0.77
    left = of(drawn(fitted), "cheekSquintRight")
    kept = (left == 0) & (shares > 0)
    assert 0.2 < kept.mean() < 0.75


def test_features_are_somebody_elses_by_more_or_less() -> None:
    """In every direction alike, now a little and now a lot; axes that hardly differ between people stay."""
    shape = np.linspace(-1, 1, 300, dtype=np.float32)
    off = np.stack([draw_features(shape, np.random.default_rng((5, number))) for number in range(400)]) - shape
    assert (off[:, FEATURES:] == 0).all()
    of_each = off[:, :FEATURES].std(axis=1)
    assert np.quantile(of_each, 0.1) < 0.2 * OTHERWISE < 0.8 * OTHERWISE < np.quantile(of_each, 0.9)
    assert np.abs(off.mean(axis=0)).max() < 0.1
    assert (shape == np.linspace(-1, 1, 300, dtype=np.float32)).all()
