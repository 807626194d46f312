"""From an analysed frame to the events that are published about it."""

import math
import secrets
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.emotion import EMOTIONS
from models.errors import EngineError
from models.face_reader import FaceReader
from models.spec import FLAME_LAYOUT, Affect, FloatArray
from stream.emit.schema import EmotionEvent, FlameEvent, StatusEvent
from stream.emit.smooth import EndedTrack, SmoothedFace, Smoother, SmoothingSettings
from stream.frame import AnalysedFace, AnalysedFrame, FrameStamp

SHAPE_TOLERANCE = 0.05
"""A track's shape is sent again when a coefficient of its mean moved by more than this. Coefficients are in standard
deviations of people; a twentieth of one moves no vertex by more than a fraction of a millimetre."""

SHAPE_EVERY_S = 10.0
"""A shape is sent again after this long at the latest, so that trimming a bounded stream, or a server that restarts
empty, cannot take it from late subscribers for longer. 1.2 kB in 10 s is under 1 % of the stream."""


@dataclass(frozen=True, slots=True)
class FrameEvents:
    """Everything that is published about one frame: one emotion and one flame event per face, in order."""

    stamp: FrameStamp
    emotion: tuple[EmotionEvent, ...]
    flame: tuple[FlameEvent, ...]
    status: tuple[StatusEvent, ...]
    """Tracks that this frame shows to have ended. For `Sink.status`: `Sink.put` leaves them out."""

    def __post_init__(self) -> None:
        if len(self.emotion) != len(self.flame):
            raise ValueError(f"frame has {len(self.emotion)} emotion events but {len(self.flame)} flame events")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What computed the values: named in every event."""

    model: str
    model_hash: str
    head: str
    head_hash: str
    basis: str

    @classmethod
    def of(cls, reader: FaceReader) -> Self:
        """The names and hashes of what reads faces."""
        face_model, head = reader.face_model, reader.head
        return cls(face_model.name, face_model.model_hash, head.name, head.model_hash, face_model.basis)


class TrackShape:
    """The shape of one followed person: the mean over the track, since a skull does not change between frames.

    Encoders such as SMIRK give every frame a shape of its own, whose noise is no news to a subscriber.
    """

    def __init__(self) -> None:
        self._sum = np.zeros(FLAME_LAYOUT["shape"])
        self._count = 0
        self._sent: FloatArray | None = None
        self._sent_at: FrameStamp | None = None

    def add(self, shape: FloatArray, stamp: FrameStamp) -> FloatArray | None:
        """Take the shape [300] of one more frame; the mean, if subscribers must be told of it."""
        self._sum += shape
        self._count += 1
        mean = (self._sum / self._count).astype(np.float32)
        if self._still_known(mean, stamp):
            return None
        self._sent, self._sent_at = mean, stamp
        return mean

    def _still_known(self, mean: FloatArray, stamp: FrameStamp) -> bool:
        if self._sent is None or self._sent_at is None:
            return False
        return (
            stamp.epoch == self._sent_at.epoch
            and stamp.pts_s - self._sent_at.pts_s < SHAPE_EVERY_S
            and float(np.abs(mean - self._sent).max()) <= SHAPE_TOLERANCE
        )


def new_run_id() -> str:
    """Eight random hex digits that tell one run of the program from another."""
    return secrets.token_hex(4)


class EventMaker:
    """Turns analysed frames into events. One thread uses it; the same frames always give the same events."""

    def __init__(self, provenance: Provenance, settings: SmoothingSettings, run: str) -> None:
        self.provenance = provenance
        self.run = run
        self._smoother = Smoother(settings)
        self._shapes: dict[tuple[str, int], TrackShape] = {}

    def frame(self, analysed: AnalysedFrame) -> FrameEvents:
        """The events of one frame; frames without faces must come too, for they end tracks.

        Raises EngineError when a network gave a value that is not a number.
        """
        stamp = analysed.stamp
        for face in analysed.faces:
            self._check(stamp, face)
        smoothed, ended = self._smoother.smooth(analysed)
        faces = list(zip(analysed.faces, smoothed, strict=True))
        for gone in ended:
            self._shapes.pop((stamp.source, gone.track), None)
        return FrameEvents(
            stamp,
            tuple(self._emotion(stamp, face, smooth) for face, smooth in faces),
            tuple(self._flame(stamp, face, smooth) for face, smooth in faces),
            tuple(self._track_ended(stamp.source, t.track, t.epoch, stamp.captured_ms, _why(stamp, t)) for t in ended),
        )

    def end_source(self, source: str, at_ms: int) -> tuple[StatusEvent, ...]:
        """A `track_ended` for every face that was still followed, when its source ends or fails."""
        ended = self._smoother.end_source(source)
        for gone in ended:
            self._shapes.pop((source, gone.track), None)
        return tuple(self._track_ended(source, t.track, t.epoch, at_ms, "the source ended") for t in ended)

    def _check(self, stamp: FrameStamp, face: AnalysedFace) -> None:
        params = face.params
        arrays = (params.expression, params.pose, params.jaw, params.eyelids, params.camera, params.shape)
        # One sum tells as much as looking at each number: float32 numbers cannot add up to infinity in float64.
        total = face.affect.valence + face.affect.arousal + float(np.concatenate(arrays, dtype=np.float64).sum())
        total += sum(face.affect.emotions or ())
        if not math.isfinite(total):
            raise EngineError(
                f"frame {stamp.seq} of {stamp.source}, track {face.face.track}: {self.provenance.model} or "
                f"{self.provenance.head} gave a value that is not a number; try the reference engine, --engine torch"
            )

    def _emotion(self, stamp: FrameStamp, face: AnalysedFace, smooth: SmoothedFace) -> EmotionEvent:
        origin = self.provenance
        return EmotionEvent(
            source=stamp.source,
            run=self.run,
            epoch=stamp.epoch,
            seq=stamp.seq,
            pts_s=stamp.pts_s,
            captured_ms=stamp.captured_ms,
            track=face.face.track,
            valence=smooth.affect.valence,
            arousal=smooth.affect.arousal,
            valence_raw=face.affect.valence,
            arousal_raw=face.affect.arousal,
            confidence=face.face.presence,
            model=origin.model,
            model_hash=origin.model_hash,
            basis=origin.basis,
            head=origin.head,
            head_hash=origin.head_hash,
            emotion=_most_probable(smooth.affect),
            emotions=_named(smooth.affect),
            emotions_raw=_named(face.affect),
        )

    def _flame(self, stamp: FrameStamp, face: AnalysedFace, smooth: SmoothedFace) -> FlameEvent:
        origin, params = self.provenance, face.params
        crop_x, crop_y, crop_side = face.crop_box
        return FlameEvent(
            source=stamp.source,
            run=self.run,
            epoch=stamp.epoch,
            seq=stamp.seq,
            pts_s=stamp.pts_s,
            captured_ms=stamp.captured_ms,
            track=face.face.track,
            confidence=face.face.presence,
            model=origin.model,
            model_hash=origin.model_hash,
            basis=origin.basis,
            width=stamp.width,
            height=stamp.height,
            crop_x=crop_x,
            crop_y=crop_y,
            crop_side=crop_side,
            expression=_floats(smooth.expression),
            pose=_floats(smooth.pose),
            jaw=_floats(smooth.jaw),
            eyelids=_floats(params.eyelids),
            camera=_floats(smooth.camera),
            expression_raw=_floats(params.expression),
            pose_raw=_floats(params.pose),
            jaw_raw=_floats(params.jaw),
            camera_raw=_floats(params.camera),
            shape=self._shape_to_send(stamp, face),
        )

    def _shape_to_send(self, stamp: FrameStamp, face: AnalysedFace) -> tuple[float, ...] | None:
        key = (stamp.source, face.face.track)
        if face.face.is_new:
            self._shapes.pop(key, None)
        mean = self._shapes.setdefault(key, TrackShape()).add(face.params.shape, stamp)
        return None if mean is None else _floats(mean)

    def _track_ended(self, source: str, track: int, epoch: int, at_ms: int, reason: str) -> StatusEvent:
        return StatusEvent(
            source=source, run=self.run, state="track_ended", reason=reason, at_ms=at_ms, track=track, epoch=epoch
        )


def _why(stamp: FrameStamp, ended: EndedTrack) -> str:
    if ended.epoch != stamp.epoch:
        return f"epoch {stamp.epoch} of the source began"
    return f"no longer seen at {stamp.pts_s:.3f} s"


def _floats(array: FloatArray) -> tuple[float, ...]:
    return tuple(array.tolist())


def _named(affect: Affect) -> dict[str, float] | None:
    return None if affect.emotions is None else dict(zip(EMOTIONS, affect.emotions, strict=True))


def _most_probable(affect: Affect) -> str | None:
    return None if affect.emotions is None else EMOTIONS[affect.emotions.index(max(affect.emotions))]
