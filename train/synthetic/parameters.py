"""Who a face is, how it stands and what it does: FLAME parameters as cameras meet them. The camera comes later."""

import numpy as np

from models.open_basis import EXPRESSION_NAMES, from_blendshapes
from models.spec import FLAME_LAYOUT, FloatArray
from train.synthetic.expressions import draw_actions

COUNT = sum(FLAME_LAYOUT.values())
"""Numbers of a face, 361."""
_ENDS = np.cumsum(list(FLAME_LAYOUT.values()))
PLACES: dict[str, slice] = {
    name: slice(int(end) - size, int(end)) for (name, size), end in zip(FLAME_LAYOUT.items(), _ENDS, strict=True)
}
"""Where each array of FlameParams lies among the 361."""
GAZE_ASIDE, GAZE_UP, GAZE_DOWN = (
    [EXPRESSION_NAMES.index(f"eyeLook{way}{side}") for way in ways for side in ("Left", "Right")]
    for ways in (("In", "Out"), ("Up",), ("Down",))
)
"""Expression coefficients of a gaze to one side, up and down."""

KEPT_AXES, SMALLEST = 60, 0.3
"""Axes of identity drawn whole; and the share of the last one, which no camera would see."""
JAW_ROLL = 0.02
"""Radians."""
# Degrees: spread of the most, their share, and the limit of the others.
YAW, PITCH, ROLL = (14.0, 0.8, 60.0), (9.0, 0.85, 35.0), (7.0, 0.85, 30.0)


def draw_parameters(random: np.random.Generator) -> FloatArray:
    """The parameters [361] of one face, in the order of FLAME_LAYOUT; the camera is zero."""
    parameters = np.zeros(COUNT, np.float32)
    parameters[PLACES["shape"]] = draw_shape(random)
    expression, eyelids, jaw = from_blendshapes(draw_actions(random)[None])
    parameters[PLACES["expression"]] = expression[0]
    parameters[PLACES["pose"]] = axis_angle(*(draw_angle(random, *limits) for limits in (YAW, PITCH, ROLL)))
    parameters[PLACES["jaw"]] = jaw[0]
    parameters[PLACES["jaw"].start + 2] = random.normal(0, JAW_ROLL)
    parameters[PLACES["eyelids"]] = eyelids[0]
    return parameters


def axis_angle(yaw: float, pitch: float, roll: float) -> FloatArray:
    """A head's rotation [3] in radians, of degrees: first yaw (to its left), then pitch (down), then roll.

    Roll > 0 turns the head counter-clockwise in the picture.
    """
    turns = np.eye(3)
    for axis, degrees in ((1, yaw), (0, pitch), (2, roll)):
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[one, other, one, other], [one, other, other, one]] = cos, cos, -sin, sin
        turns = turn @ turns
    vector = np.array([turns[2, 1] - turns[1, 2], turns[0, 2] - turns[2, 0], turns[1, 0] - turns[0, 1]])
    angle = np.arccos(np.clip((np.trace(turns) - 1) / 2, -1, 1))
    return np.asarray(vector / 2 / np.sinc(angle / np.pi), np.float32)


def draw_shape(random: np.random.Generator) -> FloatArray:
    """An identity [300], in standard deviations."""
    size = FLAME_LAYOUT["shape"]
    share = np.interp(np.arange(size), [0, KEPT_AXES, size - 1], [1, 1, SMALLEST])
    width = random.choice((0.4, 1.0, 1.4), p=(0.08, 0.75, 0.17))
    return np.asarray(random.normal(size=size) * share * width, np.float32)


def draw_angle(random: np.random.Generator, spread: float, share: float, limit: float) -> float:
    """Degrees, by one of YAW, PITCH and ROLL."""
    if random.random() < share:
        return float(np.clip(random.normal(0, spread), -limit, limit))
    return float(random.uniform(-limit, limit))
