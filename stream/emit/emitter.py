"""The last stage: smooth, make events, hand them to the sink, and keep the books."""

import logging
import time
from collections.abc import Callable, Sequence

from stream.emit.event import EventMaker
from stream.emit.schema import EmotionEvent, StatusEvent
from stream.emit.sink import Sink
from stream.frame import AnalysedFrame
from stream.ledger import Ledger

log = logging.getLogger(__name__)

END_FLUSH_S = 10.0
"""How long the end of a source waits for the server before its final counts are published without its last frames."""


class Emitter:
    """Publishes what one run finds. `emit` and `end_source` belong to one thread; `source_state` may come from any."""

    def __init__(
        self, sink: Sink, maker: EventMaker, ledger: Ledger, *, wall_s: Callable[[], float] = time.time
    ) -> None:
        self._sink = sink
        self._maker = maker
        self._ledger = ledger
        self._wall_s = wall_s

    def emit(self, analysed: AnalysedFrame) -> Sequence[EmotionEvent]:
        """Publish a frame; the emotion events of its faces, in order. Raises SinkRefused."""
        events = self._maker.frame(analysed)
        if analysed.faces:
            self._sink.put(events)
        else:
            self._ledger.no_face(analysed.stamp.source)
        for status in events.status:
            self._sink.status(status)
        return events.emotion

    def source_state(self, source: str, state: str, reason: str) -> None:
        """Publish and log that a source changed state."""
        log.info("%s: %s (%s)", source, state, reason)
        self._sink.status(
            StatusEvent(source=source, run=self._maker.run, state=state, reason=reason, at_ms=self._now())
        )

    def end_source(self, source: str, error: str | None) -> None:
        """End the tracks of a source and publish its accounts, after its last frame has been acknowledged."""
        for status in self._maker.end_source(source, self._now()):
            self._sink.status(status)
        self._sink.flush(END_FLUSH_S)
        account = self._ledger.account(source)
        state, reason = ("ended", "no more frames") if error is None else ("failed", error)
        log.log(logging.INFO if error is None else logging.ERROR, "%s: %s (%s)", source, state, reason)
        self._sink.status(
            StatusEvent(
                source=source,
                run=self._maker.run,
                state=state,
                reason=reason,
                at_ms=self._now(),
                received=account.received,
                published=account.published,
                no_face=account.no_face,
                dropped=dict(account.dropped),
            )
        )

    def give_up(self) -> None:
        """Publish nothing more: what waits for the server, and what still comes, is counted as unpublished."""
        log.warning("the server does not answer: giving up the frames that wait for it")
        self._sink.close(0.0)

    def _now(self) -> int:
        return round(self._wall_s() * 1000)
