"""The benchmark of crops: it compares every method with our crop, and measures none that cuts out something else."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import crop_methods, crops
from benchmarks.crop_methods import Boxes, Frames, open_methods
from models.device import CPU

COMPILED = "gather, compiled"


@pytest.fixture(autouse=True)
def without_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inductor takes half a minute to compile on two cores."""
    rest = {name: opening for name, opening in crop_methods._OPENINGS.items() if name != COMPILED}
    monkeypatch.setattr(crop_methods, "_OPENINGS", rest)


def test_every_method_cuts_out_the_same() -> None:
    random = np.random.default_rng(0)
    frames = [torch.from_numpy(random.integers(0, 256, (1080, 1920, 3), dtype=np.uint8)) for _ in range(2)]
    boxes = [crops.random_boxes(random, 1), crops.random_boxes(random, 2)]
    methods, skipped = open_methods(CPU)
    assert {"geometry (NumPy)", "gather, eager", "torch grid_sample"} <= set(methods)
    assert skipped["gather, Triton"] == "runs on NVIDIA GPUs only"
    assert set(methods) | set(skipped) == set(crop_methods._OPENINGS)
    for name, method in methods.items():
        assert crops.compare(method, frames, boxes).max_levels <= crops.MAX_LEVELS, name
    assert crops.compare(methods["gather, eager"], frames[:1], [crops.border_boxes()]).max_levels <= 1


def test_what_cuts_out_something_else_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_a_pixel_off(frames: Frames, boxes: Boxes) -> torch.Tensor:
        return right(frames, [of_frame + np.array([0.5, 0, 0], np.float32) for of_frame in boxes])

    right = crop_methods._gather_eager(CPU)
    openings = {"right": lambda _: right, "wrong": lambda _: half_a_pixel_off, "missing": missing}
    monkeypatch.setattr(crop_methods, "_OPENINGS", openings)
    out = tmp_path / "figures.json"
    arguments = ["--device", "cpu", "--faces", "1", "--repeats", "2", "--copy-mib", "4", "--out", out]
    monkeypatch.setattr("sys.argv", ["crops", *map(str, arguments)])
    crops.main()
    figures = json.loads(out.read_text())
    (row,) = figures["results"]
    assert row["method"] == "right"
    assert row["crops_per_second"] > 0
    assert row["times_the_floor"] > 0
    assert row["max_levels_off"] == 0
    assert "levels: it cuts out something else" in figures["skipped"]["wrong"]
    assert figures["skipped"]["missing"] == "No module named 'missing'"
    assert figures["machine"]["device"] == "cpu"


def missing(_: torch.device) -> crop_methods.Method:
    raise ImportError("No module named 'missing'")


def test_the_floor_counts_each_pixel_once() -> None:
    output = 3 * 224 * 224 * 4
    assert crops.bytes_needed([np.array([[500, 500, 111.5]], np.float32)]) == 3 * 113 * 113 + output
    far_apart = crops.bytes_needed([np.array([[500, 500, 223 * 2.5]], np.float32)])
    assert far_apart == 3 * (2 * 224) ** 2 + output
    outside = crops.bytes_needed([np.array([[-500, 500, 100]], np.float32)])
    assert outside == output
