"""Pictures of predictions: a confusion matrix, and prediction against truth for valence and arousal."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Picture

from train.errors import TrainingError
from train.ig3d.metrics import agreement, checked, paired_affect

DIMENSIONS = ("valence", "arousal")


def plot_confusion(confusion: npt.ArrayLike, names: Sequence[str], title: str, out: Path) -> None:
    """Write a PNG of counts [C, C], a row per true class: coloured by the share of its row, the counts written in.

    Raises TrainingError.
    """
    counts = checked(confusion, "a confusion matrix", (len(names), len(names)))
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0)
    figure = Picture(figsize=(1.5 + 0.75 * len(names), 1.2 + 0.75 * len(names)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{share:.2f}\n{counts[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if share > 0.5 else "black")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    figure.colorbar(image, shrink=0.8, label="share of the true class")
    _save(figure, out)


def plot_affect(found: npt.ArrayLike, true: npt.ArrayLike, title: str, out: Path) -> None:
    """Write a PNG: predicted valence and arousal [N, 2] (up) against the truth (right), by how many pictures lie there.

    Raises TrainingError.
    """
    a, b = paired_affect(found, true)
    figure = Picture(figsize=(10, 5), layout="constrained")
    for column, (axes, name) in enumerate(zip(figure.subplots(1, 2), DIMENSIONS, strict=True)):
        reach = max(1.0, float(np.abs(a[:, column]).max()))
        cells = axes.hexbin(
            b[:, column], a[:, column], gridsize=40, extent=(-1, 1, -reach, reach), mincnt=1, bins="log", cmap="viridis"
        )
        axes.plot([-1, 1], [-1, 1], color="tab:red", lw=0.8)
        told = agreement(a[:, column], b[:, column])
        axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}", xlim=(-1, 1), ylim=(-reach, reach))
        axes.set_title(f"{name}: CCC {told.ccc:.3f}, RMSE {told.rmse:.3f}", fontsize=10)
        figure.colorbar(cells, ax=axes, label="pictures")
    figure.suptitle(title)
    _save(figure, out)


def _save(figure: Picture, out: Path) -> None:
    try:
        figure.savefig(out, dpi=100)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be written ({error.strerror}); give another folder") from error
