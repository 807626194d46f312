"""The tracker's bookkeeping, with faces made of points."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.face_mesh import LEFT_EYE_CORNER, RIGHT_EYE_CORNER, landmark_regions
from models.geometry import Float64Array
from models.spec import FloatArray
from stream.faces.track import Tracker
from stream.frame import FrameStamp

STAMP = FrameStamp("cam", epoch=0, seq=0, pts_s=0.0, captured_ms=0, width=1000, height=1000)


def seen(*faces: FloatArray, presence: float = 0.9) -> tuple[FloatArray, FloatArray, Float64Array]:
    """What `follow` and `admit` take, for these faces."""
    landmarks = np.stack(faces) if faces else np.empty((0, 478, 3), np.float32)
    return landmarks, np.full(len(faces), presence, np.float32), landmark_regions(landmarks)


def face(x: float, y: float = 500.0, side: float = 100.0) -> FloatArray:
    """Landmarks [478, 3] of an upright face centred there."""
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (478, 3)).astype(np.float32)
    points[0], points[1] = (-0.5, -0.5, 0), (0.5, 0.5, 0)
    points[RIGHT_EYE_CORNER], points[LEFT_EYE_CORNER] = (-0.3, -0.1, 0), (0.3, -0.1, 0)
    return points * np.float32(side) + np.array([x, y, 0], np.float32)


class Scene:
    """A tracker, and faces to be found where they really are."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.searches = 0

    def show(self, pts_s: float, *faces: FloatArray, epoch: int = 0, width: int = 1000) -> list[int]:
        """Passes a frame with these faces through the tracker; the numbers of its tracks."""
        regions = self.tracker.start(replace(STAMP, pts_s=pts_s, epoch=epoch, width=width))
        self.tracker.follow(*self._see(regions, faces))
        if self.tracker.wants_detector():
            self.searches += 1
            found = landmark_regions(np.stack(faces)) if faces else np.empty((0, 5))
            self.tracker.admit(*self._see(self.tracker.unknown(found), faces))
        return [track.number for track in self.tracker.tracks]

    def _see(self, regions: Float64Array, faces: tuple[FloatArray, ...]) -> tuple[FloatArray, FloatArray, Float64Array]:
        """What a perfect landmark network sees: in each region the nearest face whose centre it holds."""
        landmarks = np.zeros((len(regions), 478, 3), np.float32)
        presence = np.zeros(len(regions), np.float32)
        for index, region in enumerate(regions):
            distances = [np.abs(points[:, :2].mean(axis=0) - region[:2]).max() for points in faces]
            if distances and min(distances) < region[2] / 2:
                landmarks[index] = faces[int(np.argmin(distances))]
                presence[index] = 0.9
        return landmarks, presence, landmark_regions(landmarks)


@pytest.fixture
def scene() -> Scene:
    return Scene(Tracker())


def test_a_face_keeps_its_number_and_is_new_once(scene: Scene) -> None:
    new = []
    for index in range(10):
        assert scene.show(index / 25, face(300 + 20 * index)) == [1]
        new.append(scene.tracker.tracks[0].is_new)
    assert new == [True] + [False] * 9
    assert scene.searches == 1


def test_faces_keep_their_numbers_when_others_come_and_go(scene: Scene) -> None:
    left, right = face(200), face(700)
    assert scene.show(0.0, left) == [1]
    assert scene.show(0.1, left, right) == [1]  # not looked for yet
    assert scene.show(0.5, left, right) == [1, 2]
    assert scene.show(0.6, right) == [2]
    assert scene.show(0.7, left, right) == [2]
    assert scene.show(1.2, left, right) == [2, 3]  # who was lost is somebody new
    assert [track.is_new for track in scene.tracker.tracks] == [False, True]


def test_an_empty_scene_is_searched_in_every_frame(scene: Scene) -> None:
    for index in range(5):
        assert scene.show(index / 25) == []
    assert scene.searches == 5
    assert scene.show(0.3, face(500)) == [1]


def test_a_followed_scene_is_searched_by_its_own_clock(scene: Scene) -> None:
    frames = 100
    for index in range(frames):
        scene.show(index / 8, face(500))  # eighths are exact
    assert scene.searches == frames / 4


def test_a_lost_face_is_looked_for_at_once_and_only_once(scene: Scene) -> None:
    scene.show(0.0, face(200), face(700))
    assert scene.searches == 1
    assert scene.show(0.04, face(700)) == [2]
    assert scene.searches == 2
    scene.show(0.08, face(700))
    assert scene.searches == 2


def test_a_face_that_jumps_is_found_again_in_the_same_frame(scene: Scene) -> None:
    scene.show(0.0, face(200))
    assert scene.show(0.04, face(700)) == [2]


def test_a_full_tracker_is_not_searched_and_takes_the_best(scene: Scene) -> None:
    scene.tracker.max_faces = 2
    faces = [face(150), face(450), face(750)]
    assert scene.show(0.0, *faces) == [1, 2]
    assert scene.show(2.0 / 3, *faces) == [1, 2]
    assert scene.searches == 1
    assert scene.show(0.7, faces[0], faces[2]) == [1, 3]


def test_two_tracks_on_one_face_become_the_older_and_the_other_face_is_looked_for(scene: Scene) -> None:
    scene.show(0.0, face(300), face(600))
    scene.tracker.start(replace(STAMP, pts_s=0.04))
    scene.tracker.follow(*seen(face(310), face(325)))
    assert [track.number for track in scene.tracker.tracks] == [1]
    assert scene.tracker.wants_detector()


def test_a_followed_face_is_not_admitted_again(scene: Scene) -> None:
    scene.show(0.0, face(300))
    scene.tracker.start(replace(STAMP, pts_s=0.6))
    scene.tracker.follow(*seen(face(300)))
    assert scene.tracker.wants_detector()
    detector_sees = landmark_regions(np.stack([face(310, side=90), face(800)]))
    assert len(scene.tracker.unknown(detector_sees)) == 1
    # Even if a region seems new, landmarks on a known face do not begin a track.
    scene.tracker.admit(*seen(face(305), face(800)))
    assert [track.number for track in scene.tracker.tracks] == [1, 2]


def test_what_is_no_face_is_not_admitted(scene: Scene) -> None:
    scene.tracker.start(STAMP)
    scene.tracker.follow(*seen())
    scene.tracker.unknown(landmark_regions(face(300)[None]))
    scene.tracker.admit(*seen(face(300), presence=0.49))
    assert scene.tracker.tracks == []


@pytest.mark.parametrize(
    ("pts_s", "epoch", "width"),
    [(0.04, 1, 1000), (1.1, 0, 1000), (0.0, 0, 1000), (-3.0, 0, 1000), (0.04, 0, 640)],
    ids=["new epoch", "gap", "same time", "backwards", "new size"],
)
def test_a_break_in_the_source_ends_every_track(scene: Scene, pts_s: float, epoch: int, width: int) -> None:
    scene.show(0.0, face(300))
    assert scene.show(pts_s, face(300), epoch=epoch, width=width) == [2]
    assert scene.tracker.tracks[0].is_new


def test_a_pause_within_the_limit_ends_nothing(scene: Scene) -> None:
    scene.show(0.0, face(300))
    assert scene.show(1.0, face(300)) == [1]


visible = st.lists(st.sampled_from([100, 250, 400, 550, 700, 850]), unique=True, max_size=6)


@given(st.lists(visible, min_size=1, max_size=12), st.integers(1, 4))
def test_numbers_only_rise_and_places_are_limited(shows: list[list[int]], max_faces: int) -> None:
    scene = Scene(Tracker(max_faces=max_faces))
    newest = 0
    for index, places in enumerate(shows):
        numbers = scene.show(index / 10, *(face(place) for place in places))
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= min(max_faces, len(places))
        begun = [track.number for track in scene.tracker.tracks if track.is_new]
        assert all(number > newest for number in begun)
        assert all(number <= newest for number in numbers if number not in begun)
        newest = max([newest, *begun])
