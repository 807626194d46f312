"""What reenacted faces are asked to be and to do: other features, other actions, strong enough to be seen, a turn."""

import numpy as np

from models.open_basis import EXPRESSION_NAMES, from_blendshapes
from models.spec import FloatArray
from train.synthetic.expressions import Table, add, draw_actions, finished
from train.synthetic.parameters import GAZE_ASIDE, PLACES, axis_angle

TURNS = (15.0, 11.0, 6.0)
"""Spread of added yaw, pitch and roll, degrees."""
LIMIT_YAW = 40.0
"""Degrees that a head may be turned: beyond, the photo lacks the far cheek."""
FEATURES = 24
"""Axes of identity along which people differ most: their own vary by 0.23 on average, those behind by 0.08."""
OTHERWISE = 0.7
"""Most that features are changed by: the standard deviation along each axis."""
OWN_EXPRESSION = 0.3
"""Share of new faces that keep the photo's expression, or part of it."""
VARIANTS: Table = {
    "anger": {"browDown": 0.8, "eyeSquint": 0.5, "mouthShrugLower": 0.5, "mouthRollLower": 0.7, "mouthRollUpper": 0.2},
    "disgust": {"browDown": 0.4, "eyeSquint": 0.6, "noseSneer": 0.6, "mouthShrugLower": 0.5, "mouthUpperUp": 0.2},
    "sadness": {"browInnerUp": 0.8, "browDown": 0.3, "mouthFrown": 0.5, "mouthShrugLower": 0.6},
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.9, "jawOpen": 0.5},
    "worry": {"browInnerUp": 0.9, "browDown": 0.3, "mouthStretch": 0.4},
}
"""Expressions beside train.synthetic.expressions.PROTOTYPES, with the raised chins and rolled lips of anger, disgust
and sadness (action units 17 and 23 of models.heads), which those have less of or not at all, as portraits do."""
VARIED = 0.3
"""Share of new expressions that hold one of them."""
STRENGTH = {
    "browInnerUp": 2.5,
    "browOuterUp": 2.5,
    "browDown": 1.4,
    "eyeSquint": 1.8,
    "mouthFrown": 2.0,
    "mouthShrugLower": 2.0,
    "mouthRollLower": 1.5,
    "mouthShrugUpper": 1.5,
    "mouthStretch": 1.5,
    "mouthUpperUp": 2.0,
    "mouthLowerDown": 1.6,
    "mouthLeft": 2.0,
    "mouthRight": 2.0,
    "mouthPress": 0.6,
    "mouthDimple": 0.5,
}
"""How far the head goes for an action, by name without side, where a whole action of the head's is not MediaPipe's.

Of twelve portraits whose brows went up by 0.8, MediaPipe's browInnerUp rose by 0.03, and by 0.24 when they went up by
2.4; mouthFrown by 0.07 and 0.22, mouthShrugLower by 0.13 and 0.32, mouthUpperUp by 0.2 and 0.5, eyeSquint by 0.1 and
0.36. Pressed and dimpled lips of the head's are a smile to it: by 0.28 and 0.22 at 0.8."""
_STRENGTHS = np.array(
    [
        STRENGTH.get(name, STRENGTH.get(name.removesuffix("Left").removesuffix("Right"), 1.0))
        for name in EXPRESSION_NAMES
    ]
)


def draw_role(fitted: FloatArray, random: np.random.Generator) -> FloatArray:
    """Something else [361] for a face that was `fitted` [361] to do; its gaze aside stays as it was.

    Turned aside, an eyeball shows what its lids hid, of which the photo has no pixels.
    """
    new = fitted.copy()
    expression = PLACES["expression"]
    if random.random() < OWN_EXPRESSION:
        share = random.uniform(0, 1.2)
        for name in ("expression", "eyelids", "jaw"):
            new[PLACES[name]] *= share
        new[expression] = new[expression].clip(0, 1)
        new[PLACES["eyelids"]] = new[PLACES["eyelids"]].clip(0, 1)
    else:
        drawn = from_blendshapes(_draw_expression(random)[None])
        for name, values in zip(("expression", "eyelids", "jaw"), drawn, strict=True):
            new[PLACES[name]] = values[0]
        new[expression] *= _STRENGTHS
    new[expression][GAZE_ASIDE] = fitted[expression][GAZE_ASIDE]
    turned = new[PLACES["pose"]] + axis_angle(*random.normal(0, TURNS))
    turned[1] = np.clip(turned[1], -np.radians(LIMIT_YAW), np.radians(LIMIT_YAW))
    new[PLACES["pose"]] = turned
    return new


def draw_features(shape: FloatArray, random: np.random.Generator) -> FloatArray:
    """Somebody else's shape [300], near `shape`: what a network learns of a mouth must not depend on whose it is."""
    new = shape.copy()
    new[:FEATURES] += random.uniform(0, OTHERWISE) * random.normal(size=FEATURES).astype(np.float32)
    return new


def _draw_expression(random: np.random.Generator) -> FloatArray:
    """Actions [52]."""
    actions = draw_actions(random)
    if random.random() >= VARIED:
        return actions
    add(actions, VARIANTS[random.choice(list(VARIANTS))], random.uniform(0.3, 1.1), random)
    return finished(actions)
