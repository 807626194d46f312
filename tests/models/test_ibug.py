"""The 68 points of iBUG are 68 points of MediaPipe, and lie as iBUG's do on MediaPipe's own face."""

from pathlib import Path

import numpy as np

from models.head_pose import read_canonical_face
from models.ibug import CONTOUR, IBUG, STATIC
from train.open_head import landmarks


def test_there_are_68_different_ones_and_the_open_head_is_cut_by_the_same() -> None:
    assert (len(CONTOUR), len(STATIC), len(set(IBUG.tolist()))) == (17, 51, 68)
    assert landmarks.CONTOUR is CONTOUR
    assert landmarks.STATIC is STATIC


def test_they_run_from_the_subjects_right_to_the_left(face_task: Path) -> None:
    points = read_canonical_face(face_task).points[IBUG]
    x, y = points[:, 0], points[:, 1]
    for run in (slice(0, 17), slice(17, 27), slice(31, 36), slice(48, 55)):  # outline, brows, nostrils, upper lip
        assert (np.diff(x[run]) > 0).all() or (np.diff(x[run]) < 0).all()
    assert np.argmin(np.abs(x[:17])) == 8  # the chin
    mirrored = points[[*range(16, -1, -1), *range(26, 16, -1)]] * [-1, 1, 1]
    np.testing.assert_allclose(points[[*range(17), *range(17, 27)]], mirrored, atol=1e-3)
    assert (np.diff(y[27:31]) > 0).all() or (np.diff(y[27:31]) < 0).all()  # the bridge of the nose
