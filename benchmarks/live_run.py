"""One run over synthetic cameras: `stream.run.execute`, for sources that no setting can name."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.live import Footage, Gate, LiveSource
from models.device import MemoryBudget, open_device
from models.engines.threads import share_cores
from stream.config import RunSettings
from stream.emit.emitter import Emitter
from stream.emit.event import EventMaker, Provenance, new_run_id
from stream.emit.redis_sink import RedisSink
from stream.emit.schema import EmotionEvent
from stream.frame import AnalysedFrame
from stream.ingest.choose import choose_decoding
from stream.ledger import Ledger
from stream.load import Networks
from stream.pipeline import Limits, Pipeline
from stream.run import SourceReport, picture_memory
from stream.timing import StageTimes

STAGGER_S = 1.0
"""Cameras begin one after the other within this time, so that neither frames nor key frames come all at once."""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What became of a run."""

    run: str
    sources: dict[str, SourceReport]
    analysed: list[int]
    """Number of every frame that came through, of all cameras."""
    busy: dict[str, float]
    """Share of the time that each stage worked."""
    send_delay_s: float
    gave_up: bool
    """Whether it took so long that it was stopped."""


def run_cameras(
    streams: int,
    footage: Footage,
    networks: Networks,
    settings: RunSettings,
    *,
    url: str,
    fps: float,
    frames: int,
    give_up_s: float,
) -> LiveRun:
    """`streams` cameras of `frames` frames each, from the first packet to the last event on the server."""
    device, ledger = open_device(settings.device), Ledger()
    decoding = choose_decoding(settings.ingest, device, MemoryBudget(picture_memory(settings, device))).for_live
    gate = Gate(streams)
    cameras = [
        LiveSource(
            footage, decoding, gate, name=f"camera-{number}", fps=fps, frames=frames,
            delay_s=STAGGER_S * number / streams, on_drop=partial(ledger.lost_in_source, f"camera-{number}"),
        )
        for number in range(streams)
    ]  # fmt: skip
    run, times, analysed = new_run_id(), StageTimes(), list[int]()

    def observe(frame: AnalysedFrame, _: Sequence[EmotionEvent]) -> None:
        analysed.append(frame.stamp.seq)

    sink = RedisSink(
        url,
        sources=[camera.name for camera in cameras],
        max_length=0,
        on_published=ledger.published,
        on_unpublished=lambda source, count: ledger.dropped(source, "unpublished", count),
    )
    with sink:
        share_cores(networks.target.runtime)
        analyser = networks.analyser
        maker = EventMaker(Provenance.of(analyser.face_model, analyser.head), settings.smoothing, run)
        pipeline = Pipeline(
            cameras, networks.finder(), analyser, Emitter(sink, maker, ledger), ledger,
            times=times, limits=Limits.on(device), observer=observe,
        )  # fmt: skip
        gave_up = threading.Event()

        def give_up() -> None:
            gave_up.set()
            pipeline.stop()

        timer = threading.Timer(give_up_s, give_up)
        timer.start()
        started_s = time.perf_counter()
        try:
            pipeline.run()
        finally:
            timer.cancel()
        elapsed_s = time.perf_counter() - started_s
    busy = busy_shares(times.medians_ms(), len(analysed) / elapsed_s, streams)
    del busy["read"]  # a camera's thread mostly waits for the next packet
    busy["decode"] = round(sum(camera.decode_s for camera in cameras) / elapsed_s / streams, 3)
    sources = {camera.name: _report(camera, pipeline, ledger) for camera in cameras}
    return LiveRun(
        run=run,
        sources=sources,
        analysed=analysed,
        busy=busy,
        send_delay_s=max(camera.latest_s for camera in cameras),
        gave_up=gave_up.is_set(),
    )


def busy_shares(stage_ms: dict[str, float], frames_per_second: float, sources: int) -> dict[str, float]:
    """The share of the time that each stage works: 1 is all of it. `read` is the mean over the sources' threads."""
    return {
        stage: round(ms / 1000 * frames_per_second / (sources if stage == "read" else 1), 3)
        for stage, ms in stage_ms.items()
    }


def _report(camera: LiveSource, pipeline: Pipeline, ledger: Ledger) -> SourceReport:
    account, failure = ledger.account(camera.name), pipeline.failures.get(camera.name)
    return SourceReport(
        received=account.received,
        published=account.published,
        no_face=account.no_face,
        dropped=dict(account.dropped),
        decoder=camera.decoder,
        error=None if failure is None else str(failure),
    )
