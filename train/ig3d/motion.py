"""A face in time: emotions that come and go, speech, gaze, blinks and a drifting head, RATE frames a second.

Everything is smooth: white noise or random steps, run through a Gaussian. The truth about each frame is known from its
weights, as of a still picture (train.ig3d.acting).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.emotion import EMOTIONS
from models.open_basis import BLENDSHAPE_NAMES
from models.spec import FloatArray
from train.ig3d.acting import TREMOR, bounded, draw_style
from train.synthetic.expressions import LID_FOLLOWS, PAIRS, SINGLES, SPEECH, add, finished, look_towards
from train.synthetic.parameters import PITCH, ROLL, YAW

Array = npt.NDArray[np.float64]

RATE = 25.0
"""Frames a second."""
HELD_S = (0.8, 3.0)
"""How long somebody aims at one weight of one emotion, seconds."""
RESTING = 0.25
"""Share of the times without any."""
CHANGE_S = (0.12, 0.3)
"""Width of the Gaussian that an emotion comes and goes with: 0.3 to 0.8 s from a tenth to nine tenths."""
WAVERING, WAVER_S = 0.1, 0.6
"""How much a held emotion goes up and down, as a share of it, and how slowly."""
TALKING = 0.5
"""Share of the clips in which somebody speaks, about half of the time."""
SYLLABLE_S, SYLLABLE_WIDTH_S, LOUD = (0.12, 0.3), 0.06, (0.15, 0.5)
BLINK_EVERY_S, BLINK_WIDTH_S = 3.5, 0.055
"""Blinks are about 0.25 s long, 3.5 s apart."""
STILL_FACING = 0.6
"""How far heads are turned away, as a share of what still pictures show: who is filmed mostly faces the camera."""
SWAY = (5.0, 3.5, 2.5)
"""Degrees of yaw, pitch and roll that a head drifts by, and how slowly it does."""
SWAY_S = 0.8
GLANCE_S, GLANCE = (0.3, 2.0), (0.25, 0.18)
"""How long eyes rest on one point; how far apart points are, aside and up."""
_LIDS = [BLENDSHAPE_NAMES.index("eyeBlinkLeft"), BLENDSHAPE_NAMES.index("eyeBlinkRight")]
_WIDE = [BLENDSHAPE_NAMES.index("eyeWideLeft"), BLENDSHAPE_NAMES.index("eyeWideRight")]


@dataclass(frozen=True, slots=True)
class Motion:
    """T frames of one person."""

    weights: FloatArray  # [T, 8] of emotions, as of train.ig3d.acting
    actions: FloatArray  # [T, 52]
    turns: Array  # [T, 3] yaw, pitch, roll, degrees


def draw_motion(random: np.random.Generator, frames: int) -> Motion:
    """What somebody does in a clip."""
    weights = draw_weights(random, frames)
    actions = (weights @ draw_style(random)).astype(np.float64)
    if random.random() < TALKING:
        actions += _speech(random, frames)
    for name in random.choice((*PAIRS, *SINGLES), 2, replace=False):  # a habit or two that mean nothing
        habit = np.zeros(len(BLENDSHAPE_NAMES))
        add(habit, {str(name): 1.0}, random.uniform(0.05, 0.2), random)
        actions += np.maximum(drift(random, frames, WAVER_S), 0)[:, None] * habit
    actions += TREMOR * np.stack([np.abs(drift(random, frames, 0.2)) for _ in BLENDSHAPE_NAMES], axis=1)
    actions[:, [name.startswith("eyeLook") for name in BLENDSHAPE_NAMES]] = 0
    _move_eyes(random, actions)
    facing = [
        STILL_FACING * np.clip(random.normal(0, spread), -limit, limit) for spread, _, limit in (YAW, PITCH, ROLL)
    ]
    turns = np.stack([at + by * drift(random, frames, SWAY_S) for at, by in zip(facing, SWAY, strict=True)], axis=1)
    return Motion(weights, np.stack([finished(row) for row in actions]), turns)


def draw_weights(random: np.random.Generator, frames: int) -> FloatArray:
    """Weights [T, 8] of emotions that come, last a while and go."""
    aims = np.zeros((frames, len(EMOTIONS)))
    for start, end in _spans(random, frames, HELD_S):
        if random.random() > RESTING:
            aims[start:end, int(random.integers(1, len(EMOTIONS)))] = random.uniform(0.35, 1)
    weights = smooth(aims, random.uniform(*CHANGE_S))
    return bounded(weights * np.clip(1 + WAVERING * drift(random, frames, WAVER_S), 0.5, 1.5)[:, None])


def drift(random: np.random.Generator, frames: int, width_s: float) -> Array:
    """Smooth noise [T] about 0 with a spread of 1: what `width_s` apart is alike."""
    reach = _reach(width_s)
    kernel = _gaussian(width_s)
    noise = np.convolve(random.normal(size=frames + 2 * reach), kernel, mode="valid")
    return np.asarray(noise / np.sqrt((kernel**2).sum()))


def smooth(values: Array, width_s: float) -> Array:
    """Values [T, C] run through a Gaussian; the first and the last one go on beyond their ends."""
    reach, kernel = _reach(width_s), _gaussian(width_s)
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)


def _gaussian(width_s: float) -> Array:
    reach = _reach(width_s)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (width_s * RATE)) ** 2)
    return np.asarray(kernel / kernel.sum())


def _reach(width_s: float) -> int:
    return int(np.ceil(3 * width_s * RATE))


def _spans(random: np.random.Generator, frames: int, length_s: tuple[float, float]) -> list[tuple[int, int]]:
    """Spans of frames, one after another, of random lengths; the first one may have begun before the clip."""
    ends = [int(random.uniform(0, length_s[1]) * RATE)]
    while ends[-1] < frames:
        ends.append(ends[-1] + max(1, int(random.uniform(*length_s) * RATE)))
    starts = [0, *ends[:-1]]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if end > start]


def _speech(random: np.random.Generator, frames: int) -> Array:
    """Actions [T, 52] of syllables, one after another, with pauses."""
    spoken = np.zeros((frames, len(BLENDSHAPE_NAMES)))
    for start, end in _spans(random, frames, SYLLABLE_S):
        syllable = np.zeros(len(BLENDSHAPE_NAMES))
        add(syllable, SPEECH[str(random.choice(list(SPEECH)))], random.uniform(*LOUD), random)
        spoken[start:end] = syllable
    talking = 1 / (1 + np.exp(-8 * drift(random, frames, WAVER_S)))
    return smooth(spoken, SYLLABLE_WIDTH_S) * talking[:, None]


def _move_eyes(random: np.random.Generator, actions: Array) -> None:
    """Gaze from point to point, blinks, and lids that follow the eyes down, in actions [T, 52]."""
    frames = len(actions)
    points, blinks = np.zeros((frames, 2)), np.zeros((frames, 1))
    for start, end in _spans(random, frames, GLANCE_S):
        points[start:end] = np.clip(random.normal(0, GLANCE), -1, 1)
    at = random.exponential(BLINK_EVERY_S)
    while at * RATE < frames:
        blinks[:, 0] += np.exp(-0.5 * ((np.arange(frames) / RATE - at) / BLINK_WIDTH_S) ** 2)
        at += 0.5 + random.exponential(BLINK_EVERY_S)
    for row, (aside, up) in zip(actions, smooth(points, 0.03).tolist(), strict=True):
        look_towards(row, aside, up)
        row[_LIDS] += LID_FOLLOWS * max(-up, 0)
    actions[:, _LIDS] = np.maximum(actions[:, _LIDS], blinks)
    actions[:, _WIDE] *= np.clip(1 - actions[:, _LIDS].max(axis=1, keepdims=True), 0.2, 1)
