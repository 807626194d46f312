import json
from dataclasses import fields, replace
from pathlib import Path

import jsonschema
import pytest

from stream.emit import schema
from stream.emit.codec import SchemaError, UnknownSchemaError
from stream.emit.schema import EmotionEvent, FlameEvent, StatusEvent

GOLDEN = Path(__file__).parent / "golden" / "schema_v1.json"
JSON_SCHEMA = json.loads(Path(schema.__file__).with_name("schema_v1.json").read_text())
TYPES = {"emotion": EmotionEvent, "flame": FlameEvent, "status": StatusEvent}

EMOTION = EmotionEvent(
    source="hall-2",
    run="0badcafe",
    epoch=1,
    seq=42,
    pts_s=1.4,
    captured_ms=1_700_000_001_400,
    published_ms=1_700_000_001_450,
    track=3,
    valence=0.123456,
    arousal=-0.5,
    valence_raw=1.0,
    arousal_raw=-1.0,
    confidence=0.987654,
    model="mediapipe",
    model_hash="0123456789ab",
    basis="open",
    head="prototype",
    head_hash="ba9876543210",
)
FLAME = FlameEvent(
    source="hall-2",
    run="0badcafe",
    epoch=1,
    seq=42,
    pts_s=1.4,
    captured_ms=1_700_000_001_400,
    published_ms=1_700_000_001_450,
    track=3,
    confidence=0.987654,
    model="mediapipe",
    model_hash="0123456789ab",
    basis="open",
    width=640,
    height=480,
    crop_x=320.5,
    crop_y=240.25,
    crop_side=201.125,
    expression=tuple(i / 64 for i in range(50)),
    pose=(0.5, -0.25, 0.125),
    jaw=(0.0625, 0.0, 0.0),
    eyelids=(0.0, 1.0),
    camera=(8.5, 0.03125, -0.015625),
    expression_raw=tuple(-i / 64 for i in range(50)),
    pose_raw=(0.5, -0.25, 0.0),
    jaw_raw=(0.125, 0.0, 0.0),
    camera_raw=(8.25, 0.0, 0.0),
    shape=tuple(i / 128 - 1 for i in range(300)),
    shape_ref="1700000001400-0",
)
STATUS = StatusEvent(
    source="hall-2",
    run="0badcafe",
    state="failed",
    reason="the camera – Flur – went away",
    at_ms=1_700_000_009_000,
    received=100,
    published=60,
    no_face=30,
    dropped={"overload": 9, "corrupt": 1},
)
EVENTS = {"emotion": EMOTION, "flame": FLAME, "status": STATUS}


def as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.mark.parametrize("kind", TYPES)
def test_golden_vectors_are_written_and_read_byte_for_byte(kind: str) -> None:
    golden = json.loads(GOLDEN.read_text())[kind]
    event = EVENTS[kind]
    assert {name: as_bytes(value).hex() for name, value in event.to_fields().items()} == golden["fields"]
    assert list(event.to_fields()) == list(golden["fields"])
    assert event.to_json() == golden["json"]
    read = TYPES[kind].from_fields({name.encode(): bytes.fromhex(value) for name, value in golden["fields"].items()})
    assert read == event
    assert TYPES[kind].from_json(golden["json"]) == event


@pytest.mark.parametrize("kind", TYPES)
def test_json_form_follows_the_json_schema(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(JSON_SCHEMA)
    document = {**EVENTS[kind].to_json(), "id": "1700000001400-0", "a_later_field": "is fine"}
    validator = jsonschema.Draft202012Validator(JSON_SCHEMA)
    validator.validate(document)
    for name in JSON_SCHEMA["$defs"][kind]["required"]:
        assert not validator.is_valid({key: value for key, value in document.items() if key != name}), name


@pytest.mark.parametrize("kind", TYPES)
def test_json_schema_and_dataclass_name_the_same_fields(kind: str) -> None:
    described = set(JSON_SCHEMA["$defs"][kind]["properties"])
    assert described == {field.name for field in fields(TYPES[kind])} | {"type", "schema"}
    assert set(TYPES[kind].FIELDS) == {field.name for field in fields(TYPES[kind])} - {"id"}


def test_scalars_are_text_a_person_can_read() -> None:
    written = EMOTION.to_fields()
    assert written["valence"] == "0.123456"
    assert replace(EMOTION, valence=-1e-9).to_fields()["valence"] == "0.000000"
    exact = replace(EMOTION, valence=0.1234567891)
    assert abs(EmotionEvent.from_fields(exact.to_fields()).valence - exact.valence) <= 5e-7


def test_arrays_are_little_endian_float32() -> None:
    assert replace(FLAME, pose=(1.0, -2.0, 0.5)).to_fields()["pose"] == bytes.fromhex("0000803f000000c00000003f")


def test_json_numbers_read_back_to_the_same_float32() -> None:
    third = FlameEvent.from_fields(replace(FLAME, pose=(1 / 3, 1e-7, 3.1415926)).to_fields())
    read = FlameEvent.from_json(json.loads(json.dumps(third.to_json())))
    assert read.pose == third.pose


def test_reader_ignores_fields_it_does_not_know_and_accepts_unknown_states() -> None:
    assert EmotionEvent.from_fields({**EMOTION.to_fields(), "dominance": "0.1"}) == EMOTION
    assert StatusEvent.from_fields({**STATUS.to_fields(), "state": "degraded"}).state == "degraded"


def test_absent_optional_fields_are_none() -> None:
    plain = replace(FLAME, shape=None, shape_ref=None)
    assert "shape" not in plain.to_fields()
    assert FlameEvent.from_fields(plain.to_fields()).shape is None


def test_emotions_are_text_a_person_can_read() -> None:
    shares = {"neutral": 0.25, "happiness": 0.7500004}
    event = replace(EMOTION, emotion="happiness", emotions=shares, emotions_raw=shares)
    written = event.to_fields()
    assert written["emotion"] == "happiness"
    assert written["emotions"] == '{"neutral": 0.25, "happiness": 0.75}'
    read = EmotionEvent.from_fields(written)
    assert read.emotions == {"neutral": 0.25, "happiness": 0.75}
    assert EmotionEvent.from_json(json.loads(json.dumps(event.to_json()))) == read
    jsonschema.Draft202012Validator(JSON_SCHEMA).validate({**event.to_json(), "id": "1-0"})
    assert "emotion" not in EMOTION.to_fields()


def test_entry_id_is_kept_but_not_written() -> None:
    read = EmotionEvent.from_fields(EMOTION.to_fields(), "5-1")
    assert read.id == "5-1"
    assert "id" not in read.to_fields()
    assert read.to_json()["id"] == "5-1"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"schema": b"2"}, UnknownSchemaError, "schema b'2', this reader knows 1; upgrade"),
        ({"valence": None}, SchemaError, "lacks valence"),
        ({"valence": b"much"}, SchemaError, "cannot be read"),
        ({"valence": b"1.5"}, SchemaError, "must be in -1..1"),
        ({"valence": b"nan"}, SchemaError, "must be in -1..1"),
        ({"schema": None}, SchemaError, "schema None"),
    ],
)
def test_unreadable_entries_are_told(change: dict[str, bytes | None], error: type[Exception], message: str) -> None:
    damaged = {name: value for name, value in {**EMOTION.to_fields(), **change}.items() if value is not None}
    with pytest.raises(error, match=message):
        EmotionEvent.from_fields(damaged, "5-0")


def test_array_of_the_wrong_length_is_refused_when_written_and_when_read() -> None:
    with pytest.raises(SchemaError, match="pose"):
        replace(FLAME, pose=(1.0, 2.0)).to_fields()
    with pytest.raises(SchemaError, match="cannot be read"):
        FlameEvent.from_fields({**FLAME.to_fields(), "pose": b"1234"})


def test_keys() -> None:
    assert schema.emotion_key("flamestream", "cam") == "flamestream:cam:emotion"
    assert schema.flame_key("flamestream", "cam") == "flamestream:cam:flame"
    assert schema.status_key("flamestream") == "flamestream:status"
    assert schema.sources_key("flamestream") == "flamestream:sources"
