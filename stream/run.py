"""One run: builds the pipeline that the settings ask for, runs it, and accounts for every frame."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial

from models.assets import fetch
from models.engines.threads import share_cores
from models.face_model import FaceModel
from models.heads import PrototypeHead
from models.mediapipe_face import open_mediapipe_face
from stream.config import RunSettings
from stream.emit.embedded import EmbeddedServer
from stream.emit.emitter import Emitter
from stream.emit.event import EventMaker, Provenance, new_run_id
from stream.emit.redis_sink import RedisSink
from stream.errors import SourceError
from stream.faces.find import FaceFinder
from stream.faces.infer import Analyser
from stream.faces.networks import open_face_engines
from stream.frame import Frame
from stream.ingest.open import open_source, source_name
from stream.ingest.source import ReportState, Source
from stream.ledger import Ledger
from stream.pipeline import Limits, Observer, Pipeline
from stream.redact import redact
from stream.timing import StageTimes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of one source."""

    received: int
    published: int
    no_face: int
    dropped: dict[str, int]
    error: str | None


@dataclass(frozen=True, slots=True)
class RunReport:
    """The final word of a run: `received = published + no_face + sum(dropped)` for every source."""

    run: str
    redis: str
    face_model: str
    head: str
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


@dataclass(frozen=True, slots=True)
class Networks:
    """Everything that computes, loaded once and usable for several runs."""

    finder: Callable[[], FaceFinder]
    """Makes a finder with no memory of earlier frames."""
    analyser: Analyser


def load_networks(settings: RunSettings) -> Networks:
    """Fetch, compile and load what the settings name. Raises AssetError, CheckpointError, EngineError."""
    log.info("loading networks")
    task = fetch("face_landmarker")
    mediapipe = open_mediapipe_face(task)
    engines = open_face_engines(task, settings.engine)
    face_model: FaceModel = mediapipe
    if settings.face_model == "smirk":
        from models.smirk import open_smirk  # here, since timm takes seconds to import

        assert settings.checkpoint is not None  # RunSettings refuses smirk without one
        face_model = open_smirk(settings.checkpoint, runtime=settings.engine)
    head = PrototypeHead()
    head_model = None if face_model.basis == head.basis else mediapipe
    return Networks(
        finder=partial(FaceFinder, engines, **settings.faces.model_dump()),
        analyser=Analyser(engines.blendshapes, face_model, head, head_model),
    )


def execute(
    settings: RunSettings,
    *,
    networks: Networks | None = None,
    limits: Limits | None = None,
    observer: Observer | None = None,
    on_start: Callable[[str, list[Source], Pipeline], None] | None = None,
) -> RunReport:
    """Process every source to its end. `on_start` is told the Redis URL, the sources and the pipeline."""
    ledger = Ledger()
    # Sources and server come before the networks, which take longest: what is wrong with them should be told at once.
    sources = open_sources(settings, ledger)
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
            share_cores(settings.engine)
            analyser = networks.analyser
            maker = EventMaker(Provenance.of(analyser.face_model, analyser.head), settings.smoothing, run_id)
            emitter = Emitter(sink, maker, ledger)
            pipeline = Pipeline(
                sources, networks.finder(), analyser, emitter, ledger, times=times, limits=limits, observer=observer
            )
            if on_start is not None:
                on_start(url, sources, pipeline)
            started_s = time.perf_counter()
            pipeline.run()
            elapsed_s = time.perf_counter() - started_s
    reports = {source.name: _source_report(source.name, pipeline, ledger) for source in sources}
    frames = sum(report.published + report.no_face for report in reports.values())
    return RunReport(
        run=run_id,
        redis=redact(url),
        face_model=analyser.face_model.name,
        head=analyser.head.name,
        seconds=round(elapsed_s, 3),
        frames_per_second=round(frames / elapsed_s, 2),
        stage_ms={stage: round(ms, 3) for stage, ms in times.medians_ms().items()},
        sources=reports,
    )


def open_sources(settings: RunSettings, ledger: Ledger) -> list[Source]:
    """The sources of the settings, each with a name of its own; a file that is no video fails later, and alone.

    Raises ConfigError.
    """
    sources: list[Source] = []
    for wanted in settings.sources:
        spec, taken = wanted.url.get_secret_value(), {source.name for source in sources}
        name = wanted.name or source_name(spec, taken)
        lost = partial(ledger.lost_in_source, name)
        try:
            sources.append(open_source(spec, name=name, taken=taken, rtsp=settings.rtsp, on_drop=lost))
        except SourceError as error:
            sources.append(BrokenSource(name, error))
    return sources


class BrokenSource:
    """Stands in for a source that could not even be opened, so that it fails like any other: alone."""

    live = False
    total_frames: int | None = None

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


def _source_report(name: str, pipeline: Pipeline, ledger: Ledger) -> SourceReport:
    account = ledger.account(name)
    failure: SourceError | None = pipeline.failures.get(name)
    return SourceReport(
        received=account.received,
        published=account.published,
        no_face=account.no_face,
        dropped=dict(account.dropped),
        error=None if failure is None else str(failure),
    )
