"""The figures of `benchmarks.crops`, as a section of the GPU benchmark."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures import BenchmarkInvalid, Floor, Row, Section, Spread
from benchmarks.floors import bottleneck


def measure_crops(
    section: Section, device: torch.device, *, faces: Sequence[int], frames: Sequence[int], repeats: int, copy_mib: int
) -> None:
    """Crops of so many faces of each of so many frames in a call. Raises BenchmarkInvalid when their check fails."""
    for count in frames:
        if not section.has_time(f"crops of {count} frames a call", 15):
            continue
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "crops.json"
            arguments = ["--device", device, "--frames", count, "--repeats", repeats, "--copy-mib", copy_mib]
            command = [
                sys.executable,
                "-m",
                "benchmarks.crops",
                *map(str, [*arguments, "--out", out, "--faces", *faces]),
            ]
            done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
            if done.returncode:
                raise BenchmarkInvalid(f"`{' '.join(command)}` ended with {done.returncode}; its message is above")
            result = json.loads(out.read_text(encoding="utf-8"))
        for measured in result["results"]:
            section.add(crop_row(measured, count, repeats))
        for method, reason in result["skipped"].items():
            section.skip(f"{method}, {count} frames a call", reason)


def crop_row(measured: dict[str, Any], frames: int, repeats: int) -> Row:
    """One entry of its results."""
    crops = measured["faces_per_frame"] * frames
    low, middle, high = (float(f"{crops * 1e3 / measured[ms]:.5g}") for ms in ("call_ms_max", "call_ms", "call_ms_min"))
    figure = Spread("crops/s", middle, low, high, repeats)
    floor = Floor(round(crops * 1e3 / measured["floor_ms"], 1), "bytes read and written, at the speed of a copy")
    what = f"{measured['method']}, {measured['faces_per_frame']} faces of each of {frames} frames"
    return Row(what, figure, floor, bottleneck(floor, middle), measured)
