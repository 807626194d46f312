"""What is known of a face is carried on around it without a border."""

import numpy as np
import pytest

from train.real.carry import NEAR, REACH, carried, nearest

SIDE = 288


def disc(radius: float = 60.0) -> np.ndarray:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] - SIDE / 2
    return np.asarray(rows**2 + columns**2 < radius**2)


def test_the_nearest_pixel_of_the_mask_is_found() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10, 10] = mask[10, 50] = True
    fields = np.zeros((2, 40, 60), np.float32)
    fields[:, 10, 10], fields[:, 10, 50] = (1, 2), (3, 4)
    found, distance = nearest(fields, mask)
    assert found[:, 12, 14].tolist() == [1, 2]
    assert found[:, 10, 45].tolist() == [3, 4]
    assert distance[10, 45] == pytest.approx(5)
    assert distance[mask].tolist() == [0, 0]


def test_numbers_go_on_where_the_mask_ends() -> None:
    mask = disc()
    columns = np.broadcast_to(np.arange(SIDE, dtype=np.float32), (SIDE, SIDE))
    known = np.stack([0.2 * (columns - SIDE / 2), np.full((SIDE, SIDE), 8.0, np.float32)])
    around = carried(np.where(mask, known, 99), mask)
    np.testing.assert_array_equal(around[:, mask], known[:, mask])
    for axis in (1, 2):
        assert np.abs(np.diff(around, axis=axis)).max() < 1  # a step within the mask is 0.2; without, it would be 12
    border = SIDE // 2 + 60
    assert around[0, SIDE // 2, border : border + int(NEAR / 4)] == pytest.approx(12, abs=0.5)


def test_further_out_things_move_as_the_face_does_on_the_whole() -> None:
    mask = disc(30.0)
    columns = np.broadcast_to(np.arange(SIDE, dtype=np.float32), (SIDE, SIDE))
    line = carried(5 + 0.2 * (columns - SIDE / 2)[None], mask)[0, SIDE // 2, SIDE // 2 + 30 :]
    assert line[0] == pytest.approx(11, abs=0.5)
    assert (np.diff(line) < 0.1).all()
    assert line[int(3 * REACH)] == pytest.approx(5, abs=2)


def test_without_a_face_there_is_nothing_to_carry() -> None:
    assert (carried(np.ones((2, 40, 40), np.float32), np.zeros((40, 40), bool)) == 0).all()
