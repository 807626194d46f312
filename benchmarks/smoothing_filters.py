"""The filters that benchmarks.smoothing compares: those that flamestream ships, and those that are only studied.

Each takes the frames of one clip from its first one on: times [T] in seconds, which increase, and values [T, 2] of
valence and arousal, -1..1. Time constants and noise ratios are in seconds, so that they hold at any frame rate.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream.emit.smooth import OneEuroFilter, SmoothingSettings, TimeConstantFilter

DoubleArray = npt.NDArray[np.float64]
Smooth = Callable[[DoubleArray, DoubleArray], DoubleArray]
"""Times [T] and values [T, 2] to smoothed values [T, 2]."""

RAW, SHIPPED, EMA = "raw", "EMA as shipped", "EMA"
DEFAULTS = SmoothingSettings()

TIME_CONSTANTS_S = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0)
CUTOFFS_HZ = (0.01, 0.05, 0.2, 0.4, 0.8, 1.5, 3.0)
SPEED_GAINS = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Hz per unit a second. Noise of 0.05 from frame to frame at 25 frames a second is a speed of about 1 a second."""
POSITION_RATIOS = (0.002, 0.005, 0.015, 0.05, 0.15, 0.5, 1.5, 5.0, 15.0, 50.0, 150.0)
"""1/s. At 25 frames a second these settle like time constants of 4.5 to 0.02 s (the root of frame time / ratio)."""
VELOCITY_RATIOS = (0.0002, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 50.0, 250.0, 2500.0)
"""1/s^3. At 25 frames a second: 3.8 to 0.06 s (the fourth root of frame time / ratio)."""
HALF_WIDTHS_S = (0.04, 0.08, 0.12, 0.2, 0.28, 0.4, 0.6, 0.8, 1.0, 1.4, 2.0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A filter with its settings."""

    filter: str
    smooth: Smooth
    settings: Mapping[str, float] = field(default_factory=dict)
    """By name, with the unit at its end."""
    ahead_s: float = 0.0
    """How far it looks ahead: a stream would have to wait as long."""


def candidates(*, quick: bool = False) -> dict[str, list[Candidate]]:
    """Every filter with every setting that is tried, by filter; `quick` takes every third setting."""
    step = 3 if quick else 1
    tried = [
        Candidate(RAW, lambda _, values: values),
        Candidate(SHIPPED, time_constant(DEFAULTS.affect_s), {"time_constant_s": DEFAULTS.affect_s}),
        *(Candidate(EMA, time_constant(tau), {"time_constant_s": tau}) for tau in TIME_CONSTANTS_S[::step]),
        *(
            Candidate("One-Euro", one_euro(cutoff, gain), {"cutoff_hz": cutoff, "speed_gain": gain})
            for cutoff, gain in itertools.product(CUTOFFS_HZ[::step], SPEED_GAINS[::step])
        ),
        *(
            Candidate("Kalman, position", kalman_position(ratio), {"process_to_measurement_per_s": ratio})
            for ratio in POSITION_RATIOS[::step]
        ),
        *(
            Candidate("Kalman, velocity", kalman_velocity(ratio), {"process_to_measurement_per_s3": ratio})
            for ratio in VELOCITY_RATIOS[::step]
        ),
        *(
            Candidate("centred window", centred_window(half), {"half_width_s": half}, half)
            for half in HALF_WIDTHS_S[::step]
        ),
    ]
    grouped: dict[str, list[Candidate]] = {}
    for candidate in tried:
        grouped.setdefault(candidate.filter, []).append(candidate)
    return grouped


def at_edge(chosen: Candidate, tried: Sequence[Candidate]) -> list[str]:
    """Names of the chosen settings that are the least or the greatest tried: a better one may lie beyond."""
    edges = {}
    for name in chosen.settings:
        values = {candidate.settings[name] for candidate in tried}
        edges[name] = (min(values), max(values)) if len(values) > 1 else ()
    return [name for name, value in chosen.settings.items() if value in edges[name]]


# Shipped


def time_constant(tau_s: float) -> Smooth:
    """What streams are smoothed with: a causal low-pass (stream.emit.smooth.TimeConstantFilter)."""

    def smooth(times_s: DoubleArray, values: DoubleArray) -> DoubleArray:
        filters = [TimeConstantFilter(tau_s, value) for value in values[0].tolist()]
        steps = zip(np.diff(times_s).tolist(), values[1:].tolist(), strict=True)
        rest = [[each(value, dt_s) for each, value in zip(filters, row, strict=True)] for dt_s, row in steps]
        return np.array([values[0].tolist(), *rest])

    return smooth


def one_euro(cutoff_hz: float, speed_gain: float) -> Smooth:
    """What poses are smoothed with: steadier at rest, quicker in motion (stream.emit.smooth.OneEuroFilter)."""

    def smooth(times_s: DoubleArray, values: DoubleArray) -> DoubleArray:
        both = np.ones(values.shape[1])
        each = OneEuroFilter(cutoff_hz * both, speed_gain * both, DEFAULTS.speed_cutoff_hz, values[0])
        rest = [each(row, dt_s) for dt_s, row in zip(np.diff(times_s).tolist(), values[1:], strict=True)]
        return np.array([values[0], *rest])

    return smooth


# Studied


def kalman_position(ratio_per_s: float) -> Smooth:
    """A causal Kalman filter of something that wanders without a direction: variance grows with time.

    `ratio_per_s`: by how many times the measurement's variance it grows a second. Only that ratio decides. Once
    settled it is an EMA; before, each frame counts the more the fewer there have been, up to a plain average.
    """

    def smooth(times_s: DoubleArray, values: DoubleArray) -> DoubleArray:
        position, variance = values[0], 1.0  # in units of the measurement's variance: one measurement so far
        found = [position]
        for dt_s, measured in zip(np.diff(times_s).tolist(), values[1:], strict=True):
            expected = variance + ratio_per_s * dt_s
            gain = expected / (expected + 1)
            position, variance = position + gain * (measured - position), gain
            found.append(position)
        return np.array(found)

    return smooth


def kalman_velocity(ratio_per_s3: float) -> Smooth:
    """A causal Kalman filter of something that keeps its speed, but for white noise of its acceleration.

    `ratio_per_s3`: that noise's density over the measurement's variance. It goes on in the direction it had, so that
    it lags less and overshoots; what it says is kept in -1..1.
    """

    def smooth(times_s: DoubleArray, values: DoubleArray) -> DoubleArray:
        state = np.stack([values[0], np.zeros_like(values[0])])  # [2, 2] position and speed of each dimension
        # Speeds at the start: as unsure as this ratio makes them, its only scale.
        spread = np.diag([1.0, ratio_per_s3 ** (2 / 3)])
        found = [state[0]]
        for dt_s, measured in zip(np.diff(times_s).tolist(), values[1:], strict=True):
            onward = np.array([[1, dt_s], [0, 1]])
            noise = ratio_per_s3 * np.array([[dt_s**3 / 3, dt_s**2 / 2], [dt_s**2 / 2, dt_s]])
            state, spread = onward @ state, onward @ spread @ onward.T + noise
            gain = spread[:, :1] / (spread[0, 0] + 1)  # [2, 1]
            state = state + gain * (measured - state[0])
            spread = spread - gain @ spread[:1]
            found.append(state[0])
        return np.asarray(np.clip(np.array(found), -1, 1), np.float64)

    return smooth


def centred_window(half_width_s: float) -> Smooth:
    """The mean over as much time after each frame as before it, `half_width_s` at most, for files: it looks ahead.

    Near the ends of a clip the window shrinks on both sides, so that it lags nowhere.
    """

    def smooth(times_s: DoubleArray, values: DoubleArray) -> DoubleArray:
        rounding = 1e-6  # of times that are written in milliseconds and subtracted
        reach = np.minimum(half_width_s, np.minimum(times_s - times_s[0], times_s[-1] - times_s)) + rounding
        first = np.searchsorted(times_s, times_s - reach, side="left")
        after = np.searchsorted(times_s, times_s + reach, side="right")
        sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
        return np.asarray((sums[after] - sums[first]) / (after - first)[:, None], np.float64)

    return smooth
