"""Causal smoothing of what was read off each face, the same at any frame rate.

Valence and arousal: a low-pass with one time constant. Averaging them over a window raised their concordance on
Aff-Wild2 by 0.036 (window of 0.7 s) to 0.06 (3.4 s), and by nothing at 13 s. Those windows looked ahead and a live
filter cannot, so take that as an upper bound; but labels lag the face by a second or more too: 0.8 s is well inside.

Expression, pose, jaw, camera: One-Euro (Casiez, Roussel, Vogel, CHI 2012), which holds still what stands still and lets
go of what moves. Mouths and brows move in tenths of a second: averaging them for longer than that makes them worse.
Eyelids and shape are left alone.

Both take the time between frames into account, look at no later frame, and never leave the range of their inputs.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from models.spec import Affect, FlameParams, FloatArray
from stream.frame import AnalysedFace, AnalysedFrame, FrameStamp

Vector = npt.NDArray[np.float64]

NO_TURN: Vector = np.zeros(3)

ONE_EURO_FIELDS = ("expression", "pose", "jaw", "camera")
"""Arrays of FlameParams that are smoothed, in the order in which they are laid end to end."""


class OneEuroSettings(BaseModel):
    """How still and how quick one array is: cut-off = cutoff_hz + speed_gain * speed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cutoff_hz: float = Field(gt=0)
    """Cut-off at rest: lower is steadier. 1 Hz settles in 0.16 s (1 / 2 pi cut-off)."""
    speed_gain: float = Field(ge=0)
    """Hz added per unit a second: higher follows quick movements more closely. One-Euro's beta."""


class SmoothingSettings(BaseModel):
    """How the published values are smoothed; the raw ones are published beside them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    affect_s: float = Field(default=0.8, ge=0)
    """Time constant of valence, arousal and the probabilities of emotions, seconds; 0 leaves them raw."""
    expression: OneEuroSettings = OneEuroSettings(cutoff_hz=1.5, speed_gain=1.0)
    """Expression coefficients (about 0..1): a smile takes 0.3 s, so its speed is 3 a second and its cut-off 4.5 Hz."""
    pose: OneEuroSettings = OneEuroSettings(cutoff_hz=1.0, speed_gain=2.0)
    """Head rotation, radians: a quick turn is 2 rad/s."""
    jaw: OneEuroSettings = OneEuroSettings(cutoff_hz=1.5, speed_gain=3.0)
    """Jaw rotation, radians: in speech it moves at 1 to 2 rad/s."""
    camera: OneEuroSettings = OneEuroSettings(cutoff_hz=1.0, speed_gain=0.5)
    """Camera scale and shift within the crop, which follows the face: they hardly move."""
    speed_cutoff_hz: float = Field(default=1.0, gt=0)
    """Cut-off of the speeds that One-Euro measures."""
    gap_s: float = Field(default=1.0, gt=0)
    """A face not seen for longer than this starts afresh, and its track is reported as ended."""


@dataclass(frozen=True, slots=True)
class SmoothedFace:
    """The smoothed values of one face in one frame; shapes and units as in FlameParams."""

    affect: Affect
    expression: FloatArray  # [50]
    pose: FloatArray  # [3] at most pi long
    jaw: FloatArray  # [3]
    camera: FloatArray  # [3]


@dataclass(frozen=True, slots=True)
class EndedTrack:
    """A face that has not been seen for `gap_s`, or whose source or epoch ended."""

    track: int
    epoch: int


class TimeConstantFilter:
    """First-order low-pass of a signal that runs straight between its samples.

    Its weights are those of the continuous filter (decay exp(-dt/tau)) for a piecewise linear input, so that dropped
    frames and other frame rates change the answer only as far as the signal bends between samples. Taking each sample
    to hold since the one before (the usual 1 - exp(-dt/tau)) would run ahead by half a frame time.
    """

    def __init__(self, time_constant_s: float, value: float) -> None:
        self.time_constant_s = time_constant_s
        self.value = value
        self._input = value

    def __call__(self, value: float, dt_s: float) -> float:
        """The smoothed value `dt_s` > 0 after the previous one."""
        if self.time_constant_s == 0:
            self.value = value
        else:
            steps = dt_s / self.time_constant_s
            decay = math.exp(-steps)
            mean_decay = -math.expm1(-steps) / steps
            smoothed = decay * self.value + (mean_decay - decay) * self._input + (1 - mean_decay) * value
            # The weights are positive and sum to 1; rounding must not carry the result out of -1..1.
            parts = (self.value, self._input, value)
            self.value = min(max(smoothed, min(parts)), max(parts))
        self._input = value
        return self.value


class OneEuroFilter:
    """One-Euro on each number of a vector, with decays exp(-2 pi cutoff dt) that hold for any dt."""

    def __init__(self, cutoff_hz: Vector, speed_gain: Vector, speed_cutoff_hz: float, values: Vector) -> None:
        self.cutoff_hz = cutoff_hz
        self.speed_gain = speed_gain
        self.speed_cutoff_hz = speed_cutoff_hz
        self.values = values
        self._input = values
        self._speed = np.zeros_like(values)

    def __call__(self, values: Vector, dt_s: float) -> Vector:
        """The smoothed values `dt_s` > 0 after the previous ones."""
        speed = (values - self._input) / dt_s
        self._speed = self._speed - math.expm1(-2 * math.pi * self.speed_cutoff_hz * dt_s) * (speed - self._speed)
        cutoff_hz = self.cutoff_hz + self.speed_gain * np.abs(self._speed)
        self.values = self.values - np.expm1(-2 * np.pi * dt_s * cutoff_hz) * (values - self.values)
        self._input = values
        return self.values


class FaceSmoother:
    """The filters of one track, from one reset to the next."""

    def __init__(self, settings: SmoothingSettings, stamp: FrameStamp, face: AnalysedFace) -> None:
        self.epoch = stamp.epoch
        self.pts_s = stamp.pts_s
        self._valence = TimeConstantFilter(settings.affect_s, face.affect.valence)
        self._arousal = TimeConstantFilter(settings.affect_s, face.affect.arousal)
        # Each is a weighted mean with the same weights, so that probabilities stay probabilities.
        self._emotions = [TimeConstantFilter(settings.affect_s, share) for share in face.affect.emotions or ()]
        groups: list[OneEuroSettings] = [getattr(settings, name) for name in ONE_EURO_FIELDS]
        sizes = [len(getattr(face.params, name)) for name in ONE_EURO_FIELDS]
        starts = np.cumsum([0, *sizes]).tolist()
        self._parts = [slice(start, end) for start, end in itertools.pairwise(starts)]
        self._filter = OneEuroFilter(
            np.repeat([group.cutoff_hz for group in groups], sizes),
            np.repeat([group.speed_gain for group in groups], sizes),
            settings.speed_cutoff_hz,
            _end_to_end(face.params),
        )

    def follows(self, stamp: FrameStamp, gap_s: float) -> bool:
        """Whether the frame continues what was smoothed so far."""
        return stamp.epoch == self.epoch and 0 < stamp.pts_s - self.pts_s <= gap_s

    def push(self, stamp: FrameStamp, face: AnalysedFace) -> SmoothedFace:
        """Take in the next frame; `follows` must hold."""
        dt_s = stamp.pts_s - self.pts_s
        self.pts_s = stamp.pts_s
        values = _end_to_end(face.params)
        pose = self._parts[ONE_EURO_FIELDS.index("pose")]
        values[pose] = nearest_turn(values[pose], self._filter.values[pose])
        self._valence(face.affect.valence, dt_s)
        self._arousal(face.affect.arousal, dt_s)
        for smooth, share in zip(self._emotions, face.affect.emotions or (), strict=True):
            smooth(share, dt_s)
        self._filter(values, dt_s)
        return self.smoothed()

    def smoothed(self) -> SmoothedFace:
        """The values after the latest frame."""
        expression, pose, jaw, camera = (self._filter.values[part] for part in self._parts)
        pose = nearest_turn(pose, NO_TURN)
        return SmoothedFace(
            Affect(self._valence.value, self._arousal.value, tuple(each.value for each in self._emotions) or None),
            *(array.astype(np.float32) for array in (expression, pose, jaw, camera)),
        )


class Smoother:
    """Smooths every face of every source, each by itself; remembers only tracks seen within `gap_s`."""

    def __init__(self, settings: SmoothingSettings) -> None:
        self.settings = settings
        self._faces: dict[str, dict[int, FaceSmoother]] = {}

    def smooth(self, frame: AnalysedFrame) -> tuple[list[SmoothedFace], list[EndedTrack]]:
        """The smoothed faces of a frame in their order, and the tracks that this frame shows to have ended.

        A face starts afresh on a new track, in a new epoch, after a gap, and where time stands still or goes back.
        Frames without faces must be passed too: they are what ends tracks.
        """
        tracks = self._faces.setdefault(frame.stamp.source, {})
        smoothed = [self._smooth_face(tracks, frame.stamp, face) for face in frame.faces]
        ended = [
            EndedTrack(track, face.epoch)
            for track, face in tracks.items()
            if face.epoch != frame.stamp.epoch or not 0 <= frame.stamp.pts_s - face.pts_s <= self.settings.gap_s
        ]
        for gone in ended:
            del tracks[gone.track]
        return smoothed, ended

    def end_source(self, source: str) -> list[EndedTrack]:
        """Forget a source; the tracks that were alive."""
        return [EndedTrack(track, face.epoch) for track, face in self._faces.pop(source, {}).items()]

    def _smooth_face(self, tracks: dict[int, FaceSmoother], stamp: FrameStamp, face: AnalysedFace) -> SmoothedFace:
        known = tracks.get(face.face.track)
        if known is None or face.face.is_new or not known.follows(stamp, self.settings.gap_s):
            fresh = tracks[face.face.track] = FaceSmoother(self.settings, stamp, face)
            return fresh.smoothed()
        return known.push(stamp, face)


def nearest_turn(rotation: Vector, reference: Vector) -> Vector:
    """The axis-angle vector of the same rotation that lies nearest to `reference`.

    Near half a turn (a camera mounted upside down) the vector of a steady head jumps between +pi and -pi.
    """
    angle = math.hypot(*rotation.tolist())  # NumPy takes ten times as long for three numbers
    if angle == 0 or angle + math.hypot(*reference.tolist()) < math.pi:
        return rotation
    turns: Sequence[Vector] = [rotation * ((angle + turn) / angle) for turn in (0.0, -2 * math.pi, 2 * math.pi)]
    return min(turns, key=lambda candidate: float(np.linalg.norm(candidate - reference)))


def _end_to_end(params: FlameParams) -> Vector:
    return np.concatenate([getattr(params, name) for name in ONE_EURO_FIELDS], dtype=np.float64)
