"""Made-up people: each one's face and look, still pictures and clips of them, and what annotators would write down.

Everything about a person follows from the set's seed and the person's number.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.emotion import EMOTIONS
from models.geometry import Image
from models.open_basis import from_blendshapes
from models.spec import FloatArray
from train.ig3d.acting import draw_still, truth
from train.ig3d.labelled import IntArray
from train.ig3d.motion import RATE, draw_motion, drift
from train.synthetic.faces import BLOCK, SyntheticFaces
from train.synthetic.look import Look, draw_look
from train.synthetic.parameters import COUNT, PITCH, PLACES, ROLL, YAW, axis_angle, draw_angle, draw_shape
from train.synthetic.studio import Take

PERSON_BIAS = 0.03
"""Spread of what annotators read into one person's resting face, of valence and of arousal."""
TRACE_S = 1.0
"""How slowly the error of somebody who annotates a clip drifts."""
_WHO, _WHAT, _LABELS, _PICTURE = range(4)


@dataclass(frozen=True, slots=True)
class Truth:
    """About N pictures of one person."""

    emotion: IntArray  # [N]
    affect: FloatArray  # [N, 2] valence, arousal as annotated, -1..1
    exact: FloatArray  # [N, 2] as shown
    intensity: FloatArray  # [N] 0..1
    time_s: npt.NDArray[np.float64]  # [N] NaN of still pictures


class Person:
    """Somebody who does not exist, in front of the camera of `faces`."""

    def __init__(self, faces: SyntheticFaces, number: int, label_noise: float) -> None:
        self._faces, self._number, self._label_noise = faces, number, label_noise
        random = self._chances(_WHO)
        self._shape, self._look = draw_shape(random), draw_look(random)

    def stills(self, first_class: int, count: int) -> tuple[Truth, Iterator[Image]]:
        """Pictures of emotions in turn, each with light, place and camera of its own."""
        random = self._chances(_WHAT)
        emotion = (first_class + np.arange(count)) % len(EMOTIONS)
        drawn = [draw_still(random, int(place)) for place in emotion]
        turns = np.array([[draw_angle(random, *limits) for limits in (YAW, PITCH, ROLL)] for _ in range(count)])
        takes = [Take(_relit(self._look, random)) for _ in range(count)]
        noise = self._chances(_LABELS).normal(size=(count, 2))
        told = self._truth(np.stack([weights for weights, _ in drawn]), noise, np.full(count, np.nan))
        parameters = self._parameters(np.stack([actions for _, actions in drawn]), turns)
        return told, self._pictures(parameters, takes, range(count))

    def clip(self, frames: int) -> tuple[Truth, Iterator[Image]]:
        """Frames of one clip, RATE a second: look, light, place and camera stay, the face and the head move."""
        motion = draw_motion(self._chances(_WHAT), frames)
        random = self._chances(_LABELS)
        noise = np.stack([drift(random, frames, TRACE_S) for _ in range(2)], axis=1)
        told = self._truth(motion.weights, noise, np.arange(frames) / RATE)
        takes = [Take(self._look, frame) for frame in range(frames)]
        return told, self._pictures(self._parameters(motion.actions, motion.turns), takes, [0] * frames)

    def _truth(self, weights: FloatArray, noise: npt.NDArray[np.float64], time_s: npt.NDArray[np.float64]) -> Truth:
        emotion, exact, intensity = truth(weights)
        bias = self._chances(_LABELS, 1).normal(0, PERSON_BIAS, 2) if self._label_noise else np.zeros(2)
        affect = np.clip(exact + bias + self._label_noise * noise, -1, 1).astype(np.float32)
        return Truth(emotion, affect, exact, intensity, time_s)

    def _parameters(self, actions: FloatArray, turns: npt.NDArray[np.float64]) -> FloatArray:
        """Parameters [N, 361] of actions [N, 52] and yaw, pitch and roll [N, 3] in degrees."""
        parameters = np.zeros((len(actions), COUNT), np.float32)
        parts = from_blendshapes(actions)
        parameters[:, PLACES["expression"]], parameters[:, PLACES["eyelids"]], parameters[:, PLACES["jaw"]] = parts
        parameters[:, PLACES["shape"]] = self._shape
        parameters[:, PLACES["pose"]] = [axis_angle(*angles) for angles in turns.tolist()]
        return parameters

    def _pictures(self, parameters: FloatArray, takes: list[Take], chances: "range | list[int]") -> Iterator[Image]:
        """Images [size, size, 3]; those whose chances have the same number are drawn alike."""
        for start in range(0, len(parameters), BLOCK):
            block = slice(start, start + BLOCK)
            drawn = [self._chances(_PICTURE, number) for number in chances[block]]
            yield from self._faces.draw(parameters[block], drawn, takes[block]).images

    def _chances(self, *what: int) -> np.random.Generator:
        return np.random.default_rng((self._faces.seed, self._number, len(what), *what, 2**32))


def _relit(look: Look, random: np.random.Generator) -> Look:
    """The same person in another light."""
    other = draw_look(random)
    return replace(look, ambient=other.ambient, lights=other.lights, softness=other.softness)
