"""Valence and arousal over time, as a picture."""

from collections import defaultdict
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stream.demo.record import Recording, SeenFace
from stream.demo.style import AROUSAL, VALENCE, mpl


def plot_affect(recording: Recording, title: str, out: Path) -> None:
    """Write a PNG: valence and arousal over time (raw thin, smoothed thick), and the path on the circumplex."""
    tracks: defaultdict[int, list[tuple[float, SeenFace]]] = defaultdict(list)
    for frame in recording.frames:
        for face in frame.faces:
            tracks[face.track].append((frame.pts_s, face))

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    over_time, circumplex = figure.subplots(1, 2, width_ratios=(2.4, 1))
    for track, seen in tracks.items():
        _draw_lines(over_time, track, seen, several=len(tracks) > 1)
        circumplex.plot(
            [face.smoothed.valence for _, face in seen],
            [face.smoothed.arousal for _, face in seen],
            lw=1.2,
            alpha=0.8,
            label=f"face {track}",
        )
    _finish_time(over_time, title)
    _finish_circumplex(circumplex)
    figure.savefig(out, dpi=110)


def _draw_lines(axes: Axes, track: int, seen: list[tuple[float, SeenFace]], *, several: bool) -> None:
    times = [time for time, _ in seen]
    suffix = f" (face {track})" if several else ""
    for name, colour in (("valence", VALENCE), ("arousal", AROUSAL)):
        raw = [getattr(face.raw, name) for _, face in seen]
        smoothed = [getattr(face.smoothed, name) for _, face in seen]
        axes.plot(times, raw, color=mpl(colour), lw=0.6, alpha=0.45)
        axes.plot(times, smoothed, color=mpl(colour), lw=2.2, label=name + suffix)


def _finish_time(axes: Axes, title: str) -> None:
    axes.axhline(0, color="0.7", lw=0.8)
    axes.set(title=title, xlabel="time, s", ylabel="valence, arousal (-1 to 1)", ylim=(-1, 1))
    axes.margins(x=0)
    axes.legend(loc="lower right", title="thick: smoothed, thin: raw", fontsize=8, title_fontsize=8)


def _finish_circumplex(axes: Axes) -> None:
    axes.axhline(0, color="0.7", lw=0.8)
    axes.axvline(0, color="0.7", lw=0.8)
    axes.set(title="path on the circumplex", xlabel="valence", ylabel="arousal", xlim=(-1, 1), ylim=(-1, 1))
    axes.set_aspect("equal")
    if len(axes.lines) > 2:  # more than the two zero lines
        axes.legend(loc="lower right", fontsize=8)
