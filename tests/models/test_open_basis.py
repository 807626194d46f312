"""The names of the open basis, and the way from blendshapes to FLAME parameters and back."""

import numpy as np
import pytest

from models.open_basis import (
    BLENDSHAPE_NAMES,
    EXPRESSION_NAMES,
    EYELID_NAMES,
    JAW_NAMES,
    JAW_OPEN_RADIANS,
    JAW_SIDE_RADIANS,
    actions,
    from_blendshapes,
)
from models.spec import FlameParams, FloatArray


def scores(**values: float) -> FloatArray:
    row = np.zeros((1, 52), np.float32)
    for name, value in values.items():
        row[0, BLENDSHAPE_NAMES.index(name)] = value
    return row


def as_params(blendshapes: FloatArray) -> list[FlameParams]:
    zeros = np.zeros(300, np.float32)
    return [
        FlameParams(zeros, expression, zeros[:3], jaw, eyelids, zeros[:3])
        for expression, eyelids, jaw in zip(*from_blendshapes(blendshapes), strict=True)
    ]


def test_names_are_the_arkit_actions_once_each() -> None:
    assert len(BLENDSHAPE_NAMES) == len(set(BLENDSHAPE_NAMES)) == 52
    assert BLENDSHAPE_NAMES[0] == "_neutral"
    assert len(EXPRESSION_NAMES) == len(set(EXPRESSION_NAMES)) == 50
    arkit = {*BLENDSHAPE_NAMES, "tongueOut"} - {"_neutral"}
    assert {*EXPRESSION_NAMES, *EYELID_NAMES} == arkit
    assert set(JAW_NAMES) < set(EXPRESSION_NAMES)


def test_each_named_blendshape_lands_on_the_coefficient_of_its_name() -> None:
    for name in BLENDSHAPE_NAMES:
        expression, eyelids, jaw = from_blendshapes(scores(**{name: 0.75}))
        if name in EYELID_NAMES:
            assert eyelids[0, EYELID_NAMES.index(name)] == 0.75
            assert not expression.any()
        elif name in JAW_NAMES:
            assert jaw.any()
            assert not expression.any()
        elif name == "_neutral":
            assert not expression.any()
        else:
            assert expression[0, EXPRESSION_NAMES.index(name)] == 0.75
            assert np.count_nonzero(expression) == 1
            assert not jaw.any()


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        ({"jawOpen": 1.0}, [JAW_OPEN_RADIANS, 0, 0]),
        ({"jawOpen": 0.5, "jawLeft": 1.0}, [JAW_OPEN_RADIANS / 2, JAW_SIDE_RADIANS, 0]),
        ({"jawRight": 0.5}, [0, -JAW_SIDE_RADIANS / 2, 0]),
    ],
)
def test_jaw_rotation(moved: dict[str, float], expected: list[float]) -> None:
    assert from_blendshapes(scores(**moved))[2][0] == pytest.approx(expected)


def test_jaw_signs_move_the_chin_down_and_to_the_subjects_left() -> None:
    chin = np.array([0.0, -0.09, 0.04])  # below and in front of the jaw's joint; x right, y up, z to the viewer

    def moved_by(**values: float) -> FloatArray:
        return np.cross(from_blendshapes(scores(**values))[2][0], chin)

    assert moved_by(jawOpen=1.0)[1] < 0
    assert moved_by(jawLeft=1.0)[0] > 0
    assert moved_by(jawRight=1.0)[0] < 0


def test_actions_undo_from_blendshapes() -> None:
    blendshapes = np.random.default_rng(0).uniform(size=(20, 52)).astype(np.float32)
    blendshapes[:, BLENDSHAPE_NAMES.index("jawRight")] = 0  # left and right at once cannot be told apart
    recovered = actions(as_params(blendshapes))
    assert not recovered[:, 0].any()
    np.testing.assert_allclose(recovered[:, 1:], blendshapes[:, 1:], atol=1e-6)


def test_actions_stay_in_range_for_a_jaw_wider_than_any_blendshape() -> None:
    zeros = np.zeros(300, np.float32)
    yawn = FlameParams(zeros, zeros[:50], zeros[:3], np.array([0.9, -0.3, 0.1], np.float32), zeros[:2], zeros[:3])
    found = actions([yawn])[0]
    assert found[BLENDSHAPE_NAMES.index("jawOpen")] == 1
    assert found[BLENDSHAPE_NAMES.index("jawRight")] == 1
    assert found[BLENDSHAPE_NAMES.index("jawLeft")] == 0


def test_no_faces_and_wrong_shapes() -> None:
    assert actions([]).shape == (0, 52)
    assert [part.shape for part in from_blendshapes(np.zeros((0, 52), np.float32))] == [(0, 50), (0, 2), (0, 3)]
    with pytest.raises(ValueError, match=r"shape \(52,\), expected \(B, 52\)"):
        from_blendshapes(np.zeros(52, np.float32))
