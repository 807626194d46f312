"""Adds entries to Redis Streams so that sending again never duplicates.

Every entry has an explicit id, `<captured ms>-<n>`, above the last one of its stream. When it is unknown whether an
entry arrived (the connection broke, or its id was taken), the stream is read before anything is sent again: an entry
that is there under its id with the same fields has been added, any other has not. That holds on any server with
streams, and also when the old connection's commands are carried out late, since the second attempt uses the same id.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from redis.exceptions import RedisError, ResponseError

from stream.emit.codec import FieldValue
from stream.emit.connection import error_code, explain
from stream.emit.schema import (
    EmotionEvent,
    FaceEvent,
    FlameEvent,
    StatusEvent,
    emotion_key,
    flame_key,
    sources_key,
    status_key,
)
from stream.errors import SinkError

log = logging.getLogger(__name__)

EntryId = tuple[int, int]

NO_ENTRY: EntryId = (0, 0)
"""Below every id that a stream can hold."""


@dataclass(slots=True, eq=False)
class Entry:
    """An event on its way into a stream."""

    key: str
    event: EmotionEvent | FlameEvent | StatusEvent
    acknowledged: bool = False
    id: EntryId | None = None
    """The id under which it was last sent; None before."""
    fields: dict[str, FieldValue] = field(default_factory=dict)
    """What was last sent."""


class StreamWriter:
    """Writes batches of entries in order. One thread uses it.

    Order within a stream is kept, but for entries that the server turned down for the moment (as BUSY) amid others of
    the same batch that it took: those follow as soon as it takes them.
    """

    def __init__(self, client: redis.Redis, url: str, *, prefix: str, max_length: int) -> None:
        """`max_length` bounds every stream, roughly; 0 leaves them unbounded. `url` is for messages."""
        self.client = client
        self.url = url
        self.prefix = prefix
        self.max_length = max_length
        self._last: dict[str, EntryId] = {}
        """Highest id that each stream is known to hold."""
        self._read: set[str] = set()
        """Streams whose last id has been read since the connection was made."""
        self._shapes: dict[tuple[str, int], str] = {}
        """Stream and track: id of the entry with the shape in force."""

    def entry(self, event: EmotionEvent | FlameEvent | StatusEvent) -> Entry:
        """An entry for the stream that the event belongs to."""
        match event:
            case EmotionEvent():
                return Entry(emotion_key(self.prefix, event.source), event)
            case FlameEvent():
                return Entry(flame_key(self.prefix, event.source), event)
            case StatusEvent():
                return Entry(status_key(self.prefix), event)

    def open(self, sources: Sequence[str]) -> None:
        """Connect, list the sources and read the ends of their streams. Raises SinkRefused, SinkUnreachable."""
        keys = [status_key(self.prefix)]
        keys += [key(self.prefix, source) for source in sources for key in (emotion_key, flame_key)]
        try:
            self.client.ping()
            self._catch_up(keys, [])
            if sources:
                self._list(sources)
        except (RedisError, OSError) as error:
            raise explain(error, self.url) from error

    def write(self, entries: Sequence[Entry]) -> bool:
        """Send what is not acknowledged yet, once; True when all of it is now.

        False means to call again at once. Raises SinkRefused, or SinkUnreachable, after which calling again with the
        same entries first finds out what arrived.
        """
        try:
            if keys := {entry.key for entry in entries} - self._read:
                self._catch_up(sorted(keys), entries)
            if unsent := [entry for entry in entries if not entry.acknowledged]:
                self._send(unsent)
        except (RedisError, OSError) as error:
            self.disconnect()
            raise explain(error, self.url) from error
        except SinkError:
            self.disconnect()
            raise
        return all(entry.acknowledged for entry in entries)

    def disconnect(self) -> None:
        """Forget the connection, and with it all that could have changed on the server since."""
        self.client.connection_pool.disconnect()
        self._read.clear()

    def _catch_up(self, keys: Sequence[str], entries: Iterable[Entry]) -> None:
        """Read the ends of streams, and which of the entries that had been sent to them arrived."""
        sent = [entry for entry in entries if entry.key in keys and entry.id is not None and not entry.acknowledged]
        pipeline = self.client.pipeline(transaction=False)
        # Ends before entries: an entry that arrives in between is then found, never taken for missing.
        for key in keys:
            pipeline.xinfo_stream(key)
        for entry in sent:
            pipeline.xrange(entry.key, id_text(entry.id), id_text(entry.id))
        replies = iter(pipeline.execute(raise_on_error=False))
        for key, reply in zip(keys, replies, strict=False):
            if isinstance(reply, ResponseError) and str(reply) == "no such key":
                self._note_end(key, NO_ENTRY)
            else:
                self._note_end(key, parse_id(self._checked(reply, key)["last-generated-id"]))
        for entry, reply in zip(sent, replies, strict=True):
            found = self._checked(reply, entry.key)
            if found and found[0][1] == _as_bytes(entry.fields):
                self._acknowledge(entry)

    def _checked(self, reply: Any, key: str) -> Any:  # noqa: ANN401 -- redis-py's types of replies are no help
        """The reply; raises the SinkError that it stands for when it is an error."""
        if isinstance(reply, ResponseError):
            raise explain(reply, self.url, key=key) from reply
        return reply

    def _list(self, sources: Iterable[str]) -> None:
        key = sources_key(self.prefix)
        try:
            self.client.sadd(key, *sources)
        except ResponseError as error:
            self._checked(error, key)

    def _note_end(self, key: str, end: EntryId) -> None:
        ours = self._last.get(key, NO_ENTRY)
        if end < ours:
            log.warning(
                "Redis lost entries of %s that it had acknowledged (its end went from %s to %s): it restarted without "
                "persistence, or a replica took over; publishing goes on",
                key,
                id_text(ours),
                id_text(end),
            )
        self._last[key] = max(ours, end)
        self._read.add(key)

    def _send(self, entries: Sequence[Entry]) -> None:
        now_ms = time.time_ns() // 1_000_000
        pipeline = self.client.pipeline(transaction=False)
        # Listed every time: a server that has restarted empty is not always noticed, and this costs next to nothing.
        pipeline.sadd(sources_key(self.prefix), *sorted({entry.event.source for entry in entries}))
        ends: dict[str, EntryId] = {}
        for entry in entries:
            ends[entry.key] = self._stamp(entry, ends.get(entry.key, self._last[entry.key]), now_ms)
            fields: dict[Any, Any] = dict(entry.fields)
            pipeline.xadd(entry.key, fields, id=id_text(entry.id), maxlen=self.max_length or None, approximate=True)
        listed, *replies = pipeline.execute(raise_on_error=False)
        problems: list[SinkError] = []
        for entry, reply in zip(entries, replies, strict=True):
            if not isinstance(reply, ResponseError):
                self._acknowledge(entry)
            elif error_code(reply) == "ERR" and "equal or smaller" in str(reply):
                self._read.discard(entry.key)
            else:
                problem = explain(reply, self.url, key=entry.key)
                problem.__cause__ = reply
                problems.append(problem)
        if problems:
            raise min(problems, key=lambda problem: problem.retryable)  # a refusal before what will pass
        self._checked(listed, sources_key(self.prefix))

    def _stamp(self, entry: Entry, end: EntryId, now_ms: int) -> EntryId:
        """Give the entry its id, above `end`, and its fields; both stay as they are when it is sent again."""
        if entry.id is not None and entry.id > end:
            return entry.id
        event = entry.event
        wanted_ms = event.at_ms if isinstance(event, StatusEvent) else event.captured_ms
        entry.id = (wanted_ms, 0) if wanted_ms > end[0] else (end[0], end[1] + 1)
        published_ms = entry.fields.get("published_ms", now_ms)
        entry.fields = event.to_fields()
        if isinstance(event, FaceEvent):
            entry.fields["published_ms"] = published_ms
        if isinstance(event, FlameEvent):
            if event.shape is not None:
                self._shapes[entry.key, event.track] = id_text(entry.id)
            if (shape_ref := self._shapes.get((entry.key, event.track))) is not None:
                entry.fields["shape_ref"] = shape_ref
        return entry.id

    def _acknowledge(self, entry: Entry) -> None:
        assert entry.id is not None  # it was sent
        entry.acknowledged = True
        self._last[entry.key] = max(self._last[entry.key], entry.id)
        if isinstance(entry.event, StatusEvent) and entry.event.track is not None:
            self._shapes.pop((flame_key(self.prefix, entry.event.source), entry.event.track), None)


def id_text(entry_id: EntryId | None) -> str:
    """As Redis writes it."""
    return "-".join(map(str, entry_id or NO_ENTRY))


def parse_id(text: bytes | str) -> EntryId:
    """The two numbers of `<ms>-<n>`; n is 0 where it is left out."""
    ms, _, n = (text.decode() if isinstance(text, bytes) else text).partition("-")
    return int(ms), int(n or 0)


def _as_bytes(fields: dict[str, FieldValue]) -> dict[bytes, bytes]:
    return {name.encode(): value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()}
