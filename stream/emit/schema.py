"""Schema version 1 of what flamestream publishes. Standard library only, so that a reader can borrow it with codec.py.

Streams, P being the prefix (`flamestream` unless told otherwise) and S a source:

    P:S:emotion    EmotionEvent, one entry per face and frame; every field is text that redis-cli can read
    P:S:flame      FlameEvent, one entry per face and frame; arrays are little-endian float32 bytes
    P:status       StatusEvent of every source
    P:sources      a set: the sources that have ever published here

Entry ids are `<captured ms>-<n>`, so XRANGE by id selects by capture time.

Compatibility: within a schema version fields are added, never removed, and never change meaning. A reader ignores
fields it does not know and refuses a version it does not know. Times are ms since 1970 where the name ends in `_ms`,
seconds where it ends in `_s`. Real numbers are text with six decimals (read back within 5e-7). The JSON form is
described by schema_v1.json; there arrays are lists whose numbers read back to the same float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from stream.emit.codec import COUNTS, INTEGER, REAL, SHARES, TEXT, Codec, Event, SchemaError, vector

DEFAULT_PREFIX = "flamestream"

STATES = ("connecting", "online", "reconnecting", "ended", "failed", "gap", "track_ended")
"""What a StatusEvent can say; a reader must accept others."""


def emotion_key(prefix: str, source: str) -> str:
    """Stream of a source's emotion events."""
    return f"{prefix}:{source}:emotion"


def flame_key(prefix: str, source: str) -> str:
    """Stream of a source's FLAME events."""
    return f"{prefix}:{source}:flame"


def status_key(prefix: str) -> str:
    """Stream of the status events of every source."""
    return f"{prefix}:status"


def sources_key(prefix: str) -> str:
    """Set of the sources that have ever published."""
    return f"{prefix}:sources"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceEvent(Event):
    """The header of everything that is said of one face in one frame; `source, run, seq, track` is unique."""

    HEADER: ClassVar[dict[str, Codec]] = {
        **dict.fromkeys(("source", "run"), TEXT),
        **dict.fromkeys(("epoch", "seq"), INTEGER),
        "pts_s": REAL,
        **dict.fromkeys(("captured_ms", "published_ms", "track"), INTEGER),
    }
    ORIGIN: ClassVar[dict[str, Codec]] = {"confidence": REAL, **dict.fromkeys(("model", "model_hash", "basis"), TEXT)}

    source: str
    run: str
    """Eight hex digits, new in each run of the program."""
    epoch: int
    """0, then one more at each discontinuity of the source."""
    seq: int
    """Number of the frame within source and run; numbers of frames without a face, and of dropped ones, are missing."""
    pts_s: float
    """Presentation time in the source's clock; increases within an epoch."""
    captured_ms: int
    """Wall clock of the capture."""
    published_ms: int = 0
    """Wall clock when the event was first sent to the server; 0 before."""
    track: int
    """Which face: stable while it is followed, never used again within source and run."""
    confidence: float
    """The landmark network's confidence that this is a face, 0..1."""
    model: str
    """Name of the face model."""
    model_hash: str
    """First 12 hex digits of the sha256 of its weights."""
    basis: str
    """What the FLAME coefficients of the face multiply: `open` or `flame2020`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionEvent(FaceEvent):
    """Valence-arousal of one face in one frame, on Russell's circumplex."""

    KIND: ClassVar[str] = "emotion"
    FIELDS: ClassVar[dict[str, Codec]] = {
        **FaceEvent.HEADER,
        **dict.fromkeys(("valence", "arousal", "valence_raw", "arousal_raw"), REAL),
        **FaceEvent.ORIGIN,
        **dict.fromkeys(("head", "head_hash", "emotion"), TEXT),
        **dict.fromkeys(("emotions", "emotions_raw"), SHARES),
    }
    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"emotion", "emotions", "emotions_raw"})

    valence: float
    """Smoothed; -1 unpleasant .. 1 pleasant."""
    arousal: float
    """Smoothed; -1 calm .. 1 excited."""
    valence_raw: float
    """Of this frame alone."""
    arousal_raw: float
    """Of this frame alone."""
    head: str
    """Name of the affect head."""
    head_hash: str
    """First 12 hex digits of the sha256 of its weights."""
    emotion: str | None = None
    """With a head that tells classes: the most probable one, smoothed."""
    emotions: Mapping[str, float] | None = None
    """Likewise: the probability of each class, 0..1 and 1 in all, smoothed."""
    emotions_raw: Mapping[str, float] | None = None
    """Of this frame alone."""

    def __post_init__(self) -> None:
        affect = (self.valence, self.arousal, self.valence_raw, self.arousal_raw)
        if not (all(-1 <= value <= 1 for value in affect) and 0 <= self.confidence <= 1):
            raise SchemaError(
                f"frame {self.seq} of {self.source}, track {self.track}: valence-arousal {affect} must be in -1..1 "
                f"and confidence {self.confidence} in 0..1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlameEvent(FaceEvent):
    """FLAME parameters of one face in one frame; the arrays are those of models.spec.FlameParams.

    `eyelids` are not smoothed: a blink lasts a few frames. To draw on the frame itself use the `_raw` arrays, since
    `camera_raw` belongs to this very crop box; the smoothed ones are for driving a head.
    """

    KIND: ClassVar[str] = "flame"
    FIELDS: ClassVar[dict[str, Codec]] = {
        **FaceEvent.HEADER,
        **FaceEvent.ORIGIN,
        **dict.fromkeys(("width", "height"), INTEGER),
        **dict.fromkeys(("crop_x", "crop_y", "crop_side"), REAL),
        "expression": vector(50),
        **dict.fromkeys(("pose", "jaw"), vector(3)),
        "eyelids": vector(2),
        "camera": vector(3),
        "expression_raw": vector(50),
        **dict.fromkeys(("pose_raw", "jaw_raw", "camera_raw"), vector(3)),
        "shape": vector(300),
        "shape_ref": TEXT,
    }
    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"shape", "shape_ref"})

    width: int
    """Of the frame, pixels."""
    height: int
    crop_x: float
    """Centre of the crop's square, frame pixels."""
    crop_y: float
    crop_side: float
    expression: tuple[float, ...]  # [50]
    pose: tuple[float, ...]  # [3]
    jaw: tuple[float, ...]  # [3]
    eyelids: tuple[float, ...]  # [2]
    camera: tuple[float, ...]  # [3]
    expression_raw: tuple[float, ...]  # [50]
    pose_raw: tuple[float, ...]  # [3]
    jaw_raw: tuple[float, ...]  # [3]
    camera_raw: tuple[float, ...]  # [3]
    shape: tuple[float, ...] | None = None  # [300]
    """Present on the first frame of a track, when it changes, and every few seconds."""
    shape_ref: str | None = None
    """Id of the entry of this stream that carries the shape in force: this entry's own id when it has `shape`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEvent(Event):
    """A source changed state, frames were lost, or a face went away."""

    KIND: ClassVar[str] = "status"
    FIELDS: ClassVar[dict[str, Codec]] = {
        **dict.fromkeys(("source", "run", "state", "reason"), TEXT),
        **dict.fromkeys(("at_ms", "epoch", "track", "received", "published", "no_face"), INTEGER),
        "dropped": COUNTS,
    }
    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"epoch", "track", "received", "published", "no_face", "dropped"})

    source: str
    run: str
    state: str
    """One of STATES."""
    reason: str
    """For people; never holds a password."""
    at_ms: int
    epoch: int | None = None
    """With `track_ended`: the epoch in which the face was last seen."""
    track: int | None = None
    """With `track_ended`: which face. Should the same face be found again its events go on under the same track."""
    received: int | None = None
    """With `ended` and `failed`: frames in all = published + no_face + the sum of dropped."""
    published: int | None = None
    """Frames with a face whose every entry was acknowledged."""
    no_face: int | None = None
    dropped: Mapping[str, int] | None = None
    """Frames given up, by reason; with `gap`: those of the gap."""
