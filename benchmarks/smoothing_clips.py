"""Clips out of files of predictions, and what tells a smoothed clip apart: how far it trails, how much it trembles."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.smoothing_filters import DoubleArray, Smooth
from train.errors import TrainingError
from train.ig3d.predictions import Predictions, apart, read_predictions

CLIP_COLUMNS = ("clip", "person")
LONGEST_LAG_S = 1.5
STILL = 1e-12
"""Below which nothing moves: rounding alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """The rows of a file of predictions that are frames of clips, clip after clip."""

    source: Predictions
    names: tuple[str, ...]
    frames: tuple[npt.NDArray[np.int64], ...]
    """Rows of each clip in `found`, `true` and `times_s`, in order of time."""
    found: DoubleArray  # [N, 2] valence, arousal, -1..1
    true: DoubleArray  # [N, 2]
    times_s: DoubleArray  # [N] within each clip
    stills: int
    """Rows of no clip, which are left out."""

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Which clip each frame is of [N]."""
        return np.repeat(np.arange(len(self.names)), [len(rows) for rows in self.frames])

    def smoothed(self, smooth: Smooth) -> DoubleArray:
        """The predictions [N, 2] through a filter that starts afresh with every clip."""
        return np.concatenate([smooth(self.times_s[rows], self.found[rows]) for rows in self.frames])


def read_clips(path: Path) -> Clips:
    """The clips of a file as `flamestream-train ig3d predict` writes it. Raises TrainingError."""
    said = read_predictions(path)
    column = next((name for name in CLIP_COLUMNS if name in said.extra), None)
    if column is None or "time_s" not in said.extra:
        raise TrainingError(f"{path}: no columns clip and time_s; predict a set that has clips")
    rows: dict[str, list[int]] = {}
    times_s = np.full(len(said), np.nan)
    stills = 0
    for row, (name, time_s) in enumerate(zip(said.extra[column], said.extra["time_s"], strict=True)):
        # With `person` in place of `clip`, it is the time that a still has none of.
        if not time_s.strip():
            stills += 1
            continue
        times_s[row] = _seconds(path, row, name, time_s)
        before = rows.setdefault(name, [])
        if before and not times_s[row] > times_s[before[-1]]:
            raise TrainingError(
                f"{path}: row {row + 1}: {time_s} s of {column} {name} comes after {times_s[before[-1]]:g} s, expected "
                "times that increase: filters take frames as they come"
            )
        before.append(row)
    if len(rows) < 2:
        raise TrainingError(f"{path}: {len(rows)} clips, expected at least 2: intervals are drawn over clips")
    if said.found is None or said.true is None:
        raise TrainingError(f"{path}: no valence and arousal, expected what there is to smooth")
    chosen = np.concatenate([np.array(own) for own in rows.values()])
    ends = np.cumsum([len(own) for own in rows.values()])
    places = tuple(np.split(np.arange(len(chosen)), ends[:-1]))
    return Clips(said, tuple(rows), places, said.found[chosen], said.true[chosen], times_s[chosen], stills)


def _seconds(path: Path, row: int, clip: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value) or not clip.strip():
        raise TrainingError(f"{path}: row {row + 1}: clip {clip!r} at {text!r} s, expected both or neither")
    return value


def refuse_shared(tune: Clips, report: Clips) -> None:
    """Refuse settings that were chosen on what is reported. Raises TrainingError."""
    shared = sorted(set(tune.names) & set(report.names))
    if shared:
        raise TrainingError(
            f"{tune.source.source} and {report.source.source} share {len(shared)} clips ({', '.join(shared[:3])}), "
            "expected others: what is tuned on the reported ones says nothing"
        )
    apart(tune.source, report.source)


def lag_s(clips: Clips, found: DoubleArray) -> float:
    """By how many seconds values [N, 2] trail the truth: whole frames, at the best cross-correlation within clips.

    Valence's and arousal's correlations are averaged, so that neither dimension's spread decides.
    """
    step_s = float(np.median(np.concatenate([np.diff(clips.times_s[rows]) for rows in clips.frames])))
    frames = int(LONGEST_LAG_S / step_s)
    lags = sorted(range(-frames, frames + 1), key=abs)  # of equals, the least
    correlations = [_correlation(clips, found, lag * step_s) for lag in lags]
    return round(lags[int(np.argmax(correlations))] * step_s, 4)


def _correlation(clips: Clips, found: DoubleArray, lag: float) -> float:
    """Of values with the truth `lag` seconds before, each less its mean of the clip; as if every clip were one."""
    sums = np.zeros((3, 2))
    for rows in clips.frames:
        times_s = clips.times_s[rows]
        before = times_s - lag
        inside = (before >= times_s[0] - STILL) & (before <= times_s[-1] + STILL)
        if inside.sum() < 2:
            continue
        a = found[rows][inside]
        b = _before(times_s, clips.true[rows], lag)[inside]
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        sums += np.stack([(a * b).sum(axis=0), (a * a).sum(axis=0), (b * b).sum(axis=0)])
    moves = (sums[1] > STILL) & (sums[2] > STILL)
    return float(np.mean(np.where(moves, sums[0] / np.sqrt(np.where(moves, sums[1] * sums[2], 1)), 0)))


def late_truth(clips: Clips, delay_s: float) -> DoubleArray:
    """The truth [N, 2] as annotators write it down who are `delay_s` late; a clip's first value holds until then."""
    return np.concatenate([_before(clips.times_s[rows], clips.true[rows], delay_s) for rows in clips.frames])


def jitter(clips: Clips, values: DoubleArray) -> float:
    """Spread of the differences from frame to frame of values [N, 2]: the mean of both dimensions."""
    return float(np.concatenate([np.diff(values[rows], axis=0) for rows in clips.frames]).std(axis=0).mean())


def _before(times_s: DoubleArray, values: DoubleArray, delay_s: float) -> DoubleArray:
    """What values [T, 2] were `delay_s` before each time [T], in between frames on a straight line."""
    return np.stack([np.interp(times_s - delay_s, times_s, column) for column in values.T], axis=1)
