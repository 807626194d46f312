"""From an analysed frame to the events that are published about it."""

import math
import secrets
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.errors import EngineError
from models.face_model import AffectHead, FaceModel
from models.spec import FloatArray
from stream.emit.schema import EmotionEvent, FlameEvent, StatusEvent
from stream.emit.smooth import SmoothedFace, Smoother, SmoothingSettings
from stream.frame import AnalysedFace, AnalysedFrame, FrameStamp

SHAPE_TOLERANCE = 1e-3
"""A shape is sent again when a coefficient moved by more than this."""

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
    def of(cls, face_model: FaceModel, head: AffectHead) -> Self:
        """The names and hashes of a face model and an affect head."""
        return cls(face_model.name, face_model.model_hash, head.name, head.model_hash, face_model.basis)


@dataclass(slots=True)
class SentShape:
    """The shape that a track's subscribers know."""

    shape: FloatArray  # [300]
    stamp: FrameStamp

    def holds(self, shape: FloatArray, stamp: FrameStamp) -> bool:
        """Whether it may still stand for `shape`."""
        return (
            stamp.epoch == self.stamp.epoch
            and stamp.pts_s - self.stamp.pts_s < SHAPE_EVERY_S
            and float(np.abs(shape - self.shape).max()) <= SHAPE_TOLERANCE
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
        self._shapes: dict[tuple[str, int], SentShape] = {}

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
        reason = f"not seen until {stamp.pts_s:.3f} s"
        return FrameEvents(
            stamp,
            tuple(self._emotion(stamp, face, smooth) for face, smooth in faces),
            tuple(self._flame(stamp, face, smooth) for face, smooth in faces),
            tuple(self._track_ended(stamp.source, t.track, t.epoch, stamp.captured_ms, reason) for t in ended),
        )

    def end_source(self, source: str, at_ms: int) -> tuple[StatusEvent, ...]:
        """A `track_ended` for every face that was still followed, when its source ends or fails."""
        ended = self._smoother.end_source(source)
        for gone in ended:
            self._shapes.pop((source, gone.track), None)
        return tuple(self._track_ended(source, t.track, t.epoch, at_ms, "the source ended") for t in ended)

    def _check(self, stamp: FrameStamp, face: AnalysedFace) -> None:
        finite = math.isfinite(face.affect.valence) and math.isfinite(face.affect.arousal)
        params = face.params
        arrays = (params.expression, params.pose, params.jaw, params.eyelids, params.camera, params.shape)
        if not (finite and all(bool(np.isfinite(array).all()) for array in arrays)):
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
        sent = self._shapes.get(key)
        if sent is not None and not face.face.is_new and sent.holds(face.params.shape, stamp):
            return None
        self._shapes[key] = SentShape(face.params.shape.copy(), stamp)
        return _floats(face.params.shape)

    def _track_ended(self, source: str, track: int, epoch: int, at_ms: int, reason: str) -> StatusEvent:
        return StatusEvent(
            source=source, run=self.run, state="track_ended", reason=reason, at_ms=at_ms, track=track, epoch=epoch
        )


def _floats(array: FloatArray) -> tuple[float, ...]:
    return tuple(array.tolist())
