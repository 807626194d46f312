"""The arithmetic of the figures, against numpy, scipy and cases whose answer is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from train.evaluate.figures import degrees_between, jitter, jitter_of_turns, mesh_distance_mm, pearson, turns


def test_pearson_is_numpys_column_by_column() -> None:
    random = np.random.default_rng(0)
    true = random.normal(size=(50, 4)).astype(np.float32)
    found = (true * [2.0, -1.0, 0.1, 0.0] + 0.3 * random.normal(size=(50, 4))).astype(np.float32)
    expected = [np.corrcoef(found[:, i], true[:, i])[0, 1] for i in range(4)]
    assert pearson(found, true) == pytest.approx(expected, abs=1e-6)
    assert pearson(3 * true + 1, true) == pytest.approx(np.ones(4), abs=1e-6)


def test_what_never_moves_is_not_correlated() -> None:
    true = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
    assert pearson(np.full_like(true, 0.7), true).tolist() == [0.0]
    assert pearson(true, np.full_like(true, 0.7)).tolist() == [0.0]
    assert pearson(true[:1], true[:1]).tolist() == [0.0]


def test_angles_between_rotations_are_scipys() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(scale=0.8, size=(2, 40, 3)).astype(np.float32)
    expected = (Rotation.from_rotvec(first) * Rotation.from_rotvec(second).inv()).magnitude()
    assert degrees_between(turns(first), turns(second)) == pytest.approx(np.degrees(expected), abs=1e-4)
    assert degrees_between(turns(first), turns(first)).max() < 1e-4


def test_jitter_is_the_noise_and_not_the_drift() -> None:
    noise = np.random.default_rng(2).normal(scale=0.5, size=(20000, 2)).astype(np.float32)
    drift = np.linspace(0, 100, 20000, dtype=np.float32)[:, None]
    assert jitter(noise) == pytest.approx([0.5, 0.5], rel=0.03)
    assert jitter(noise + drift) == pytest.approx([0.5, 0.5], rel=0.03)
    assert jitter(np.ones((5, 2), np.float32)).tolist() == [0.0, 0.0]


def test_jitter_of_turns_is_that_of_one_angle() -> None:
    angles = np.radians(np.random.default_rng(3).normal(scale=2.0, size=4000))
    vectors = np.zeros((4000, 3), np.float32)
    vectors[:, 1] = angles + 0.5  # about one axis angles add up
    assert jitter_of_turns(vectors) == pytest.approx(2.0, rel=0.05)


def test_meshes_are_compared_in_millimetres() -> None:
    mesh = np.random.default_rng(4).normal(size=(2, 7, 3)).astype(np.float32)
    moved = mesh.copy()
    moved[1] += np.array([0.003, 0, 0.004], np.float32)
    assert mesh_distance_mm(mesh, moved) == pytest.approx([0.0, 5.0], abs=1e-3)
