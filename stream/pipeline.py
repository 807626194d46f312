"""A frame's path, top to bottom: read -> find -> infer -> emit.

    read    one thread per source: demux, decode                      stream/ingest
      |     channel: files WAIT (every frame), live sources DROP_OLDEST (the freshest)
    find    detect -> landmarks -> track -> crop, across sources      stream/faces
      |     channel: WAIT
    infer   face model and affect head, batched over what waits       stream/faces, models
      |     channel: WAIT
    emit    smooth -> event -> sink                                   stream/emit

On a GPU pixels stay there: each stage queues its work on a CUDA stream of its own, and only numbers come back.
A source that fails ends alone. A stage that fails ends the run with its error.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from models.device import own_stream
from stream.channel import Channel, Overflow, collect
from stream.emit.emitter import Emitter
from stream.emit.schema import EmotionEvent
from stream.errors import SourceError
from stream.faces.crop import cut_out
from stream.faces.find import FaceFinder
from stream.faces.infer import Analyser
from stream.frame import AnalysedFrame, EndOfSource, FoundFrame, Frame
from stream.ingest.source import Source, SourceState
from stream.ledger import Ledger
from stream.stage import Stages
from stream.timing import StageTimes

Observer = Callable[[AnalysedFrame, Sequence[EmotionEvent]], None]
"""Sees every analysed frame beside the emotion events of its faces, in order; called by the emit thread."""

Witness = Callable[[Sequence[Frame]], None]
"""Sees frames, pixels and all, that will be analysed, before faces are looked for; called by the find thread."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait between the stages, and for how long."""

    file_frames: int = 4
    """Decoded frames of a file that wait for faces to be found."""
    live_frames: int = 2
    """Decoded frames of a live source: more would only be older."""
    found_frames: int = 8
    """Frames with crops that wait for the face model."""
    analysed_frames: int = 32
    """Frames without pixels that wait to be published."""
    infer_batch: int = 8
    """Most frames that the face model looks at in one call."""
    batch_deadline_s: float = 0.005
    """How long a frame waits for frames of other sources to be batched with."""
    drain_s: float = 5.0
    """How long frames already read may take to be published after `stop`; then they are given up and counted."""

    @classmethod
    def on(cls, device: torch.device) -> "Limits":
        """Those for networks on `device`: a GPU gains from wide batches, and what waits for them are crops."""
        return cls() if device.type == "cpu" else cls(found_frames=256, analysed_frames=512, infer_batch=128)


class Pipeline:
    """Runs sources to their end, or until `stop`."""

    def __init__(
        self,
        sources: Sequence[Source],
        finder: FaceFinder,
        analyser: Analyser,
        emitter: Emitter,
        ledger: Ledger,
        *,
        times: StageTimes,
        limits: Limits | None = None,
        observer: Observer | None = None,
        witness: Witness | None = None,
    ) -> None:
        self.sources = sources
        self.finder = finder
        self.analyser = analyser
        self.emitter = emitter
        self.ledger = ledger
        self.times = times
        self.limits = limits or Limits()
        self.observer = observer
        self.witness = witness
        self.failures: dict[str, SourceError] = {}
        self._stop = threading.Event()
        self._ended = threading.Event()
        ready = threading.Condition()
        self._decoded = [self._decoded_channel(source, ready) for source in sources]
        self._found: Channel[FoundFrame | EndOfSource] = Channel(self.limits.found_frames)
        self._analysed: Channel[AnalysedFrame | EndOfSource] = Channel(self.limits.analysed_frames)

    def run(self) -> None:
        """Process every source to its end. Raises the first error of a stage; source errors go to `failures`."""
        stages, stream = Stages(self._abort), partial(own_stream, self.finder.sampler.device)
        for source, decoded in zip(self.sources, self._decoded, strict=True):
            self.ledger.open(source.name)
            stages.start(f"read {source.name}", partial(self._read, source, decoded), partial(stream, first=True))
        stages.start("find", self._find, stream)
        stages.start("infer", self._infer, stream)
        stages.start("emit", self._emit)
        threading.Thread(target=self._limit_drain, name="drain limit", daemon=True).start()
        try:
            stages.join()
        finally:
            self._ended.set()
            self._stop.set()

    def stop(self) -> None:
        """Ask every source to end; frames already read are still published. Safe from signal handlers."""
        self._stop.set()

    def _read(self, source: Source, decoded: Channel[Frame | EndOfSource]) -> None:
        def report(state: SourceState, reason: str) -> None:
            self.emitter.source_state(source.name, state, reason)

        error: SourceError | None = None
        try:
            frames = source.frames(self._stop, report)
            while True:
                with self.times.measure("read"):
                    frame = next(frames, None)
                if frame is None:
                    break
                self.ledger.received(source.name)
                decoded.put(frame)
                del frame  # not kept while waiting for the next one
        except SourceError as failed:
            self.failures[source.name] = error = failed
        decoded.put_past_limit(EndOfSource(source.name, None if error is None else str(error)))
        decoded.close()

    def _find(self) -> None:
        while batch := collect(self._decoded, self.limits.batch_deadline_s):
            self._find_faces(batch)
            batch.clear()  # the memory of pictures is scarce on a GPU: none are kept while waiting for more
        self._found.close()

    def _find_faces(self, batch: Sequence[Frame | EndOfSource]) -> None:
        frames = [item for item in batch if isinstance(item, Frame)]
        if frames:
            if self.witness is not None:
                self.witness(frames)
            with self.times.measure("find", len(frames)):
                faces = self.finder.find(frames)
            with self.times.measure("crop", len(frames)):
                found = cut_out(frames, faces, self.finder.sampler if self.analyser.reader.needs_crops else None)
            for frame in found:
                self._found.put(frame)
        for item in batch:
            if isinstance(item, EndOfSource):
                self.finder.end(item.source)
                self._found.put(item)

    def _infer(self) -> None:
        while batch := self._found.get_batch(self.limits.infer_batch):
            frames = [item for item in batch if isinstance(item, FoundFrame)]
            if frames:
                with self.times.measure("infer", len(frames)):
                    analysed = self.analyser(frames)
                for frame in analysed:
                    self._analysed.put(frame)
            for item in batch:  # a source's end comes after its last frame, so its place in the batch is behind them
                if isinstance(item, EndOfSource):
                    self._analysed.put(item)
        self._analysed.close()

    def _emit(self) -> None:
        while (item := self._analysed.get()) is not None:
            if isinstance(item, EndOfSource):
                self.emitter.end_source(item.source, item.error)
                continue
            with self.times.measure("emit"):
                published = self.emitter.emit(item)
            if self.observer is not None:
                self.observer(item, published)

    def _limit_drain(self) -> None:
        """After `stop`, a server that does not answer must not keep the process from ending."""
        self._stop.wait()
        if not self._ended.wait(self.limits.drain_s):
            self.emitter.give_up()

    def _decoded_channel(self, source: Source, ready: threading.Condition) -> Channel[Frame | EndOfSource]:
        def overloaded(_: Frame | EndOfSource) -> None:
            self.ledger.dropped(source.name, "overload")

        if source.live:
            return Channel(self.limits.live_frames, Overflow.DROP_OLDEST, on_drop=overloaded, condition=ready)
        return Channel(self.limits.file_frames, Overflow.WAIT, condition=ready)

    def _abort(self) -> None:
        self._stop.set()
        for decoded in self._decoded:
            decoded.abort()
        self._found.abort()
        self._analysed.abort()
