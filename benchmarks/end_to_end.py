"""From packets to acknowledged events: frames per second of whole runs, beside their slowest part run alone."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from pydantic import SecretStr

from benchmarks.decode import decode_once, rate
from benchmarks.figures import BenchmarkInvalid, Floor, Row, Section, Spread
from benchmarks.live_run import busy_shares
from benchmarks.media import Video
from benchmarks.timing import samples_s
from benchmarks.verify import check_sources, read_back
from models.device import MemoryBudget, own_stream
from stream.config import RunSettings, SourceSettings
from stream.emit.embedded import EmbeddedServer
from stream.faces.crop import cut_out
from stream.frame import FoundFrame, Frame, FrameStamp, Picture
from stream.ingest.choose import choose_decoding
from stream.ingest.decoder import Decoded
from stream.load import Networks
from stream.pipeline import Limits
from stream.run import RunReport, execute, picture_memory

ALONE_FRAMES = 16
"""Pictures of each source over which finding and inference are timed alone."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run."""

    report: RunReport
    cores_busy: float
    """Processor time of this process over the time that passed."""


def measure_end_to_end(
    section: Section,
    device: torch.device,
    networks: Networks,
    settings: RunSettings,
    cases: Sequence[tuple[Video, int]],
    *,
    repeats: int,
) -> None:
    """Each case, a video and how many sources it is at once; every run is verified, the first one is warm-up."""
    for video, at_once in cases:
        what = f"{video.label}, {settings.face_model}, {at_once} at once"
        if not section.has_time(what):
            continue
        wanted = sources_of(video, at_once, settings)
        run_once(wanted, networks)
        runs = [run_once(wanted, networks) for _ in range(repeats) if section.left_s > 0]
        if not runs:
            section.skip(what, "the section's time limit came after its warm-up")
            continue
        figure = Spread.of([run.report.frames_per_second for run in runs], "frames/s")
        alone = parts_alone(video, at_once, networks, settings, device, repeats)
        slowest = min(alone, key=lambda part: alone[part])
        last = runs[-1].report
        busy = busy_shares(last.stage_ms, last.frames_per_second, at_once)
        busiest = max(busy, key=lambda stage: busy[stage])
        details = {
            "video": video.label, "face_model": settings.face_model, "at_once": at_once,
            "engine": last.engine, "precision": last.precision, "decoder": next(iter(last.sources.values())).decoder,
            "stage_ms": last.stage_ms, "busy": busy, "cores_busy": runs[-1].cores_busy,
            "alone_frames_per_second": alone, "picture_memory_mib": last.picture_memory_mib,
        }  # fmt: skip
        floor = Floor(alone[slowest], f"{slowest} alone")
        section.add(Row(what, figure, floor, f"{busiest}, busy {busy[busiest]:.0%} of the time", details))


def sources_of(video: Video, at_once: int, settings: RunSettings) -> RunSettings:
    """Settings to process a file as several sources at once."""
    url = SecretStr(str(video.path))
    sources = tuple(SourceSettings(url=url, name=f"source-{number}") for number in range(at_once))
    return settings.model_copy(update={"sources": sources})


def run_once(settings: RunSettings, networks: Networks, limits: Limits | None = None) -> Measured:
    """A run into a server of its own. Raises BenchmarkInvalid when it does not add up."""
    with EmbeddedServer() as server:
        worked_s, started_s = time.process_time(), time.perf_counter()
        wanted = settings.model_copy(update={"redis": SecretStr(server.url), "max_stream_length": 0})
        report = execute(wanted, networks=networks, limits=limits)
        cores_busy = (time.process_time() - worked_s) / (time.perf_counter() - started_s)
        check_sources(report.sources, read_back(server.url, report.run))
    for name, source in report.sources.items():
        if source.dropped:
            raise BenchmarkInvalid(f"source {name}, a file, lost frames: {source.dropped}")
    return Measured(report, round(cores_busy, 2))


def parts_alone(
    video: Video, at_once: int, networks: Networks, settings: RunSettings, device: torch.device, repeats: int
) -> dict[str, float]:
    """Frames per second of decoding, of finding faces and of inference, each with nothing else running."""
    budget = MemoryBudget(picture_memory(settings, device))
    decoding = choose_decoding(settings.ingest, device, budget).for_files
    pictures: list[Picture] = []

    def keep(decoded: Decoded) -> None:
        if decoded.rgb is not None and len(pictures) < ALONE_FRAMES:
            pictures.append(decoded.rgb)

    decode_once(video, decoding, device, keep)
    with own_stream(device):
        finder, sampler = networks.finder(), None
        if networks.analyser.reader.needs_crops:
            sampler = finder.sampler
        batches = [
            [_frame(f"source-{source}", number, picture) for source in range(at_once)]
            for number, picture in enumerate(pictures)
        ]
        found: list[FoundFrame] = []
        finder.find(batches[0])  # warm-up, and the one frame in which the detector finds the faces that are followed
        started_s = time.perf_counter()
        for batch in batches[1:]:
            faces = finder.find(batch)
            found += cut_out(batch, faces, sampler)
        find_s = time.perf_counter() - started_s
        limit = Limits.on(device).infer_batch
        together = found[:limit]
        infer_s = min(samples_s(partial(networks.analyser, together), device, repeats=repeats))
    rates = {
        "decode": rate(video, decoding, device, at_once),
        "find": len(found) / find_s,
        "infer": len(together) / infer_s,
    }
    return {part: float(f"{value:.5g}") for part, value in rates.items()}


def _frame(source: str, number: int, picture: Picture) -> Frame:
    height, width = picture.shape[:2]
    return Frame(FrameStamp(source, 0, number, number / 30, 0, width, height), picture)
