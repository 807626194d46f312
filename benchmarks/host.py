"""CPU time per frame of everything but pixels and networks: what one process can do however fast the GPU is.

python -m benchmarks.host                          1, 16 and 64 sources with one face each
python -m benchmarks.host --sources 64 --out x.json

Networks answer at once with the same face in every frame; tracking, cropping squares, head pose, smoothing, events and
publishing to a real server are the real ones. Counted is this process's CPU time, of all threads: Python runs them one
after the other, so 1 / that time is the most frames a second.
"""

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.figures import BenchmarkInvalid
from benchmarks.machine import describe_machine
from models import face_mesh
from models.assets import fetch
from models.device import CPU, DeviceArray
from models.engines.engine import Batch
from models.face_engines import FaceEngines
from models.face_reader import InTurn
from models.geometry import Float64Array, Image
from models.head_pose import read_canonical_face
from models.heads import PrototypeHead
from models.mediapipe_face import open_mediapipe_face
from models.open_basis import BLENDSHAPE_NAMES
from models.spec import FloatArray
from stream.emit.embedded import EmbeddedServer
from stream.emit.event import EventMaker, FrameEvents, Provenance, new_run_id
from stream.emit.redis_sink import RedisSink
from stream.emit.smooth import SmoothingSettings
from stream.faces.crop import cut_out
from stream.faces.find import FaceFinder
from stream.faces.infer import Analyser
from stream.frame import Frame, FrameStamp

SIDE = 400
PICTURE = np.zeros((SIDE, SIDE, 3), np.uint8)
FRAMES = 60

console = Console(stderr=True)


class Constant:
    """A network that answers at once: the same output for every item."""

    name = "constant"

    def __init__(self, *outputs: FloatArray) -> None:
        self._outputs = outputs

    def __call__(self, *inputs: Batch) -> tuple[FloatArray, ...]:
        """See `Engine`."""
        return tuple(np.repeat(output[None], len(inputs[0]), axis=0) for output in self._outputs)


class NoPixels:
    """A sampler that gives batches of the right length and samples nothing."""

    device = CPU

    def letterboxes(self, frames: Sequence[Image | DeviceArray], size: int) -> Batch:
        """See `Sampler`."""
        return np.zeros((len(frames), 0), np.float32)

    def regions(self, frames: Sequence[Image | DeviceArray], regions: Sequence[Float64Array], size: int) -> Batch:
        """See `Sampler`."""
        return np.zeros((sum(map(len, regions)), 0), np.float32)

    def crops(self, frames: Sequence[Image | DeviceArray], boxes: Sequence[FloatArray]) -> FloatArray | DeviceArray:
        """See `Sampler`."""
        raise BenchmarkInvalid("the default face model reads no crops, but some were asked for")


class Host:
    """The pipeline's own work, step by step, with the CPU seconds of each."""

    def __init__(self, sources: int) -> None:
        task = fetch("face_landmarker")
        reader = InTurn(open_mediapipe_face(task), PrototypeHead())
        blendshapes = Constant(np.full(len(BLENDSHAPE_NAMES), 0.1, np.float32))
        boxes, scores = np.zeros((896, 16), np.float32), np.zeros(896, np.float32)
        boxes[:], scores[5] = [0.3, 0.3, 0.7, 0.7, *[0.45, 0.5, 0.55, 0.5] * 3], 0.9
        mesh = Constant(_face_in_region(task), np.array(0.99, np.float32))
        self._finder = FaceFinder(FaceEngines(Constant(boxes, scores), mesh, blendshapes), NoPixels())
        self._analyser = Analyser(blendshapes, reader)
        self._maker = EventMaker(Provenance.of(reader), SmoothingSettings(), new_run_id())
        self.names = [f"source-{number}" for number in range(sources)]
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def step(self, number: int) -> list[FrameEvents]:
        """One frame of every source. Raises BenchmarkInvalid unless each has its one face."""
        pts_s = number / 30
        frames = [
            Frame(FrameStamp(name, 0, number, pts_s, 1_700_000_000_000 + round(pts_s * 1000), SIDE, SIDE), PICTURE)
            for name in self.names
        ]
        with self._counted("find"):
            faces = self._finder.find(frames)
        with self._counted("crop"):
            found = cut_out(frames, faces, None)
        with self._counted("infer"):
            analysed = self._analyser(found)
        with self._counted("events"):
            events = [self._maker.frame(frame) for frame in analysed]
        if any(len(event.emotion) != 1 for event in events):
            raise BenchmarkInvalid(f"frame {number}: expected one face in each, got {[len(e.emotion) for e in events]}")
        return events

    def publish(self, events: Sequence[FrameEvents], url: str) -> None:
        """Send everything to a server and wait until it has it."""
        with RedisSink(url, sources=self.names, max_length=0) as sink, self._counted("publish"):
            for event in events:
                sink.put(event)
            if not sink.flush(60):
                raise BenchmarkInvalid("the server did not take everything within a minute")

    @contextmanager
    def _counted(self, step: str) -> Iterator[None]:
        started_s = time.process_time()
        yield
        self.seconds[step] += time.process_time() - started_s


def measure(sources: int) -> dict[str, float]:
    """CPU milliseconds a frame of each step, after a warm-up of one frame a source."""
    host = Host(sources)
    host.step(0)
    host.seconds.clear()
    events = [event for number in range(1, FRAMES) for event in host.step(number)]
    with EmbeddedServer() as server:
        host.publish(events, server.url)
    return {step: seconds / len(events) * 1e3 for step, seconds in host.seconds.items()}


def _face_in_region(task: Path) -> FloatArray:
    """[478, 3] fractions of a region: a frontal face whose next region is the same one."""
    points = read_canonical_face(task).points * [1, -1, -1]
    points = np.concatenate([points, points[: face_mesh.LANDMARKS - len(points)]])  # some for the irises
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - (low + high) / 2) / (high - low)[:2].max() / face_mesh.REGION_SCALE
    centred: FloatArray = (scaled + np.array([0.5, 0.5, 0])).astype(np.float32)
    return centred


def main() -> None:
    """Measure, print a table, and write JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for sources in arguments.sources:
        repeats = [measure(sources) for _ in range(arguments.repeats)]
        totals = [sum(steps.values()) for steps in repeats]
        rows.append(
            {
                "sources": sources,
                "cpu_ms": {step: round(statistics.median(r[step] for r in repeats), 4) for step in repeats[0]},
                "total_ms": {"median": statistics.median(totals), "minimum": min(totals), "maximum": max(totals)},
                "most_frames_per_second": round(1000 / statistics.median(totals)),
            }
        )
    result = {"benchmark": "host", "repeats": arguments.repeats, "machine": describe_machine(), "results": rows}
    console.print(_table(rows))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(json.dumps(result) + "\n")


def _table(rows: Sequence[dict[str, object]]) -> Table:
    table = Table("sources", "CPU ms a frame", "min..max", "frames/s at most", "by step")
    for row in rows:
        total, steps = row["total_ms"], row["cpu_ms"]
        assert isinstance(total, dict)
        assert isinstance(steps, dict)
        spread = f"{total['minimum']:.2f}..{total['maximum']:.2f}"
        by_step = "  ".join(f"{step} {ms:.3f}" for step, ms in steps.items())
        table.add_row(
            str(row["sources"]), f"{total['median']:.2f}", spread, str(row["most_frames_per_second"]), by_step
        )
    return table


if __name__ == "__main__":
    main()
