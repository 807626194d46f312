"""The inside of a mouth: rows of teeth that meet while the jaw is closed, and part with it."""

import numpy as np
import pytest

from models.spec import FloatArray
from train.real.mouth import Bite, paint_mouth

SIDE, MIDDLE = 120, 60.0


def bite(opening: float) -> Bite:
    """Of an upright head whose jaw is open by so many millimetres, each a pixel."""
    upper = np.array([MIDDLE, 50.0])
    return Bite(upper, upper + np.array([0, opening]), np.array([0.0, 1.0]), 1.0)


def painted(opening: float, count: int = 60, colour: tuple[int, int, int] = (150, 120, 100)) -> FloatArray:
    """Mouths [count, SIDE, SIDE, 3] that are 40 pixels wide and 30 high, of as many draws."""
    picture = np.full((SIDE, SIDE, 3), colour, np.uint8)
    share = np.zeros((SIDE, SIDE), np.float32)
    share[40:70, 40:80] = 1
    draws = (np.random.default_rng((4, number)) for number in range(count))
    return np.stack([paint_mouth(picture, share, bite(opening), random) for random in draws]).astype(np.float32)


def darkest(mouths: FloatArray) -> FloatArray:
    """Median over the draws of how dark the middle of each row is [SIDE]."""
    return np.asarray(np.median(mouths[:, :, int(MIDDLE)].mean(axis=2), axis=0))


def test_lips_that_part_over_a_closed_jaw_show_teeth_from_lip_to_lip() -> None:
    assert darkest(painted(0.0))[43:67].min() > 90


def test_how_far_the_jaw_is_open_shows_between_the_teeth() -> None:
    rows = darkest(painted(14.0))
    assert rows[44:49].min() > 90  # the upper ones stay
    assert rows[54:60].max() < 80
    assert rows[66:69].min() > 90  # the lower ones went down
    dark = [(darkest(painted(opening))[42:68] < 80).sum() for opening in (4.0, 8.0, 12.0)]
    assert dark[0] < dark[1] < dark[2]


def test_only_the_mouth_is_painted() -> None:
    changed = np.abs(painted(8.0, count=4) - (150, 120, 100)).max(axis=(0, 3)) > 0
    rows, columns = np.nonzero(changed)
    assert rows.min() >= 36
    assert rows.max() <= 74
    assert columns.min() >= 36
    assert columns.max() <= 84


def test_a_grey_picture_stays_grey() -> None:
    mouths = painted(8.0, count=4, colour=(120, 120, 120))
    assert (mouths == mouths[..., :1]).all()


def test_a_closed_mouth_is_left_alone() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    same = paint_mouth(picture, np.zeros((SIDE, SIDE), np.float32), bite(0.0), np.random.default_rng(0))
    np.testing.assert_array_equal(same, picture)


@pytest.mark.parametrize("turn", [0.0, 0.6])
def test_the_rows_turn_with_the_head(turn: float) -> None:
    """Along the jaw's way, whichever it is, it becomes dark under the upper teeth."""
    down = np.array([np.sin(turn), np.cos(turn)])
    upper = np.array([MIDDLE, 50.0])
    picture, share = np.full((SIDE, SIDE, 3), 130, np.uint8), np.ones((SIDE, SIDE), np.float32)
    mouths = np.stack(
        [
            paint_mouth(picture, share, Bite(upper, upper + 20 * down, down, 1.0), np.random.default_rng((4, number)))
            for number in range(40)
        ]
    )
    above, between = ((upper + way * down).round().astype(int) for way in (-6, 9))
    assert np.median(mouths[:, above[1], above[0]]) > 90
    assert np.median(mouths[:, between[1], between[0]]) < 80
