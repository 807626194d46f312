"""The `open` basis: what its coefficients are called, and the way from MediaPipe's blendshapes and back.

The basis multiplies Apple's ARKit facial actions. Of ARKit's 52, the two blinks are FLAME's eyelids and the other
50 are the expression coefficients, so every parameter has a name a person can read. Left and right are the
subject's. The frame is FLAME's: x to the right of an unmirrored picture (the subject's left), y up, z to the viewer.

Four coefficients stay zero when MediaPipe is the source: `jawOpen`, `jawLeft` and `jawRight`, because the jaw's
*rotation* carries them (FLAME opens the mouth about a joint, and counting it twice would open it twice), and
`tongueOut`, because MediaPipe does not give it.
"""

from collections.abc import Sequence

import numpy as np

from models.spec import FlameParams, FloatArray

BLENDSHAPE_NAMES: tuple[str, ...] = (
    "_neutral",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
)
"""The 52 outputs of MediaPipe's `face_blendshapes` graph, in its order: `_neutral` first, no `tongueOut`."""

EYELID_NAMES: tuple[str, str] = ("eyeBlinkLeft", "eyeBlinkRight")
"""The ARKit actions that `FlameParams.eyelids` holds, in its order."""

JAW_NAMES: tuple[str, str, str] = ("jawOpen", "jawLeft", "jawRight")
"""The ARKit actions that `FlameParams.jaw` holds."""

EXPRESSION_NAMES: tuple[str, ...] = (
    *(name for name in BLENDSHAPE_NAMES if name != "_neutral" and name not in EYELID_NAMES),
    "tongueOut",
)
"""The 50 coefficients of `FlameParams.expression`: MediaPipe's order without the blinks, then `tongueOut`."""

JAW_OPEN_RADIANS = 0.5
"""Jaw rotation of jawOpen = 1. SMIRK bounds the openings it draws in training at this angle (29 degrees)."""

JAW_SIDE_RADIANS = 0.2
"""Jaw rotation of jawLeft = 1 or jawRight = 1: the limit to which SMIRK clamps jaw[1] and jaw[2]."""

_COLUMN = {name: column for column, name in enumerate(BLENDSHAPE_NAMES)}
_EYELIDS = [_COLUMN[name] for name in EYELID_NAMES]
_OPEN, _LEFT, _RIGHT = (_COLUMN[name] for name in JAW_NAMES)
# The expression coefficients that MediaPipe fills, and the blendshape that fills each.
_FILLED = [i for i, name in enumerate(EXPRESSION_NAMES) if name in _COLUMN and name not in JAW_NAMES]
_FILLING = [_COLUMN[EXPRESSION_NAMES[i]] for i in _FILLED]


def from_blendshapes(blendshapes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Expression [B, 50], eyelids [B, 2] (left, right) and jaw [B, 3] of MediaPipe's blendshapes [B, 52].

    The jaw is an axis-angle rotation in radians: [0] >= 0 lowers the chin (about +x), [1] > 0 moves it to the
    subject's left (about +y; only the difference of jawLeft and jawRight survives), [2] is 0, since no blendshape
    tells of a roll. Raises ValueError when the shape is another one.
    """
    if blendshapes.ndim != 2 or blendshapes.shape[1] != len(BLENDSHAPE_NAMES):
        raise ValueError(f"blendshapes have shape {blendshapes.shape}, expected (B, {len(BLENDSHAPE_NAMES)})")
    scores = np.clip(blendshapes, 0.0, 1.0).astype(np.float32, copy=False)  # [B, 52]
    expression = np.zeros((len(scores), len(EXPRESSION_NAMES)), np.float32)  # [B, 50]
    expression[:, _FILLED] = scores[:, _FILLING]
    jaw = np.zeros((len(scores), 3), np.float32)  # [B, 3]
    jaw[:, 0] = JAW_OPEN_RADIANS * scores[:, _OPEN]
    jaw[:, 1] = JAW_SIDE_RADIANS * (scores[:, _LEFT] - scores[:, _RIGHT])
    return expression, scores[:, _EYELIDS], jaw


def actions(params: Sequence[FlameParams]) -> FloatArray:
    """Facial actions [B, 52], 0..1, of parameters of the `open` basis, in the order of BLENDSHAPE_NAMES.

    Undoes `from_blendshapes`, jawOpen, jawLeft and jawRight coming from the jaw's rotation; `_neutral` is 0.
    """
    scores = np.zeros((len(params), len(BLENDSHAPE_NAMES)), np.float32)  # [B, 52]
    if not params:
        return scores
    jaw = np.stack([face.jaw for face in params])  # [B, 3]
    scores[:, _FILLING] = np.stack([face.expression for face in params])[:, _FILLED]
    scores[:, _EYELIDS] = np.stack([face.eyelids for face in params])
    scores[:, _OPEN] = jaw[:, 0] / JAW_OPEN_RADIANS
    scores[:, _LEFT] = jaw[:, 1] / JAW_SIDE_RADIANS
    scores[:, _RIGHT] = -jaw[:, 1] / JAW_SIDE_RADIANS
    return np.clip(scores, 0.0, 1.0)
