"""Pictures are written, and what cannot be drawn is told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.train.ig3d.affect_rows import models
from train.errors import TrainingError
from train.ig3d.plots import plot_affect, plot_confusion


def test_a_confusion_matrix_is_drawn_even_with_a_class_that_is_never_true(tmp_path: Path) -> None:
    counts = np.diag([5, 3, 0]) + np.array([[0, 2, 0], [0, 0, 0], [0, 0, 0]])
    plot_confusion(counts, ("a", "b", "c"), "three", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("L")).std() > 5
    with pytest.raises(TrainingError, match=r"a confusion matrix of shape \[3, 3\], expected \[2, 2\]"):
        plot_confusion(counts, ("a", "b"), "two", tmp_path / "b.png")


def test_prediction_against_truth_is_drawn(tmp_path: Path) -> None:
    first, _ = models(80)
    plot_affect(first.found, first.true, "one", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1000, 500)
    plot_affect(first.found[:1], first.true[:1], "one", tmp_path / "a.png")
    with pytest.raises(TrainingError, match="cannot be written"):
        plot_affect(first.found, first.true, "one", tmp_path / "none" / "a.png")
