"""Finds and follows the faces of many sources: networks batched over faces and sources, one tracker a source."""

import functools
import itertools
from collections.abc import Sequence

import numpy as np

from models import blaze_face, face_mesh
from models.face_engines import FaceEngines
from models.geometry import Float64Array, regions_to_frame
from models.sampler import CpuSampler, Sampler
from models.spec import FloatArray
from stream.faces.track import Tracker
from stream.frame import Frame, FrameStamp, Pixels, TrackedFace

Seen = tuple[FloatArray, FloatArray, Float64Array]
"""Landmarks [R, 478, 3] in frame pixels, presence [R], and regions [R, 5] to look at in the next frame."""

NOTHING: Seen = (np.empty((0, face_mesh.LANDMARKS, 3), np.float32), np.empty(0, np.float32), np.empty((0, 5)))


class FaceFinder:
    """Finds the faces of frames and follows them. Holds the memory of every source; used by one thread."""

    def __init__(
        self,
        engines: FaceEngines,
        sampler: Sampler | None = None,
        *,
        max_faces: int = 10,
        detect_every_s: float = 0.5,
        min_detection: float = blaze_face.MIN_SCORE,
        min_presence: float = face_mesh.MIN_PRESENCE,
        max_gap_s: float = 1.0,
    ) -> None:
        """`sampler`: reads the frames' pixels, on the device where they are; by default the CPU's.

        `min_detection`: least detector score of a new face; the others are those of `Tracker`.
        """
        self._engines = engines
        self.sampler: Sampler = sampler or CpuSampler()
        self._min_detection = min_detection
        self._new_tracker = functools.partial(
            Tracker,
            max_faces=max_faces,
            detect_every_s=detect_every_s,
            min_presence=min_presence,
            max_gap_s=max_gap_s,
        )
        self._trackers: dict[str, Tracker] = {}

    def find(self, frames: Sequence[Frame]) -> list[list[TrackedFace]]:
        """The faces of each frame, oldest track first.

        Frames are of different sources, and each source's come in order. What is found in one never depends on the
        others. Raises ValueError for two frames of one source.
        """
        sources = [frame.stamp.source for frame in frames]
        if len(set(sources)) < len(sources):
            raise ValueError(f"frames of {sources}: at most one of each source, in calls of their own")
        for source in sources:
            if source not in self._trackers:
                self._trackers[source] = self._new_tracker()
        return self._find(frames, [self._trackers[source] for source in sources])

    def find_in_image(self, rgb: Pixels) -> list[TrackedFace]:
        """The faces of a single picture, best detection first; nothing is remembered."""
        height, width = rgb.shape[:2]
        stamp = FrameStamp("image", epoch=0, seq=0, pts_s=0.0, captured_ms=0, width=width, height=height)
        return self._find([Frame(stamp, rgb)], [self._new_tracker()])[0]

    def end(self, source: str) -> None:
        """Forgets a source. Its track numbers begin again if it ever comes back."""
        self._trackers.pop(source, None)

    def _find(self, frames: Sequence[Frame], trackers: Sequence[Tracker]) -> list[list[TrackedFace]]:
        self._follow(frames, trackers)
        self._look_for_new(frames, trackers)
        return [
            [TrackedFace(track.number, track.is_new, track.presence, track.landmarks) for track in tracker.tracks]
            for tracker in trackers
        ]

    def _follow(self, frames: Sequence[Frame], trackers: Sequence[Tracker]) -> None:
        regions = [tracker.start(frame.stamp) for frame, tracker in zip(frames, trackers, strict=True)]
        for tracker, seen in zip(trackers, self._see(frames, regions), strict=True):
            tracker.follow(*seen)

    def _look_for_new(self, frames: Sequence[Frame], trackers: Sequence[Tracker]) -> None:
        looking = [
            (frame, tracker) for frame, tracker in zip(frames, trackers, strict=True) if tracker.wants_detector()
        ]
        detected = self._detect([frame for frame, _ in looking])
        regions = [tracker.unknown(found) for (_, tracker), found in zip(looking, detected, strict=True)]
        for (_, tracker), seen in zip(looking, self._see([frame for frame, _ in looking], regions), strict=True):
            tracker.admit(*seen)

    def _detect(self, frames: Sequence[Frame]) -> list[Float64Array]:
        """Regions [D, 5] of the faces in each frame, best first."""
        if not frames:
            return []
        pixels = self.sampler.letterboxes([frame.rgb for frame in frames], blaze_face.INPUT_SIZE)
        boxes, scores = self._engines.detector(pixels)
        return [
            blaze_face.detection_regions(
                blaze_face.decode(boxes[i], scores[i], frame.stamp.width, frame.stamp.height, self._min_detection)
            )
            for i, frame in enumerate(frames)
        ]

    def _see(self, frames: Sequence[Frame], regions: Sequence[Float64Array]) -> list[Seen]:
        """What the landmark network sees in the regions [R, 5] of each frame."""
        ends = list(itertools.accumulate(len(of_frame) for of_frame in regions))
        if not ends or ends[-1] == 0:
            return [NOTHING] * len(frames)
        pixels = self.sampler.regions([frame.rgb for frame in frames], regions, face_mesh.INPUT_SIZE)
        points, presence = self._engines.landmarks(pixels)
        landmarks = regions_to_frame(points, np.concatenate(regions))
        next_regions = face_mesh.landmark_regions(landmarks)  # of all faces together: NumPy's cost is by the call
        return [
            (landmarks[start:end], presence[start:end], next_regions[start:end])
            for start, end in itertools.pairwise([0, *ends])
        ]
