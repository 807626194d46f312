"""What a made-up person does with the face when showing an emotion, and what is then true about it.

An emotion is shown with a weight 0..1: its actions are that share of their whole, and its valence and arousal that
share of where people place it (models.heads.CIRCUMPLEX). The weights of a face add up to 1 at the most; the rest is the
neutral face, at (0, 0). A face shows the class of its largest weight, and is neutral while that is below SHOWN_FROM.
"""

import numpy as np
import numpy.typing as npt

from models.emotion import EMOTIONS
from models.heads import CIRCUMPLEX
from models.open_basis import BLENDSHAPE_NAMES
from models.spec import FloatArray
from train.ig3d.labelled import IntArray
from train.synthetic.expressions import PROTOTYPES, SPEECH, add, draw_gaze, draw_lids, draw_some, finished

DISPLAYS: dict[str, tuple[str, ...]] = {
    "happiness": ("smile", "grin", "laugh"),
    "sadness": ("sadness",),
    "surprise": ("surprise",),
    "fear": ("fear",),
    "disgust": ("disgust",),
    "anger": ("anger", "shouting"),
    "contempt": ("contempt",),
}
"""Which of the expressions' PROTOTYPES show an emotion."""
ONE_SIDED = ("contempt",)
ON_ONE_SIDE = {"mouthDimple": 1.0, "mouthSmile": 0.35, "mouthPress": 0.4}
"""How far the pairs of contempt's prototype go, on the person's own side, by which models.heads knows it."""
PLACES = np.array([CIRCUMPLEX.get(name, (0.0, 0.0)) for name in EMOTIONS], np.float32)  # [8, 2]
FULL = 1.15
"""Strength of a prototype at weight 1: the most that train.synthetic.expressions draws."""
SHOWN_FROM = 0.2
WEAKEST = 0.45
"""Weight of an emotion that a still picture shows, at the least."""
RESIDUE = 0.12
"""Weight of an emotion on a face that is called neutral, at the most."""
BLENDED, BLEND = 0.25, 0.35
"""Share of stills with a second emotion, and its weight, at the most, as a share of the first one's."""
TALKING, LOUDEST = 0.3, 0.45
"""Share of stills that are caught speaking, and how far that goes."""
TREMOR = 0.02
"""Of every action, whatever is shown."""


def draw_style(random: np.random.Generator) -> FloatArray:
    """How somebody shows each emotion at weight 1: actions [8, 52], in the orders of EMOTIONS and BLENDSHAPE_NAMES."""
    style = np.zeros((len(EMOTIONS), len(BLENDSHAPE_NAMES)))
    side = str(random.choice(("Left", "Right")))
    for row, emotion in enumerate(EMOTIONS):
        if emotion in DISPLAYS:
            table = PROTOTYPES[str(random.choice(DISPLAYS[emotion]))]
            if emotion in ONE_SIDED:
                table = {name + side: ON_ONE_SIDE[name] for name in table}
            add(style[row], table, FULL, random)
    return np.asarray(np.clip(style, 0, 1), np.float32)


def draw_still(random: np.random.Generator, emotion: int) -> tuple[FloatArray, FloatArray]:
    """Weights [8] and actions [52] of a picture of a class, with speech, gaze, blinks and what else faces do."""
    weights = np.zeros(len(EMOTIONS), np.float32)
    others = [row for row in range(1, len(EMOTIONS)) if row != emotion]
    if emotion == 0:
        weights[int(random.choice(others))] = random.uniform(0, RESIDUE)
    else:
        weights[emotion] = random.uniform(WEAKEST, 1)
        if random.random() < BLENDED:
            weights[int(random.choice(others))] = weights[emotion] * random.uniform(0, BLEND)
    weights = bounded(weights)
    actions = (weights @ draw_style(random)).astype(np.float64)
    if random.random() < TALKING:
        add(actions, SPEECH[str(random.choice(list(SPEECH)))], random.uniform(0.1, LOUDEST), random)
    single = np.zeros(len(BLENDSHAPE_NAMES))
    draw_some(random, single, int(random.integers(0, 3)))
    actions += 0.4 * single + np.abs(random.normal(0, TREMOR, len(actions)))
    actions[[name.startswith("eyeLook") for name in BLENDSHAPE_NAMES]] = 0
    draw_lids(random, actions, draw_gaze(random, actions))
    return weights, finished(actions)


def bounded(weights: npt.NDArray[np.floating]) -> FloatArray:
    """Weights [..., 8] that add up to 1 at the most."""
    return np.asarray(weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1), np.float32)


def truth(weights: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Emotion [N], valence and arousal [N, 2] and intensity [N], 0..1, of weights [N, 8] that are `bounded`."""
    strongest = weights.argmax(axis=1)
    shown = weights.max(axis=1) >= SHOWN_FROM
    return np.where(shown, strongest, 0), weights @ PLACES, weights.sum(axis=1)
