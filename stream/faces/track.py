"""Follows the faces of one source from frame to frame by their landmarks, as MediaPipe's VIDEO mode does.

Only bookkeeping: which regions to look at, which faces are the same, when the detector is needed. It never sees pixels,
and everything it decides follows from the source's own time stamps, never from the clock or from other sources.
"""

from dataclasses import dataclass

import numpy as np

from models.face_mesh import MIN_PRESENCE
from models.geometry import Float64Array, bounding_boxes, overlap, region_boxes
from models.spec import FloatArray
from stream.frame import FrameStamp

SAME_FACE = 0.5
"""Boxes that overlap (intersection over union) by more than this belong to one face: MediaPipe's own figure."""
NO_REGIONS: Float64Array = np.empty((0, 5))


@dataclass(slots=True)
class Track:
    """A face that is being followed, as seen in the newest frame."""

    number: int
    landmarks: FloatArray  # [478, 3] frame pixels
    region: Float64Array  # [5] where to look for it in the next frame
    presence: float  # 0..1
    is_new: bool


class Tracker:
    """The followed faces of one source.

    For each frame: `start`, `follow`, and if `wants_detector` then `unknown` and `admit`.
    """

    def __init__(
        self,
        *,
        max_faces: int = 10,
        detect_every_s: float = 0.5,
        min_presence: float = MIN_PRESENCE,
        max_gap_s: float = 1.0,
    ) -> None:
        """`detect_every_s`: how often to look for new faces while others are followed, seconds of the source's time.

        `max_gap_s`: after a longer pause between two frames, nobody is assumed to be where they were.
        """
        self.max_faces = max_faces
        self.detect_every_s = detect_every_s
        self.min_presence = min_presence
        self.max_gap_s = max_gap_s
        self.tracks: list[Track] = []  # oldest first
        self._next_number = 1
        self._stamp: FrameStamp | None = None
        self._looked_s = 0.0
        self._lost_one = False

    def start(self, stamp: FrameStamp) -> Float64Array:
        """Regions [T, 5] of a new frame in which to look for the followed faces, one per track."""
        if self._stamp is not None and self._is_break(self._stamp, stamp):
            self.tracks = []
        self._stamp = stamp
        self._lost_one = False
        if not self.tracks:
            return NO_REGIONS
        return np.stack([track.region for track in self.tracks])

    def follow(self, landmarks: FloatArray, presence: FloatArray, regions: Float64Array) -> None:
        """Takes what the landmark network saw in the regions of `start`: [T, 478, 3], [T], and `landmark_regions`.

        A face below `min_presence` is lost, and so is the younger of two tracks that have come to follow one face.
        """
        for track, points, present, region in zip(self.tracks, landmarks, presence.tolist(), regions, strict=True):
            track.landmarks, track.region, track.presence, track.is_new = points, region, present, False
        before = len(self.tracks)
        self.tracks = self._distinct([track for track in self.tracks if track.presence >= self.min_presence])
        self._lost_one = len(self.tracks) < before

    def wants_detector(self) -> bool:
        """Whether this frame must be searched: nobody is followed, someone was just lost, or it is time to look."""
        if len(self.tracks) >= self.max_faces:
            return False
        return not self.tracks or self._lost_one or self._pts_s - self._looked_s >= self.detect_every_s

    def unknown(self, regions: Float64Array) -> Float64Array:
        """Of the detector's regions [D, 5], best first, those where nobody is followed yet, as many as may be."""
        self._looked_s = self._pts_s
        if self.tracks and len(regions):
            known = np.stack([track.region for track in self.tracks])
            regions = regions[overlap(region_boxes(regions), region_boxes(known)).max(axis=1) <= SAME_FACE]
        return regions[: self.max_faces - len(self.tracks)]

    def admit(self, landmarks: FloatArray, presence: FloatArray, regions: Float64Array) -> None:
        """Begins tracks for what the landmark network saw in the regions of `unknown`; arguments as in `follow`."""
        for points, present, region in zip(landmarks, presence.tolist(), regions, strict=True):
            if present < self.min_presence:
                continue
            newcomer = Track(self._next_number, points, region, present, is_new=True)
            if len(self._distinct([*self.tracks, newcomer])) > len(self.tracks):
                self.tracks.append(newcomer)
                self._next_number += 1

    def _is_break(self, last: FrameStamp, stamp: FrameStamp) -> bool:
        """Whether the faces of the last frame say nothing about this one."""
        return (
            stamp.epoch != last.epoch
            or not 0 < stamp.pts_s - last.pts_s <= self.max_gap_s
            or (stamp.width, stamp.height) != (last.width, last.height)
        )

    def _distinct(self, tracks: list[Track]) -> list[Track]:
        """The tracks without those that follow the face of an older one."""
        if len(tracks) < 2:
            return tracks
        boxes = bounding_boxes(np.stack([track.landmarks for track in tracks]))
        same = overlap(boxes, boxes) > SAME_FACE
        kept: list[int] = []
        for index in range(len(tracks)):
            if not same[index, kept].any():
                kept.append(index)
        return [tracks[index] for index in kept]

    @property
    def _pts_s(self) -> float:
        assert self._stamp is not None  # `start` comes first in every frame
        return self._stamp.pts_s
