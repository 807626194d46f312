"""How an event becomes the fields of a Redis entry, or JSON, and back. Standard library only."""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

SCHEMA_VERSION = 1

FieldValue = str | bytes | int


class SchemaError(ValueError):
    """An entry that is not a valid event of this schema version."""


class UnknownSchemaError(SchemaError):
    """An entry of a schema version that this reader does not know."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How one field is written to and read from Redis and JSON."""

    encode: Callable[[Any], FieldValue]
    decode: Callable[[bytes], Any]
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]


def _real(value: float) -> str:
    return f"{value:z.6f}"


def vector(size: int) -> Codec:
    """Codec of an array of that many little-endian float32."""
    layout = struct.Struct(f"<{size}f")

    def from_json(values: list[float]) -> tuple[float, ...]:
        return layout.unpack(layout.pack(*values))

    return Codec(lambda value: layout.pack(*value), layout.unpack, _shortest, from_json)


def _shortest(values: tuple[float, ...]) -> list[float]:
    """Nine significant digits tell every float32 from its neighbours."""
    return [float(f"{value:.9g}") for value in values]


def _counts(value: Mapping[str, int]) -> str:
    return json.dumps(dict(value), sort_keys=True)


def _rounded(value: Mapping[str, float]) -> dict[str, float]:
    return {name: float(_real(share)) for name, share in value.items()}


TEXT = Codec(str, lambda raw: raw.decode(), str, str)
INTEGER = Codec(int, int, int, int)
REAL = Codec(_real, float, lambda value: float(_real(value)), float)
COUNTS = Codec(_counts, json.loads, dict, dict)
SHARES = Codec(lambda value: json.dumps(_rounded(value)), json.loads, _rounded, dict)
"""Numbers by name, as a JSON object in the order that they come in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What the event types share: Redis fields and JSON, driven by a table of codecs."""

    KIND: ClassVar[str]
    FIELDS: ClassVar[dict[str, Codec]]
    """Codec of each field, in the order of writing."""
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    """Fields that are left out when None."""

    id: str = field(default="", compare=False)
    """Id of the Redis entry; empty before it is published. Not a field of the entry."""

    def to_fields(self) -> dict[str, FieldValue]:
        """The flat fields of a Redis entry. Raises SchemaError for an array of the wrong length."""
        fields: dict[str, FieldValue] = {"schema": SCHEMA_VERSION}
        try:
            for name, codec in self.FIELDS.items():
                value = getattr(self, name)
                if value is not None:
                    fields[name] = codec.encode(value)
        except struct.error as error:
            raise SchemaError(f"{self.KIND} event: {name} does not fit ({error})") from error
        return fields

    @classmethod
    def from_fields(cls, fields: Mapping[Any, Any], entry_id: str = "") -> Self:
        """Read a Redis entry (names, values as bytes). Raises SchemaError, UnknownSchemaError for another version."""
        known = {_text(name): _bytes(value) for name, value in fields.items()}
        return cls._read(known, lambda codec: codec.decode, entry_id)

    def to_json(self) -> dict[str, Any]:
        """The JSON form: `type`, `schema`, the entry `id` when known, then the fields."""
        document: dict[str, Any] = {"type": self.KIND, "schema": SCHEMA_VERSION}
        if self.id:
            document["id"] = self.id
        for name, codec in self.FIELDS.items():
            value = getattr(self, name)
            if value is not None:
                document[name] = codec.to_json(value)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form. Raises SchemaError, UnknownSchemaError for another version."""
        if document.get("type") != cls.KIND:
            raise SchemaError(f"the document is of type {document.get('type')!r}, expected {cls.KIND!r}")
        return cls._read(document, lambda codec: codec.from_json, str(document.get("id", "")))

    @classmethod
    def _read(cls, known: Mapping[str, Any], reader: Callable[[Codec], Callable[[Any], Any]], entry_id: str) -> Self:
        version = known.get("schema")
        if version not in (SCHEMA_VERSION, str(SCHEMA_VERSION).encode()):
            problem = f"{cls.KIND} entry {entry_id} has schema {version!r}, this reader knows {SCHEMA_VERSION}"
            raise SchemaError(problem) if version is None else UnknownSchemaError(f"{problem}; upgrade flamestream")
        missing = [name for name in cls.FIELDS if name not in known and name not in cls.OPTIONAL]
        if missing:
            raise SchemaError(f"{cls.KIND} entry {entry_id} lacks {', '.join(missing)}")
        try:
            values = {name: reader(codec)(known[name]) for name, codec in cls.FIELDS.items() if name in known}
            return cls(**values, id=entry_id)
        except (ValueError, TypeError, struct.error) as error:
            raise SchemaError(f"{cls.KIND} entry {entry_id} cannot be read ({error})") from error


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode(errors="replace")


def _bytes(value: str | bytes | float) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
