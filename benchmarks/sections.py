"""The sections of the GPU benchmark: what each measures, on a GPU, on the CPU, and in a hurry."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, cast

import torch

from benchmarks import media
from benchmarks.crop_rate import measure_crops
from benchmarks.decode import measure_decoding, ways
from benchmarks.end_to_end import measure_end_to_end
from benchmarks.engines import BATCHES, measure_engines, random_checkpoint
from benchmarks.figures import Row, Section, Spread, progress
from benchmarks.floors import decoders
from benchmarks.max_streams import Criterion, measure_max_streams
from benchmarks.media import Video
from benchmarks.trace import measure_trace
from models.assets import fetch
from models.engines.engine import Runtime
from stream.config import RunSettings
from stream.load import load_networks

WIDE = (1920, 1080)
SMALL = (640, 360)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    device: torch.device
    quick: bool
    engine: str
    precision: str
    ingest: str
    face_models: tuple[str, ...]
    runtimes: tuple[str, ...] | None
    repeats: int
    fps: float
    p95_ms: float
    seconds: float
    first: int
    most: int

    @property
    def on_gpu(self) -> bool:
        """Whether there is a GPU to measure."""
        return self.device.type == "cuda"

    def settings(self, face_model: str) -> RunSettings:
        """Of a whole run."""
        return RunSettings.model_validate(
            {
                "device": str(self.device), "engine": self.engine, "precision": self.precision, "ingest": self.ingest,
                "face_model": face_model, "checkpoint": random_checkpoint() if face_model == "smirk" else None,
            }
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"device": str(self.device)}


def clip(options: Options) -> Video:
    """The real clip, or in a hurry its first seconds."""
    return media.made_from_clip(*SMALL, 48) if options.quick else media.demo_clip()


def wide(options: Options, codec: str = "libx264") -> Video:
    """The clip at 1080p: half a minute for a GPU, some seconds for a CPU; in a hurry it is not wide at all."""
    if options.quick:
        return media.made_from_clip(*SMALL, 48, codec)
    return media.made_from_clip(*WIDE, 600 if options.on_gpu else 150, codec)


def prepare(options: Options) -> None:
    """Fetch and make all that the sections read, so that they need no network and no time for it."""
    for asset in ("face_landmarker", "demo_clip", "multi_face", "single_face"):
        fetch(asset)
    random_checkpoint()
    progress(f"videos: {clip(options).label}, {wide(options).label}")
    if not options.on_gpu:
        wide(options, "libvpx-vp9")


def build(section: Section, options: Options) -> None:
    """Engines of whole runs: compiling takes a GPU's minutes, which would be missing where they are measured."""
    for face_model in options.face_models:
        started_s = time.perf_counter()
        load_networks(options.settings(face_model))
        taken = Spread.of([time.perf_counter() - started_s], "s")
        section.add(Row(f"networks of {face_model}: built unless the cache has them, and loaded", taken))


def decode(section: Section, options: Options) -> None:
    """Decoding alone, one file and as many as there are decoders at once."""
    counts = (1, decoders(options.device) or len(os.sched_getaffinity(0)))
    found = ways(options.device, ("cpu", "nvdec", "gop"), section)
    videos = [clip(options), wide(options)]
    if not options.on_gpu:  # DALI decodes H.264 on a GPU only, VP9 also on the CPU
        videos = [wide(options), wide(options, "libvpx-vp9")]
    measure_decoding(section, videos, found, options.device, at_once=counts, repeats=options.repeats)


def crops(section: Section, options: Options) -> None:
    """Faces cut out of 1080p frames: of one frame, and on a GPU of the newest frames of many sources at once."""
    measure_crops(
        section, options.device, faces=(1,) if options.quick else (1, 8), frames=(1, 32) if options.on_gpu else (1,),
        repeats=options.repeats, copy_mib=32 if options.quick else 256,
    )  # fmt: skip


def engines(section: Section, options: Options) -> None:
    """Networks alone."""
    only = cast("tuple[Runtime, ...] | None", options.runtimes)
    if options.quick:
        only = only or (("torch",) if options.on_gpu else ("openvino",))
    measure_engines(
        section, options.device, subjects=("detector",) if options.quick else ("smirk", "landmarks"),
        batches=(1, 8) if options.quick else BATCHES, repeats=options.repeats, only=only, quick=options.quick,
    )  # fmt: skip


def end_to_end(section: Section, options: Options) -> None:
    """Whole runs, files to events."""
    small, large = clip(options), wide(options)
    cases = [(small, count) for count in ((1, 2) if options.quick else (1, 8, 32) if options.on_gpu else (1, 2, 8))]
    cases += [] if options.quick else [(large, 1), (large, decoders(options.device) or 2)]
    for face_model in options.face_models:
        settings = options.settings(face_model)
        measure_end_to_end(section, options.device, load_networks(settings), settings, cases, repeats=options.repeats)


def max_streams(section: Section, options: Options) -> None:
    """Cameras."""
    settings = options.settings(options.face_models[0])
    criterion = Criterion(options.fps, options.p95_ms, options.seconds, warmup_s=1.0 if options.quick else 3.0)
    measure_max_streams(
        section, options.device, wide(options), load_networks(settings), settings, criterion,
        first=options.first, most=options.most,
    )  # fmt: skip


def trace(section: Section, options: Options) -> None:
    """Copies between device and host."""
    for face_model in options.face_models:
        settings = options.settings(face_model)
        video = media.made_from_clip(*SMALL, 48)
        measure_trace(section, options.device, video, partial(load_networks, settings), settings)


SECTIONS: dict[str, Callable[[Section, Options], None]] = {
    "build": build,
    "decode": decode,
    "crops": crops,
    "engines": engines,
    "end_to_end": end_to_end,
    "max_streams": max_streams,
    "trace": trace,
}
"""In the order in which they run."""
