"""Crops per second out of 1080p frames: the ways there are, side by side, each checked before it is timed.

python -m benchmarks.crops                                  on the first GPU, else on the CPU
python -m benchmarks.crops --device cuda --frames 100       the newest frames of 100 sources in one call
python -m benchmarks.crops --out benchmarks/results/x.json  keep the figures

Frames are noise, uint8 [1080, 1920, 3], on the device, boxes on the CPU; crops are ready on the device when the clock
stops. Noise is the worst picture for agreement: neighbouring pixels differ by 85 levels on average.
The floor is the time in which this machine copies as many bytes as must be read and written.
"""

import argparse
import functools
import importlib.metadata
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.crop_methods import Boxes, Frames, Method, open_methods
from benchmarks.machine import describe_machine
from models.device import open_device
from models.device_sampler import crop_matrices
from models.geometry import crop_faces
from models.spec import CROP_SIZE, FloatArray

HEIGHT, WIDTH = 1080, 1920
SIDES = (160, 420)
"""Of the crops' squares, frame pixels: faces of 115 to 300 pixels."""
SAMPLE_S = 0.05
"""Least time of one sample; calls are repeated within it."""

MAX_LEVELS = 8.0
"""Beyond this a method cuts out something else, and is not measured: a mapping half a pixel off is beyond 100. Ours
are within 1 and DALI's on the CPU within 4, which adds up positions along a row in float32."""

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a method's crops compare with `geometry.crop_faces`, in levels of 0..255."""

    max_levels: float
    changed: float
    """Share of the numbers that differ."""


@dataclass(slots=True)
class Measured:
    """One method at one number of faces."""

    method: str
    faces: int
    frames: int
    inside: Agreement
    border: Agreement
    floor_s: float
    seconds: list[float] = field(default_factory=list)
    """Of one call, one for each repeat."""
    cpu_seconds: list[float] = field(default_factory=list)
    """Of one call, on all cores together: what a machine that is busy otherwise does not lengthen."""

    def row(self) -> dict[str, object]:
        """Median over the repeats, beside the floor."""
        middle = statistics.median(self.seconds)
        crops = self.faces * self.frames
        return {
            "method": self.method,
            "faces_per_frame": self.faces,
            "crops_per_second": round(crops / middle, 1),
            "call_ms": round(middle * 1e3, 4),
            "call_ms_min": round(min(self.seconds) * 1e3, 4),
            "call_ms_max": round(max(self.seconds) * 1e3, 4),
            "call_cpu_ms": round(statistics.median(self.cpu_seconds) * 1e3, 4),
            "floor_ms": round(self.floor_s * 1e3, 4),
            "times_the_floor": round(middle / self.floor_s, 2),
            "max_levels_off": round(self.inside.max_levels, 3),
            "share_off": self.inside.changed,
            "max_levels_off_at_the_border": round(self.border.max_levels, 3),
        }


def main() -> None:
    """Check, measure, print a table, and write JSON when asked to."""
    arguments = _arguments()
    device = open_device(arguments.device)
    torch.set_num_threads(arguments.threads)
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(arguments.frames)]
    frames = [torch.from_numpy(picture).to(device) for picture in pictures]
    methods, skipped = open_methods(device)
    bandwidth = copy_bandwidth(device, arguments.copy_mib)
    measured = []
    for faces in arguments.faces:
        boxes = [random_boxes(random, faces) for _ in frames]
        floor_s = bytes_needed(boxes) / bandwidth
        for name in list(methods):
            with console.status(f"checking {name}"):
                inside = compare(methods[name], frames[:2], boxes[:2])
                border = compare(methods[name], frames[:1], [border_boxes()])
            if inside.max_levels > MAX_LEVELS:
                skipped[name] = f"off by {inside.max_levels:g} levels: it cuts out something else"
                del methods[name]
                continue
            measured.append(Measured(name, faces, len(frames), inside, border, floor_s))
        these = [one for one in measured if one.faces == faces]
        measure(these, methods, frames, boxes, device, arguments.repeats)
    result = {
        "benchmark": "crops",
        "frame": [HEIGHT, WIDTH],
        "frames_per_call": len(frames),
        "sides": SIDES,
        "repeats": arguments.repeats,
        "threads": arguments.threads,
        "copy_gb_per_second": round(bandwidth / 1e9, 2),
        "machine": describe_machine() | {"device": _device_name(device), "methods": _versions()},
        "results": [one.row() for one in measured],
        "skipped": skipped,
    }
    _print_table(measured, skipped)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(json.dumps(result) + "\n")


# Measuring


def measure(
    measured: list[Measured],
    methods: dict[str, Method],
    frames: Frames,
    boxes: Boxes,
    device: torch.device,
    repeats: int,
) -> None:
    """In turn, A B A B, so that a drift of the machine's speed hits all alike. The first turn is the warm-up."""
    calls = dict.fromkeys(methods, 1)
    for turn in range(1 + repeats):
        for one in measured:
            with console.status(f"{one.faces} faces, {one.method}: {f'repeat {turn}' if turn else 'warm-up'}"):
                call = functools.partial(methods[one.method], frames, boxes)
                seconds, cpu_seconds = _call_s(call, calls[one.method], device)
                if turn:
                    one.seconds.append(seconds)
                    one.cpu_seconds.append(cpu_seconds)
                else:
                    calls[one.method] = max(1, round(SAMPLE_S / _call_s(call, 1, device)[0]))


def _call_s(call: Callable[[], object], calls: int, device: torch.device) -> tuple[float, float]:
    """Seconds a call, with its work on the device done, and seconds of the processor."""
    _wait(device)
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    for _ in range(calls):
        call()
    _wait(device)
    return (time.perf_counter() - started_s) / calls, (time.process_time() - started_cpu_s) / calls


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_bandwidth(device: torch.device, mib: int) -> float:
    """Bytes a second that a plain copy of `mib` MiB within the device's memory reads and writes together."""
    source = torch.ones(mib * 2**20, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    seconds = [_call_s(functools.partial(target.copy_, source), 3, device)[0] for _ in range(8)]
    return 2 * source.nbytes / min(seconds[1:])


def bytes_needed(boxes: Boxes) -> int:
    """What must be read and written for the crops: the pixels around any sample, each once, and the crops."""
    total = 0
    for matrix in np.concatenate([crop_matrices(of_frame, CROP_SIZE) for of_frame in boxes]):
        pixels = 3
        for axis, end in ((0, WIDTH), (1, HEIGHT)):
            before = np.floor(matrix[axis, axis] * np.arange(CROP_SIZE) + matrix[axis, 2])
            taps = np.union1d(before, before + 1)
            pixels *= int(((taps >= 0) & (taps < end)).sum())
        total += pixels + 3 * CROP_SIZE**2 * 4
    return total


# Checking


def compare(method: Method, frames: Frames, boxes: Boxes) -> Agreement:
    """A method's crops against the CPU's."""
    expected = np.concatenate([crop_faces(frame.cpu().numpy(), own) for frame, own in zip(frames, boxes, strict=True)])
    found = method(frames, boxes).cpu().numpy()
    if found.shape != expected.shape or found.dtype != np.float32:
        sys.exit(f"benchmark invalid: crops are {found.dtype} {found.shape}, expected float32 {expected.shape}")
    error = np.abs(found - expected) * 255
    return Agreement(float(error.max()), float((error > 1e-3).mean()))


def random_boxes(random: np.random.Generator, faces: int) -> FloatArray:
    """Squares [faces, 3] that lie inside the frame: whole sides, centres anywhere."""
    side = random.integers(*SIDES, faces).astype(np.float32)
    centre = [random.uniform(side / 2 + 2, end - side / 2 - 2) for end in (WIDTH, HEIGHT)]
    return np.column_stack([*centre, side]).astype(np.float32)


def border_boxes() -> FloatArray:
    """Squares over each border."""
    return np.array([[5.3, 500, 200], [1915.2, 400.6, 250], [900, 3.7, 180], [800, 1079, 300]], np.float32)


# Telling


def _print_table(measured: list[Measured], skipped: dict[str, str]) -> None:
    table = Table("faces", "method", "crops/s", "ms a call", "CPU ms", "floor, ms", "x floor")
    for one in measured:
        row = one.row()
        numbers = (
            str(row[key]) for key in ("crops_per_second", "call_ms", "call_cpu_ms", "floor_ms", "times_the_floor")
        )
        table.add_row(str(one.faces), one.method, *numbers)
    console.print(table)
    for name in dict.fromkeys(one.method for one in measured):
        those = [one for one in measured if one.method == name]
        inside, share = max(one.inside.max_levels for one in those), max(one.inside.changed for one in those)
        border = max(one.border.max_levels for one in those)
        console.print(
            f"{name}: {inside:.3g} of 255 levels off at most, {share:.2g} of the numbers; over a border {border:.3g}",
            highlight=False,
        )
    for name, reason in skipped.items():
        console.print(f"{name}: not measured: {reason}", highlight=False, markup=False)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _versions() -> dict[str, str]:
    found = {}
    for name in ("triton", "kornia", "torchvision", "nvidia-dali-cuda130"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 2, 8], help="per frame")
    parser.add_argument("--frames", type=int, default=1, help="per call")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch, on the CPU")
    parser.add_argument("--copy-mib", type=int, default=256, help="size of the copy that measures the memory")
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
