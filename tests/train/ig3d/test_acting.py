"""What is shown and what is true about it, on still pictures and in time; no picture is drawn."""

import numpy as np
import pytest

from models.emotion import EMOTIONS
from models.heads import PrototypeHead
from models.open_basis import BLENDSHAPE_NAMES, from_blendshapes
from models.spec import FlameParams
from train.ig3d.acting import PLACES, RESIDUE, SHOWN_FROM, WEAKEST, bounded, draw_still, draw_style, truth
from train.ig3d.motion import RATE, draw_motion, draw_weights, drift, smooth

COLUMN = {name: column for column, name in enumerate(BLENDSHAPE_NAMES)}


def affect_read_off(actions: np.ndarray) -> np.ndarray:
    """What the program's own head says to actions [N, 52]: valence and arousal [N, 2]."""
    expression, eyelids, jaw = from_blendshapes(actions)
    zeros = {"shape": np.zeros(300, np.float32), "pose": np.zeros(3, np.float32), "camera": np.zeros(3, np.float32)}
    faces = [
        FlameParams(expression=a, eyelids=b, jaw=c, **zeros) for a, b, c in zip(expression, eyelids, jaw, strict=True)
    ]
    return np.array([(affect.valence, affect.arousal) for affect in PrototypeHead()(faces)])


@pytest.mark.parametrize("emotion", range(8), ids=lambda emotion: EMOTIONS[emotion])
def test_a_still_shows_what_it_is_said_to(emotion: int) -> None:
    drawn = [draw_still(np.random.default_rng((1, i)), emotion) for i in range(80)]
    weights, actions = (np.stack(parts) for parts in zip(*drawn, strict=True))
    found, affect, intensity = truth(weights)
    assert (found == emotion).all()
    assert 0 <= actions.min() <= actions.max() <= 1
    valence, arousal = affect.T
    if emotion == 0:
        assert intensity.max() <= RESIDUE
        assert np.abs(affect).max() < 0.15
        return
    assert intensity.min() >= WEAKEST
    if EMOTIONS[emotion] != "contempt":  # near the middle, where a blend may cross it
        assert (np.sign(valence) == np.sign(PLACES[emotion, 0])).all()
        assert (np.sign(arousal) == np.sign(PLACES[emotion, 1])).mean() > 0.9
    seen = affect_read_off(actions)[:, 0].mean()
    assert np.sign(seen) == np.sign(PLACES[emotion, 0])


def test_contempt_is_on_one_side() -> None:
    styles = np.stack([draw_style(np.random.default_rng(i))[EMOTIONS.index("contempt")] for i in range(40)])
    left, right = styles[:, COLUMN["mouthDimpleLeft"]], styles[:, COLUMN["mouthDimpleRight"]]
    assert (np.minimum(left, right) == 0).all()
    assert (np.maximum(left, right) > 0.6).all()
    assert 5 < (left > 0).sum() < 35


def test_truth_is_the_weighted_place() -> None:
    weights = np.zeros((4, 8), np.float32)
    weights[1, 1], weights[2, 2], weights[3, [3, 6]] = 0.5, SHOWN_FROM / 2, (0.3, 0.6)
    emotion, affect, intensity = truth(weights)
    assert emotion.tolist() == [0, 1, 0, 6]
    assert np.allclose(affect, [[0, 0], [0.405, 0.255], [-0.063, -0.027], [0.12 - 0.306, 0.201 + 0.354]])
    assert np.allclose(intensity, [0, 0.5, 0.1, 0.9])
    assert bounded(np.full((1, 8), 0.5)).sum() == pytest.approx(1)
    assert bounded(weights).tolist() == weights.tolist()


def test_emotions_come_and_go_smoothly() -> None:
    weights = np.stack([draw_weights(np.random.default_rng((2, i)), 200) for i in range(60)])
    assert weights.min() >= 0
    assert weights.sum(axis=2).max() <= 1 + 1e-6
    assert np.abs(np.diff(weights, axis=1)).max() < 0.16  # a frame; from nothing to the whole takes some of them
    emotion = np.stack([truth(clip)[0] for clip in weights])
    assert set(np.unique(emotion)) == set(range(8))
    changes = (np.diff(emotion, axis=1) != 0).sum(axis=1)
    assert 2 < changes.mean() < 14  # in 8 s
    assert (weights[..., 0] == 0).all()


def test_a_face_in_time_blinks_speaks_and_sways() -> None:
    clips = [draw_motion(np.random.default_rng((3, i)), 150) for i in range(30)]
    actions = np.stack([clip.actions for clip in clips])
    turns = np.stack([clip.turns for clip in clips])
    assert 0 <= actions.min() <= actions.max() <= 1
    lids = actions[..., COLUMN["eyeBlinkLeft"]]
    blinks = ((lids[:, 1:] > 0.6) & (lids[:, :-1] <= 0.6)).sum() / (30 * 150 / RATE)
    assert 0.1 < blinks < 0.6  # a second
    still = [name for name in BLENDSHAPE_NAMES if not name.startswith("eye")]
    steps = np.abs(np.diff(actions[..., [COLUMN[name] for name in still]], axis=1))
    assert steps.max() < 0.3  # a frame
    assert np.abs(np.diff(turns, axis=1)).max() < 3  # degrees a frame
    assert 1 < turns.std(axis=1).mean() < 8


def test_drift_has_its_spread_and_its_width() -> None:
    noise = np.stack([drift(np.random.default_rng((4, i)), 250, 0.4) for i in range(300)])
    assert noise.std() == pytest.approx(1, abs=0.08)
    assert noise.mean() == pytest.approx(0, abs=0.1)
    near, far = (np.corrcoef(noise[:, 0], noise[:, step])[0, 1] for step in (2, 100))
    assert near > 0.95
    assert abs(far) < 0.25


def test_smoothing_keeps_what_does_not_change() -> None:
    assert np.allclose(smooth(np.full((30, 2), 0.7), 0.3), 0.7)
