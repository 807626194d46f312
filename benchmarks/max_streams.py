"""How many cameras at once: the most for which 95 % of events are published in time and no frame is lost.

A trial runs N synthetic cameras through the whole pipeline into a real server. It passes when, after the warm-up,
* the 95th percentile of `published_ms - captured_ms`, read back from the server, is within the limit;
* no frame was dropped, for overload or anything else;
and over the whole run every frame is accounted for, no source failed, and all that was published can be read back.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.figures import BenchmarkInvalid, Floor, Row, Section, Spread, progress
from benchmarks.floors import decode_floor, decoders
from benchmarks.live import Footage
from benchmarks.live_run import LiveRun, run_cameras
from benchmarks.media import Video
from benchmarks.verify import check_sources, read_back
from stream.config import RunSettings
from stream.emit.embedded import EmbeddedServer
from stream.load import Networks

RESOLUTION = 16
"""The search ends when the least that failed is within this fraction of the most that passed (or next to it)."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """What a trial must keep to."""

    fps: float = 30.0
    p95_ms: float = 150.0
    seconds: float = 20.0
    warmup_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What N cameras gave."""

    streams: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    frames: int
    """After the warm-up."""
    dropped: int
    """Of these."""
    dropped_in_warmup: int
    no_face: int
    send_delay_ms: float
    """The furthest that a camera's packet reached its decoder behind its moment."""
    cores_busy: float
    """Processor time of this process over the time that passed."""
    busy: dict[str, float]
    """Share of the time that each stage worked; `decode` is the mean of all cameras' threads."""
    decoder: str
    failed: str
    """Why it did not pass; empty when it did."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types: None for the delays when no event came."""
        return {name: None if value == float("inf") else value for name, value in asdict(self).items()}

    @property
    def busiest(self) -> str:
        """The stage that worked most."""
        return max(self.busy, key=lambda stage: self.busy[stage], default="none")


@dataclass(frozen=True, slots=True)
class Found:
    """What a search ends with."""

    best: int
    """The most that passed; 0 when nothing did."""
    failed: int | None
    """The least that failed; None when nothing did."""
    complete: bool
    """Whether the search ended by itself, not by lack of time."""


def search(passes: Callable[[int], bool], *, first: int, most: int, has_time: Callable[[], bool]) -> Found:
    """The largest number up to `most` for which `passes`: doubling (or halving) from `first`, then bisection."""
    best, failed, number = 0, None, min(first, most)
    while has_time():
        if passes(number):
            best = number
        else:
            failed = number
        if failed is None:
            if best == most:
                return Found(best, failed, complete=True)
            number = min(2 * best, most)
        elif failed - best <= max(1, best // RESOLUTION):
            return Found(best, failed, complete=True)
        else:
            number = (best + failed) // 2
    return Found(best, failed, complete=False)


def measure_max_streams(
    section: Section,
    device: torch.device,
    video: Video,
    networks: Networks,
    settings: RunSettings,
    criterion: Criterion,
    *,
    first: int,
    most: int,
) -> None:
    """Search, and report every trial."""
    footage, trials = Footage.read(video.path), list[Trial]()
    section.details["criterion"] = asdict(criterion) | {"dropped": 0, "unaccounted": 0, "video": video.label}

    def passes(streams: int) -> bool:
        trials.append(try_streams(streams, footage, networks, settings, criterion))
        section.details["trials"] = [trial.to_json() for trial in sorted(trials, key=lambda trial: trial.streams)]
        section.save()
        shown = trials[-1]
        progress(
            f"max_streams: {streams} cameras: p95 {shown.p95_ms:.0f} ms, {shown.dropped} of {shown.frames} dropped, "
            f"{shown.busiest} busy {shown.busy.get(shown.busiest, 0):.0%}: {shown.failed or 'passed'}"
        )
        return not shown.failed

    need_s = criterion.seconds + criterion.warmup_s + 3
    found = search(passes, first=first, most=most, has_time=lambda: not trials or section.left_s > need_s)
    what = f"most cameras of {video.width}x{video.height} at {criterion.fps:g} frames/s, p95 {criterion.p95_ms:g} ms"
    if not found.complete:
        reason = f"no time left: {found.best} pass, " + (f"{found.failed} fail" if found.failed else "none failed")
        section.skip(f"{what}, to the end of the search", reason)
    limit = decode_floor(device, video.codec, video.width, video.height, decoders(device) or 1)
    floor = None if limit is None else Floor(limit.value / criterion.fps, limit.what)
    tightest = next((trial for trial in trials if trial.streams == found.failed), trials[-1])
    bottleneck = (
        f"{tightest.busiest}, busy {tightest.busy.get(tightest.busiest, 0):.0%} with {tightest.streams} cameras"
    )
    section.add(Row(what, Spread.of([float(found.best)], "cameras"), floor, bottleneck, asdict(found)))


def try_streams(
    streams: int, footage: Footage, networks: Networks, settings: RunSettings, criterion: Criterion
) -> Trial:
    """One trial. Raises BenchmarkInvalid when frames are unaccounted for or events missing: that is no overload."""
    frames = round((criterion.warmup_s + criterion.seconds) * criterion.fps)
    first_counted = round(criterion.warmup_s * criterion.fps)
    with EmbeddedServer() as server:
        worked_s, started_s = time.process_time(), time.perf_counter()
        run = run_cameras(
            streams, footage, networks, settings, url=server.url, fps=criterion.fps, frames=frames,
            give_up_s=1.5 * frames / criterion.fps + 10 + 0.3 * streams,  # opening a decoder takes its time, too
        )  # fmt: skip
        cores_busy = (time.process_time() - worked_s) / (time.perf_counter() - started_s)
        events = read_back(server.url, run.run)
    check_sources(run.sources, events)
    delays: list[float] = [
        event.published_ms - event.captured_ms
        for of_source in events.values()
        for event in of_source
        if event.seq >= first_counted
    ]
    counted = streams * (frames - first_counted)
    dropped = counted - sum(seq >= first_counted for seq in run.analysed)
    lost = sum(sum(source.dropped.values()) for source in run.sources.values())
    p50, p95, worst = np.percentile(delays or [np.inf], (50, 95, 100)).round(1).tolist()
    return Trial(
        streams=streams, p50_ms=p50, p95_ms=p95, max_ms=worst, frames=counted, dropped=dropped,
        dropped_in_warmup=max(0, lost - dropped), no_face=sum(source.no_face for source in run.sources.values()),
        send_delay_ms=round(1000 * run.send_delay_s, 1), cores_busy=round(cores_busy, 2), busy=run.busy,
        decoder=next(iter(run.sources.values())).decoder, failed=_failed(run, criterion, p95, dropped, counted),
    )  # fmt: skip


def _failed(run: LiveRun, criterion: Criterion, p95_ms: float, dropped: int, counted: int) -> str:
    if any(source.dropped.get("unpublished") for source in run.sources.values()):
        raise BenchmarkInvalid("the server did not take all events: its fault, not the number of cameras")
    reasons = []
    if run.gave_up:
        reasons.append("fell so far behind that it was stopped")
    if dropped:
        reasons.append(f"{dropped} of {counted} frames dropped")
    if p95_ms > criterion.p95_ms:
        reasons.append(f"p95 {p95_ms:.0f} ms is more than {criterion.p95_ms:g}")
    return ", ".join(reasons)
