"""What faces do: combinations of facial actions as cameras meet them, rather than every action by itself.

A name without a side stands for both of its sides: `mouthSmile` is mouthSmileLeft and mouthSmileRight, drawn with a
little asymmetry. Values are 0..1, as in models.open_basis.
"""

import numpy as np

from models.open_basis import BLENDSHAPE_NAMES
from models.spec import FloatArray

Table = dict[str, dict[str, float]]

PROTOTYPES: Table = {
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.5, "eyeSquint": 0.3},
    "grin": {"mouthSmile": 0.9, "cheekSquint": 0.6, "mouthUpperUp": 0.35, "mouthLowerDown": 0.3, "mouthStretch": 0.2},
    "laugh": {"mouthSmile": 1.0, "cheekSquint": 0.9, "jawOpen": 0.55, "eyeSquint": 0.6, "mouthUpperUp": 0.4},
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.9, "jawOpen": 0.6, "eyeWide": 0.8},
    "raised brows": {"browInnerUp": 0.8, "browOuterUp": 0.7},
    "anger": {"browDown": 0.9, "noseSneer": 0.5, "mouthPress": 0.6, "eyeSquint": 0.4, "mouthFrown": 0.2},
    "shouting": {"browDown": 0.8, "noseSneer": 0.6, "jawOpen": 0.7, "mouthUpperUp": 0.6, "mouthLowerDown": 0.6},
    "sadness": {"browInnerUp": 0.8, "mouthFrown": 0.8, "mouthShrugLower": 0.4, "eyeSquint": 0.15},
    "disgust": {"noseSneer": 0.9, "mouthUpperUp": 0.6, "browDown": 0.5, "mouthFrown": 0.3, "eyeSquint": 0.4},
    "fear": {"browInnerUp": 0.9, "browOuterUp": 0.4, "eyeWide": 0.9, "mouthStretch": 0.7, "jawOpen": 0.25},
    "contempt": {"mouthDimple": 0.6, "mouthPress": 0.4, "mouthSmile": 0.2},
    "squint": {"eyeSquint": 0.9, "cheekSquint": 0.6, "browDown": 0.5},
    "puffed cheeks": {"cheekPuff": 0.9, "mouthPress": 0.4, "mouthPucker": 0.2},
    "yawn": {"jawOpen": 1.0, "eyeBlink": 0.8, "eyeSquint": 0.5, "browInnerUp": 0.3},
}
SPEECH: Table = {
    "open": {"jawOpen": 0.4},
    "wide open": {"jawOpen": 0.7, "mouthLowerDown": 0.2},
    "closed": {"jawOpen": 0.25, "mouthClose": 0.24},
    "funnel": {"jawOpen": 0.3, "mouthFunnel": 0.7},
    "pucker": {"mouthPucker": 0.9},
    "rounded": {"jawOpen": 0.15, "mouthPucker": 0.5, "mouthFunnel": 0.3},
    "rolled": {"mouthRollLower": 0.7, "mouthRollUpper": 0.5},
    "pressed": {"mouthPress": 0.7, "mouthRollLower": 0.2},
    "shrugged": {"mouthShrugLower": 0.6, "mouthShrugUpper": 0.5},
    "teeth": {"mouthUpperUp": 0.5, "mouthLowerDown": 0.6, "mouthStretch": 0.3, "jawOpen": 0.08},
    "lower lip bitten": {"mouthRollLower": 0.5, "jawOpen": 0.12, "mouthUpperUp": 0.3},
}
SIDEWAYS = (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"))
"""Actions of which only one at a time can be."""
PAIRS = tuple(
    name.removesuffix("Left")
    for name in BLENDSHAPE_NAMES
    if name.endswith("Left") and not name.startswith("eye") and name not in ("jawLeft", "mouthLeft")
)
SINGLES = (
    *("browInnerUp", "cheekPuff", "jawOpen", "jawForward", "mouthFunnel", "mouthPucker"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
)
_COLUMN = {name: column for column, name in enumerate(BLENDSHAPE_NAMES)}

LID_FOLLOWS = 0.3
"""How much a lid closes when its eye looks all the way down."""
NEUTRAL, WILD = 0.22, 0.15
"""Shares of faces that do nothing, and of those that do many things at once."""


def draw_actions(random: np.random.Generator) -> FloatArray:
    """Actions [52], 0..1, in the order of BLENDSHAPE_NAMES, gaze and blinks included."""
    actions = np.zeros(len(BLENDSHAPE_NAMES))
    kind = random.random()
    if kind < WILD:
        _draw_wild(random, actions)
    elif kind > WILD + NEUTRAL:
        both = random.random() < 0.25
        if both or random.random() < 0.62:
            add(actions, PROTOTYPES[random.choice(list(PROTOTYPES))], _strength(random), random)
        if both or not actions.any():
            add(actions, SPEECH[random.choice(list(SPEECH))], _strength(random), random)
        draw_some(random, actions, int(random.integers(0, 4)))
    actions += np.where(random.random(len(actions)) < 0.4, np.abs(random.normal(0, 0.04, len(actions))), 0)
    actions[[_COLUMN[name] for name in BLENDSHAPE_NAMES if name.startswith("eyeLook")]] = 0
    for pair in SIDEWAYS:
        if random.random() < 0.12:
            actions[_COLUMN[pair[int(random.random() < 0.5)]]] += random.uniform(0.1, 0.8)
    draw_lids(random, actions, draw_gaze(random, actions))
    return finished(actions)


def add(actions: np.ndarray, table: dict[str, float], strength: float, random: np.random.Generator) -> None:
    """Adds a combination to actions [52], its pairs a little uneven."""
    for name, value in table.items():
        value *= strength * random.uniform(0.7, 1.2)
        if name in _COLUMN:
            actions[_COLUMN[name]] += value
        else:
            lean = random.normal(0, 0.12) if random.random() > 0.07 else random.choice((-0.8, 0.8))
            actions[_COLUMN[name + "Left"]] += value * (1 + lean)
            actions[_COLUMN[name + "Right"]] += value * (1 - lean)


def finished(actions: np.ndarray) -> FloatArray:
    """Actions [52] that a face can do together: 0..1, no lips closed further than the jaw opens, no two sides."""
    clipped = np.clip(actions, 0, 1)
    clipped[_COLUMN["_neutral"]] = 0
    clipped[_COLUMN["mouthClose"]] = min(clipped[_COLUMN["mouthClose"]], clipped[_COLUMN["jawOpen"]])
    for left, right in SIDEWAYS:
        weaker = left if clipped[_COLUMN[left]] < clipped[_COLUMN[right]] else right
        clipped[_COLUMN[weaker]] = 0
    return np.asarray(clipped, np.float32)


def _strength(random: np.random.Generator) -> float:
    return float(random.beta(1.8, 1.6)) * 1.15


def draw_some(random: np.random.Generator, actions: np.ndarray, count: int) -> None:
    """Adds so many single actions to actions [52], most of them weak."""
    for name in random.choice((*PAIRS, *SINGLES), count, replace=False):
        add(actions, {str(name): 1.0}, float(random.beta(1.2, 2.2)), random)


def _draw_wild(random: np.random.Generator, actions: np.ndarray) -> None:
    acting = random.random(len(actions)) < random.uniform(0.1, 0.3)
    actions += acting * random.uniform(0, 0.9, len(actions))
    actions[_COLUMN["mouthClose"]] *= random.random() < 0.5


def draw_gaze(random: np.random.Generator, actions: np.ndarray) -> float:
    """Turns both eyes to one place; tells how far down they look, 0..1."""
    spread = 0.12 if random.random() < 0.45 else 0.42
    aside, up = np.clip(random.normal(0, (spread, 0.8 * spread)), -1, 1)
    look_towards(actions, aside, up)
    return float(max(-up, 0))


def look_towards(actions: np.ndarray, aside: float, up: float) -> None:
    """Turns the eyes of actions [52] whose gaze is 0: to the subject's left and up, -1..1."""
    leading, following = ("Left", "Right") if aside > 0 else ("Right", "Left")
    actions[_COLUMN["eyeLookOut" + leading]] = abs(aside)
    actions[_COLUMN["eyeLookIn" + following]] = abs(aside)
    for side in ("Left", "Right"):
        actions[_COLUMN[("eyeLookUp" if up > 0 else "eyeLookDown") + side]] = abs(up)


def draw_lids(random: np.random.Generator, actions: np.ndarray, down: float) -> None:
    """Blinks: closed, half closed, one eye alone; and lids that follow the eyes down."""
    lids = [_COLUMN["eyeBlinkLeft"], _COLUMN["eyeBlinkRight"]]
    kind = random.random()
    if kind < 0.1:
        actions[lids] = random.uniform(0.8, 1.0)
    elif kind < 0.24:
        actions[lids] = random.uniform(0.15, 0.8) + random.normal(0, 0.04, 2)
    elif kind < 0.3:
        actions[random.choice(lids)] = random.uniform(0.5, 1.0)
    else:
        actions[lids] = np.maximum(actions[lids], np.abs(random.normal(0, 0.08)))
    actions[lids] += LID_FOLLOWS * down
    if actions[lids].max() > 0.3:  # a closing eye is not opened wide
        actions[[_COLUMN["eyeWideLeft"], _COLUMN["eyeWideRight"]]] *= 0.2
