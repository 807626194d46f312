"""Where a subscriber is in the streams it reads. Does no input or output: both subscribers drive it."""

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

from redis.exceptions import ResponseError

from stream.emit.codec import SchemaError, UnknownSchemaError
from stream.emit.connection import explain
from stream.emit.schema import EmotionEvent, FlameEvent, StatusEvent
from stream.emit.stream_writer import NO_ENTRY, EntryId, id_text, parse_id
from stream.errors import ConfigError

log = logging.getLogger(__name__)

E = TypeVar("E", bound=EmotionEvent | FlameEvent | StatusEvent)

Start = str | Mapping[str, str]
"""Where to begin: "now", "start" (the oldest entry kept), an entry id (what comes after it), or an id per source."""

FIRST_DELAY_S, MAX_DELAY_S = 0.1, 5.0
"""Between attempts to reach a lost server: doubles from the first to the last."""

BLOCK_S = 1.0
"""Longest wait for entries in one request, and how often new sources are looked for."""

NO_STREAM_S = 0.1
"""How often sources are looked for while there is none."""

REPLY_TIMEOUT_S = BLOCK_S + 5.0
"""Longer than any blocking request, so that waiting is not taken for an outage."""

COUNT = 256
"""Most entries of one stream in one reply."""

KNOWN_SHAPES = 256
"""Shapes kept in memory to complete the events that refer to them."""


Keys = Mapping[str, str]
"""The stream to read of each source; of the status stream, which all share, under the name ""."""


class Cursor(Generic[E]):
    """The last entry read of each stream."""

    def __init__(self, kind: type[E], start: Start, source: str | None = None) -> None:
        """`source` leaves out the events of others. Raises ConfigError when `start` is none of what `Start` lists."""
        self.skipped = 0
        """Entries that were not valid events and were left out."""
        self._kind = kind
        self._source = source
        self._starts: dict[str, str] = {}
        self._start = "start"
        if isinstance(start, str):
            self._start = check_start(start)
        else:
            self._starts = {source: check_start(value) for source, value in start.items()}
        self._positions: dict[str, EntryId] = {}

    @property
    def positions(self) -> dict[str, str]:
        """Each stream with the id after which to read on."""
        return {key: id_text(position) for key, position in self._positions.items()}

    def unknown(self, keys: Keys) -> Keys:
        """Those that are not read yet."""
        return {source: key for source, key in keys.items() if key not in self._positions}

    def begin(self, keys: Keys, ends: Mapping[str, EntryId], *, late: bool = False) -> None:
        """Read these streams too; `ends` holds the last id of each. `late` ones appeared since, so none is missed."""
        for source, key in keys.items():
            start = self._starts.get(source, self._start)
            if start == "now":
                self._positions[key] = NO_ENTRY if late else ends[key]
            else:
                self._positions[key] = NO_ENTRY if start == "start" else parse_id(start)

    def resume(self, ends: Mapping[str, EntryId]) -> None:
        """Compare with the ends of the streams: one that ends before our position was lost, so what comes is new."""
        for key, end in ends.items():
            if end < self._positions[key]:
                log.warning("%s has lost its entries from %s on; reading what comes now", key, id_text(end))
                self._positions[key] = end

    def accept(self, reply: Any) -> list[tuple[str, E]]:  # noqa: ANN401 -- its type depends on the protocol
        """Events of an XREAD reply, each with its stream, merged by entry id. Raises ConfigError for another schema."""
        found: list[tuple[EntryId, str, E]] = []
        for raw_key, entries in reply or ():
            key = raw_key.decode()
            for raw_id, fields in entries:
                self._positions[key] = entry_id = parse_id(raw_id)
                event = self._event(key, raw_id.decode(), fields)
                if event is not None and self._source in (None, event.source):
                    found.append((entry_id, key, event))
        found.sort(key=lambda one: one[0])
        return [(key, event) for _, key, event in found]

    def _event(self, key: str, entry_id: str, fields: Mapping[bytes, bytes] | None) -> E | None:
        try:
            return cast(E, self._kind.from_fields(fields or {}, entry_id))
        except UnknownSchemaError as error:
            raise ConfigError(f"{key}: {error}") from error
        except SchemaError as error:
            self.skipped += 1
            log.warning("%s: left out an entry that is not an event: %s", key, error)
            return None


class Shapes:
    """The shapes that flame events refer to."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[float, ...] | None] = OrderedDict()

    def missing(self, key: str, event: FlameEvent) -> str | None:
        """Id of the entry to fetch before `complete` can fill in the shape; None when nothing is to be fetched."""
        if event.shape is not None or event.shape_ref is None or (key, event.shape_ref) in self._known:
            return None
        return event.shape_ref

    def learn(self, key: str, entry_id: str, shape: tuple[float, ...] | None) -> None:
        """Remember a shape; None when its entry is gone."""
        self._known[key, entry_id] = shape
        if len(self._known) > KNOWN_SHAPES:
            self._known.popitem(last=False)

    def complete(self, key: str, event: FlameEvent) -> FlameEvent:
        """The event with its shape, where that is known."""
        if event.shape is not None:
            self.learn(key, event.id, event.shape)
            return event
        shape = None
        if event.shape_ref is not None and (key, event.shape_ref) in self._known:
            self._known.move_to_end((key, event.shape_ref))
            shape = self._known[key, event.shape_ref]
        return event if shape is None else replace(event, shape=shape)


def shape_of(entries: Sequence[Any]) -> tuple[float, ...] | None:
    """The shape in the reply to XRANGE of one entry."""
    for raw_id, fields in entries:
        try:
            return FlameEvent.from_fields(fields, raw_id.decode()).shape
        except SchemaError as error:
            log.warning("the entry that should hold a shape is not an event: %s", error)
    return None


def check_start(start: str) -> str:
    """The same text. Raises ConfigError when it is not a place to start from."""
    if start in ("now", "start"):
        return start
    if re.fullmatch(r"[0-9]+(-[0-9]+)?", start) is None:
        raise ConfigError(f'start {start!r} is not a place to read from; expected "now", "start" or an entry id')
    return start


def sources_of(members: Iterable[Any]) -> list[str]:
    """The names in the set of sources, sorted."""
    return sorted(member.decode() for member in members)


def ends_of(keys: Iterable[str], replies: Iterable[Any], url: str) -> dict[str, EntryId]:
    """Last id of each stream from the replies to XINFO STREAM. Raises SinkRefused, SinkUnreachable."""
    ends: dict[str, EntryId] = {}
    for key, reply in zip(keys, replies, strict=True):
        if isinstance(reply, ResponseError):
            if str(reply) != "no such key":
                raise explain(reply, url, key=key) from reply
            ends[key] = NO_ENTRY
        else:
            ends[key] = parse_id(reply["last-generated-id"])
    return ends
