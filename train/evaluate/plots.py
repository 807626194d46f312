"""The pictures of an evaluation: actions over time, and prediction against truth."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Picture

from models.open_basis import actions
from train.evaluate.agreement import KEYS, BoolArray, key_actions
from train.evaluate.synthetic import COEFFICIENTS, Compared
from train.evaluate.watch import Watched

COLUMNS = 9
TEACHER, MODEL, HIDDEN = "0.55", "tab:blue", "0.93"


def plot_timeline(watched: Watched, clear: BoolArray, title: str, out: Path) -> None:
    """Write a PNG: the four key actions of a clip's first face over its frames, the teacher's and the model's.

    Where it is not `clear` [F] the background is grey: something is before the face.
    """
    _, first = np.unique(watched.pictures, return_index=True)
    teacher = key_actions(watched.faces.blendshapes)[first]
    model = key_actions(actions(watched.model))[first]
    figure = Picture(figsize=(11, 7), layout="constrained")
    rows = figure.subplots(len(KEYS), 1, sharex=True)
    for row, (axes, key) in enumerate(zip(rows, KEYS, strict=True)):
        axes.plot(watched.pictures[first], teacher[:, row], color=TEACHER, lw=2.2, label="MediaPipe")
        axes.plot(watched.pictures[first], model[:, row], color=MODEL, lw=1.2, label="model")
        axes.set(ylabel=key, ylim=(0, max(0.2, 1.1 * float(max(teacher[:, row].max(), model[:, row].max())))))
        axes.margins(x=0)
        whole = axes.get_xaxis_transform()  # from the bottom to the top
        axes.fill_between(watched.pictures[first], 0, 1, where=~clear[first], color=HIDDEN, transform=whole, lw=0)
    rows[0].legend(loc="upper right", fontsize=8)
    rows[0].set_title(title)
    rows[-1].set_xlabel("frame")
    figure.savefig(out, dpi=100)


def plot_scatter(compared: Compared, title: str, out: Path) -> None:
    """Write a PNG: for every coefficient that the truth moves, what the model says (up) against the truth (right)."""
    r = compared.r()
    rows = -(-len(r) // COLUMNS)
    figure = Picture(figsize=(1.6 * COLUMNS, 1.75 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(r) :]:
        axes.axis("off")
    for axes, (name, value) in zip(grid, r.items(), strict=False):
        column = COEFFICIENTS[name]
        true, found = compared.true[:, column], compared.found[:, column]
        ends = [float(min(true.min(), found.min())), float(max(true.max(), found.max()))]
        axes.plot(ends, ends, color="0.8", lw=0.8)
        axes.plot(true, found, ".", color=MODEL, ms=2, alpha=0.5)
        axes.set_title(f"{name}\nr {value:.2f}", fontsize=7)
        axes.tick_params(labelsize=5, length=2)
    figure.suptitle(f"{title}: prediction against truth", fontsize=10)
    figure.savefig(out, dpi=100)
