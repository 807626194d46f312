"""What comes back from the GPU: every copy to the host, as the profiler saw it, while a whole run went on."""

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.end_to_end import run_once, sources_of
from benchmarks.figures import BenchmarkInvalid, Floor, Row, Section, Spread
from benchmarks.media import Video
from models.spec import CROP_SIZE
from stream.config import RunSettings
from stream.load import Networks
from stream.pipeline import Limits

CROP_BYTES = 3 * CROP_SIZE * CROP_SIZE
"""The smallest picture there is on the way: one face, 224x224, a byte a colour."""


@dataclass(frozen=True, slots=True)
class Copies:
    """The copies of a run, of one kind."""

    count: int
    total_bytes: int
    largest_bytes: int

    @classmethod
    def of(cls, sizes: list[int]) -> "Copies":
        """Of these sizes."""
        return cls(len(sizes), sum(sizes), max(sizes, default=0))


def measure_trace(
    section: Section, device: torch.device, video: Video, networks: Callable[[], Networks], settings: RunSettings
) -> None:
    """One source, and few faces in a batch, so that a copy of numbers is small and one of pixels stands out.

    Raises BenchmarkInvalid when a copy is as large as one face's pixels, or a frame's copies are together.
    """
    what = f"device to host, {video.label}, {settings.face_model}"
    if device.type != "cuda":
        section.skip(what, "not applicable: on the CPU there is no other memory to copy from")
        return
    wanted, limits, loaded = sources_of(video, 1, settings), Limits(infer_batch=8), networks()
    run_once(wanted, loaded, limits)
    # Of one cycle nothing is lost either way, but without `acc_events` PyTorch 2.11 warns that something may be.
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as profiler:
        run_once(wanted, loaded, limits)
    back, there = (Copies.of(sizes) for sizes in read_copies(profiler))
    per_frame = back.total_bytes / video.frames
    section.details["host to device"] = {
        "copies": there.count, "bytes_per_frame": round(there.total_bytes / video.frames),
        "largest_bytes": there.largest_bytes,
    }  # fmt: skip
    if back.count == 0:
        raise BenchmarkInvalid(f"{what}: the profiler saw no copy at all, though results must come back")
    details = {"copies": back.count, "largest_bytes": back.largest_bytes, "one_face_bytes": CROP_BYTES}
    limit = Floor(CROP_BYTES, "one 224x224 face: anything as large may be pixels")
    section.add(Row(f"{what}, per frame", Spread.of([per_frame], "bytes"), limit, None, details))
    check_no_pixels(what, back, video.frames)


def check_no_pixels(what: str, back: Copies, frames: int) -> None:
    """Raises BenchmarkInvalid when pixels may have come back."""
    if back.largest_bytes >= CROP_BYTES or back.total_bytes / frames >= CROP_BYTES:
        raise BenchmarkInvalid(
            f"{what}: pixels may have come back: the largest copy is {back.largest_bytes} bytes, a frame's are "
            f"{back.total_bytes / frames:.0f}, one face is {CROP_BYTES}"
        )


def read_copies(profiler: profile) -> tuple[list[int], list[int]]:
    """Bytes of each copy from device to host, and from host to device."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return copies_in(json.loads(path.read_text(encoding="utf-8"))["traceEvents"])


def copies_in(events: Iterable[dict[str, Any]]) -> tuple[list[int], list[int]]:
    """The same, of a trace's events; a copy names its direction, as `Memcpy DtoH (Device -> Pinned)`."""
    back: list[int] = []
    there: list[int] = []
    for event in events:
        if event.get("cat") == "gpu_memcpy":
            target = {"DtoH": back, "HtoD": there}.get(event["name"].removeprefix("Memcpy ")[:4])
            if target is not None:
                target.append(int(event["args"]["bytes"]))
    return back, there
