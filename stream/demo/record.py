"""What the demo remembers of a run, to draw it afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from models.spec import Affect, FloatArray
from stream.emit.schema import EmotionEvent
from stream.frame import AnalysedFrame


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face as it was published, with its landmarks."""

    track: int
    crop_box: tuple[float, float, float]
    landmarks: FloatArray  # [478, 3] frame pixels
    raw: Affect
    smoothed: Affect


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """One analysed frame of the clip."""

    seq: int
    pts_s: float
    faces: tuple[SeenFace, ...]


@dataclass
class Recording:
    """Every analysed frame of a run, in order. An observer of the pipeline."""

    frames: list[SeenFrame] = field(default_factory=list)

    def __call__(self, analysed: AnalysedFrame, published: Sequence[EmotionEvent]) -> None:
        """Remember one frame and what was published about it."""
        faces = tuple(
            SeenFace(
                track=face.face.track,
                crop_box=face.crop_box,
                landmarks=face.face.landmarks,
                raw=Affect(event.valence_raw, event.arousal_raw),
                smoothed=Affect(event.valence, event.arousal),
            )
            for face, event in zip(analysed.faces, published, strict=True)
        )
        self.frames.append(SeenFrame(analysed.stamp.seq, analysed.stamp.pts_s, faces))
