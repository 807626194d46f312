"""One run over synthetic cameras: `stream.run.execute`, for sources that no setting can name."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import SecretStr

from benchmarks.live import Footage, Gate, LiveSource
from stream.config import RunSettings
from stream.emit.schema import EmotionEvent
from stream.frame import AnalysedFrame
from stream.ingest.choose import DecodingChoice
from stream.ingest.source import Source
from stream.ledger import Ledger
from stream.load import Networks
from stream.pipeline import Pipeline
from stream.run import SourceReport, execute

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
    cameras, analysed, gave_up = list[LiveSource](), list[int](), threading.Event()
    timers = list[threading.Timer]()

    def install(_: RunSettings, ledger: Ledger, decoding: DecodingChoice) -> list[Source]:
        gate = Gate(streams)
        for name in (f"camera-{number}" for number in range(streams)):
            lost, delay_s = partial(ledger.lost_in_source, name), STAGGER_S * len(cameras) / streams
            camera = LiveSource(
                footage, decoding.for_live, gate, name=name, fps=fps, frames=frames, delay_s=delay_s, on_drop=lost
            )
            cameras.append(camera)
        return list(cameras)

    def start_clock(_url: str, _sources: list[Source], pipeline: Pipeline) -> None:
        def give_up() -> None:
            gave_up.set()
            pipeline.stop()

        timers.append(threading.Timer(give_up_s, give_up))
        timers[0].start()

    def observe(frame: AnalysedFrame, _: Sequence[EmotionEvent]) -> None:
        analysed.append(frame.stamp.seq)

    wanted = settings.model_copy(update={"redis": SecretStr(url), "max_stream_length": 0})
    try:
        report = execute(wanted, networks=networks, observer=observe, on_start=start_clock, opener=install)
    finally:
        for timer in timers:
            timer.cancel()
    busy = busy_shares(report.stage_ms, len(analysed) / report.seconds, streams)
    busy.pop("read", None)  # a camera's thread mostly waits for the next packet
    busy["decode"] = round(sum(camera.decode_s for camera in cameras) / report.seconds / streams, 3)
    return LiveRun(
        run=report.run,
        sources=report.sources,
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
