"""One run: builds the pipeline that the settings ask for, runs it, and accounts for every frame."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial

import torch

from models.device import MemoryBudget, open_device
from models.engines.threads import share_cores
from stream.config import RunSettings
from stream.emit.embedded import EmbeddedServer
from stream.emit.emitter import Emitter
from stream.emit.event import EventMaker, Provenance, new_run_id
from stream.emit.redis_sink import RedisSink
from stream.errors import SourceError
from stream.frame import Frame
from stream.ingest.choose import DecodingChoice, choose_decoding
from stream.ingest.open import open_source, source_name
from stream.ingest.source import ReportState, Source
from stream.ledger import Ledger
from stream.load import Networks, load_networks, targets
from stream.pipeline import Limits, Observer, Pipeline, Witness
from stream.redact import redact
from stream.timing import StageTimes


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of one source."""

    received: int
    published: int
    no_face: int
    dropped: dict[str, int]
    decoder: str
    """What decoded it: `CPU`, `NVDEC`, `DALI`, or `CPU (why not the GPU)`; empty when no picture came."""
    error: str | None


@dataclass(frozen=True, slots=True)
class RunReport:
    """The final word of a run: `received = published + no_face + sum(dropped)` for every source."""

    run: str
    redis: str
    face_model: str
    head: str
    device: str
    engine: str
    precision: str
    picture_memory_mib: float | None
    """Most memory that decoded pictures took on the device at once; None when they were not on one."""
    picture_memory_limit_mib: float | None
    """What they were allowed to take."""
    seconds: float
    frames_per_second: float
    stage_ms: dict[str, float]
    sources: dict[str, SourceReport]

    @property
    def ok(self) -> bool:
        """Whether every source ended without an error."""
        return all(source.error is None for source in self.sources.values())

    def to_json(self) -> dict[str, object]:
        """The report as plain JSON types."""
        return asdict(self)


OpenSources = Callable[[RunSettings, Ledger, DecodingChoice], list[Source]]


def execute(
    settings: RunSettings,
    *,
    networks: Networks | None = None,
    limits: Limits | None = None,
    observer: Observer | None = None,
    witness: Witness | None = None,
    on_start: Callable[[str, list[Source], Pipeline], None] | None = None,
    opener: OpenSources | None = None,
) -> RunReport:
    """Process every source to its end. `on_start` is told the Redis URL, the sources and the pipeline.

    `opener`: opens the sources, for a caller whose sources no setting can name.
    """
    ledger = Ledger()
    device = open_device(settings.device)
    targets(settings, device)
    # Sources and server come before the networks, which take longest: what is wrong with them should be told at once.
    budget = MemoryBudget(picture_memory(settings, device))
    sources = (opener or open_sources)(settings, ledger, choose_decoding(settings.ingest, device, budget))
    run_id, times = new_run_id(), StageTimes()
    with redis_url(settings) as url:
        sink = RedisSink(
            url,
            prefix=settings.prefix,
            sources=[source.name for source in sources],
            max_length=settings.max_stream_length,
            on_published=ledger.published,
            on_unpublished=lambda source, count: ledger.dropped(source, "unpublished", count),
        )
        with sink:
            networks = networks or load_networks(settings)
            share_cores(networks.target.runtime)
            analyser = networks.analyser
            maker = EventMaker(Provenance.of(analyser.reader), settings.smoothing, run_id)
            emitter = Emitter(sink, maker, ledger)
            pipeline = Pipeline(
                sources,
                networks.finder(),
                analyser,
                emitter,
                ledger,
                times=times,
                limits=limits or Limits.on(device),
                observer=observer,
                witness=witness,
            )
            if on_start is not None:
                on_start(url, sources, pipeline)
            started_s = time.perf_counter()
            pipeline.run()
            elapsed_s = time.perf_counter() - started_s
    reports = {source.name: _source_report(source, pipeline, ledger) for source in sources}
    frames = sum(report.published + report.no_face for report in reports.values())
    return RunReport(
        run=run_id,
        redis=redact(url),
        face_model=analyser.reader.face_model.name,
        head=analyser.reader.head.name,
        device=str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
        engine=networks.target.runtime,
        precision=networks.target.precision,
        picture_memory_mib=_mib(budget.peak_bytes) if budget.peak_bytes else None,
        picture_memory_limit_mib=_mib(budget.limit_bytes) if budget.peak_bytes else None,
        seconds=round(elapsed_s, 3),
        frames_per_second=round(frames / elapsed_s, 2),
        stage_ms={stage: round(ms, 3) for stage, ms in times.medians_ms().items()},
        sources=reports,
    )


def picture_memory(settings: RunSettings, device: torch.device) -> int:
    """Bytes that decoded pictures may take on the device: what the settings say, or a quarter of what is free."""
    if settings.gpu_memory_mib is not None:
        return settings.gpu_memory_mib * 2**20
    if device.type == "cpu":
        return 2**30
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) // 4


def open_sources(settings: RunSettings, ledger: Ledger, decoding: DecodingChoice) -> list[Source]:
    """The sources of the settings, each with a name of its own; a file that is no video fails later, and alone.

    Raises ConfigError.
    """
    sources: list[Source] = []
    for wanted in settings.sources:
        spec, taken = wanted.url.get_secret_value(), {source.name for source in sources}
        name = wanted.name or source_name(spec, taken)
        lost = partial(ledger.lost_in_source, name)
        try:
            sources.append(
                open_source(spec, name=name, taken=taken, rtsp=settings.rtsp, decoding=decoding, on_drop=lost)
            )
        except SourceError as error:
            sources.append(BrokenSource(name, error))
    return sources


class BrokenSource:
    """Stands in for a source that could not even be opened, so that it fails like any other: alone."""

    live = False
    total_frames: int | None = None
    decoder = ""

    def __init__(self, name: str, error: SourceError) -> None:
        self.name = name
        self._error = error

    def frames(self, stop: threading.Event, report: ReportState) -> Iterator[Frame]:
        """Raises the error of opening."""
        raise self._error


@contextmanager
def redis_url(settings: RunSettings) -> Iterator[str]:
    """The server's URL: the user's own, or an embedded server that ends with the block."""
    if settings.redis is not None:
        yield settings.redis.get_secret_value()
        return
    with EmbeddedServer() as server:
        yield server.url


def _mib(count: int) -> float:
    return round(count / 2**20, 1)


def _source_report(source: Source, pipeline: Pipeline, ledger: Ledger) -> SourceReport:
    account = ledger.account(source.name)
    failure: SourceError | None = pipeline.failures.get(source.name)
    return SourceReport(
        received=account.received,
        published=account.published,
        no_face=account.no_face,
        dropped=dict(account.dropped),
        decoder=source.decoder,
        error=None if failure is None else str(failure),
    )
