"""Frames per second from decoding to Redis, on the demo clip: compiled engine and eager PyTorch side by side.

python -m benchmarks.pipeline                                  both engines, default face model
python -m benchmarks.pipeline --face-model smirk-open          SMIRK's encoders as they come with flamestream
python -m benchmarks.pipeline --face-model smirk               the official ones' (random weights: speed does not care)
python -m benchmarks.pipeline --out benchmarks/results/x.json  keep the figures

Each run decodes the file, finds and follows the face, runs the face model and head, smooths, and publishes to a real
server over a socket; it counts only frames whose entries the server has acknowledged, and reads them back to verify.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from benchmarks.engines import random_checkpoint
from benchmarks.figures import BenchmarkInvalid
from benchmarks.machine import describe_machine
from benchmarks.verify import check_sources, read_back
from models.assets import fetch
from models.engines.threads import share_cores
from models.face_engines import open_face_engines
from models.spec import CROP_SIZE, FaceBatch
from stream.config import RunSettings, SourceSettings
from stream.emit.embedded import EmbeddedServer
from stream.load import Networks, load_networks
from stream.run import RunReport, execute

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Measured:
    """Repeats of one engine."""

    engine: str
    reports: list[RunReport]

    def row(self) -> dict[str, object]:
        """Medians over the repeats."""
        rates = [report.frames_per_second for report in self.reports]
        stages = self.reports[0].stage_ms
        return {
            "engine": self.engine,
            "frames_per_second": statistics.median(rates),
            "frames_per_second_min": min(rates),
            "frames_per_second_max": max(rates),
            "stage_ms": {
                name: round(statistics.median(report.stage_ms[name] for report in self.reports), 3) for name in stages
            },
        }


def main() -> None:
    """Measure, print a table, and write JSON when asked to."""
    arguments = _arguments()
    clip = arguments.clip or fetch("demo_clip")
    with EmbeddedServer() as server:
        checkpoint = random_checkpoint() if arguments.face_model == "smirk" else None
        contenders: dict[str, tuple[RunSettings, Networks]] = {}
        for engine in arguments.engines:
            settings = RunSettings(
                sources=(SourceSettings(url=SecretStr(str(clip)), name="clip"),),
                redis=SecretStr(server.url),
                face_model=arguments.face_model,
                checkpoint=checkpoint,
                engine=engine,
            )
            contenders[engine] = (settings, load_networks(settings))
        measured = _measure(contenders, arguments.repeats, arguments.warmup, server.url)
        alone = {engine: networks_alone_ms(networks) for engine, (_, networks) in contenders.items()}
    result = {
        "benchmark": "pipeline",
        "clip": clip.name,
        "face_model": arguments.face_model,
        "warmup": arguments.warmup,
        "repeats": arguments.repeats,
        "machine": describe_machine(),
        "results": [one.row() | {"networks_alone_ms": alone[one.engine]} for one in measured],
    }
    _print_table(result, measured)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(json.dumps(result) + "\n")


def _measure(
    contenders: dict[str, tuple[RunSettings, Networks]], repeats: int, warmup: int, url: str
) -> list[Measured]:
    """In turn, A B A B, so that a drift of the machine's speed hits both alike."""
    measured = [Measured(engine, []) for engine in contenders]
    for turn in range(warmup + repeats):
        for one in measured:
            settings, networks = contenders[one.engine]
            with console.status(f"{one.engine}: {'warm-up' if turn < warmup else f'repeat {turn - warmup + 1}'}"):
                report = execute(settings, networks=networks)
            _verify(report, url)
            if turn >= warmup:
                one.reports.append(report)
    return measured


def networks_alone_ms(networks: Networks) -> dict[str, float]:
    """Median of each network on one face with nothing else running: what no pipeline can be faster than.

    Faces of one source are followed from frame to frame, so its landmark network runs once after the other.
    """
    target = networks.target
    share_cores(target.runtime)
    engines = open_face_engines(fetch("face_landmarker"), target)
    random = np.random.default_rng(0)
    calls: dict[str, Callable[[], object]] = {
        "landmarks": partial(engines.landmarks, random.random((1, 3, 256, 256), np.float32) * 255),
        "blendshapes": partial(engines.blendshapes, random.random((1, 478, 3), np.float32) * 300),
    }
    reader = networks.analyser.reader
    if reader.needs_crops:
        nothing = np.zeros((1, 478, 3), np.float32)
        crop = random.random((1, 3, CROP_SIZE, CROP_SIZE), np.float32)
        faces = FaceBatch(crop, nothing[:, 0], nothing, nothing[:, :52, 0])
        calls[reader.face_model.name] = partial(reader, faces)
    return {name: round(_median_ms(call), 3) for name, call in calls.items()}


def _median_ms(call: Callable[[], object], warmup: int = 5, repeats: int = 40) -> float:
    samples = []
    for turn in range(warmup + repeats):
        started_s = time.perf_counter()
        call()
        if turn >= warmup:
            samples.append(time.perf_counter() - started_s)
    return statistics.median(samples) * 1e3


def _verify(report: RunReport, url: str) -> None:
    """Every frame is accounted for, and what is counted as published can be read back."""
    try:
        check_sources(report.sources, read_back(url, report.run))
    except BenchmarkInvalid as invalid:
        sys.exit(f"benchmark invalid: {invalid}")


def _print_table(result: dict[str, Any], measured: Sequence[Measured]) -> None:
    table = Table(
        "engine", "frames/s", "min..max", "ms a frame by stage", title=f"{result['clip']}, {result['face_model']}"
    )
    for one in measured:
        row = one.row()
        stages = row["stage_ms"]
        assert isinstance(stages, dict)
        spread = f"{row['frames_per_second_min']}..{row['frames_per_second_max']}"
        table.add_row(
            one.engine, str(row["frames_per_second"]), spread, "  ".join(f"{name} {ms}" for name, ms in stages.items())
        )
    console.print(table)
    for row in result["results"]:
        console.print(f"{row['engine']}: each network alone, ms a face: {row['networks_alone_ms']}", highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a video file (default: the demo clip)")
    parser.add_argument("--face-model", choices=("mediapipe", "smirk-open", "smirk"), default="mediapipe")
    parser.add_argument("--engines", nargs="+", choices=("openvino", "torch"), default=["openvino", "torch"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
