"""Eyes are painted with their own colours, where MediaPipe then sees them look."""

import numpy as np
import pytest

from models.geometry import Image
from models.open_basis import BLENDSHAPE_NAMES
from models.spec import FloatArray
from train.real.eyes import CORNER, contours_of, paint_eyes, palettes_of
from train.real.teacher import Teacher


@pytest.fixture(scope="module")
def landmarks(teacher: Teacher, picture: Image) -> FloatArray:
    found: FloatArray = teacher.look(picture).landmarks[0]
    return found


def shut(landmarks: FloatArray) -> FloatArray:
    """The same landmarks with the subject's right eye closed: every place on the line between its corners."""
    closed = landmarks.copy()
    first, second = closed[33], closed[133]
    for name in (7, 163, 144, 145, 153, 154, 155, 173, 157, 158, 159, 160, 161, 246):
        share = (closed[name, 0] - first[0]) / (second[0] - first[0])
        closed[name] = first + share * (second - first)
    return closed


def sideways(blendshapes: FloatArray) -> tuple[float, float]:
    """How far the left and the right eye look to the picture's right, as MediaPipe says."""
    out_left, in_left, in_right, out_right = (
        float(blendshapes[BLENDSHAPE_NAMES.index(f"eyeLook{name}")])
        for name in ("OutLeft", "InLeft", "InRight", "OutRight")
    )
    return out_left - in_left, in_right - out_right


def test_mediapipe_sees_both_eyes_look_aside(teacher: Teacher, picture: Image, landmarks: FloatArray) -> None:
    palettes = palettes_of(picture, landmarks)
    assert palettes is not None
    seen = [
        sideways(
            teacher.look_near(
                paint_eyes(picture, contours_of(landmarks), palettes, aside, 0), landmarks[None]
            ).blendshapes[0]
        )
        for aside in (-1.0, 0.0, 1.0)
    ]
    for eye in zip(*seen, strict=True):
        left, middle, right = eye
        assert left < middle - 0.2 < middle + 0.2 < right


def test_only_the_eyes_change(picture: Image, landmarks: FloatArray) -> None:
    palettes = palettes_of(picture, landmarks)
    assert palettes is not None
    contours = contours_of(landmarks)
    painted = paint_eyes(picture, contours, palettes, 0.8, 0)
    rows, columns = np.nonzero(np.abs(painted.astype(int) - picture).max(axis=2) > 8)
    assert len(rows) > 10
    around = contours.reshape(-1, 2)
    assert (columns >= around[:, 0].min() - 3).all()
    assert (columns <= around[:, 0].max() + 3).all()
    assert (rows >= around[:, 1].min() - 3).all()
    assert (rows <= around[:, 1].max() + 3).all()


def test_an_eye_painted_as_it_was_looks_as_before(picture: Image, landmarks: FloatArray) -> None:
    """Not the same pixels, but nearer to them than a gaze aside."""
    palettes = palettes_of(picture, landmarks)
    assert palettes is not None
    contours = contours_of(landmarks)
    apart = [
        np.abs(paint_eyes(picture, contours, palettes, aside, 0).astype(int) - picture).sum()
        for aside in (palettes[0].aside, 1.0, -1.0)
    ]
    assert apart[0] < 0.8 * min(apart[1:])


def test_colours_are_the_photos(picture: Image, landmarks: FloatArray) -> None:
    palettes = palettes_of(picture, landmarks)
    assert palettes is not None
    for palette in palettes:
        assert palette.white.mean() > palette.rings.mean() + 20
        assert 0.25 < palette.radius < 0.6
        assert abs(palette.height) < 0.4


def test_a_closed_eye_has_no_colours_and_is_not_painted(picture: Image, landmarks: FloatArray) -> None:
    closed = shut(landmarks)
    assert palettes_of(picture, closed) is None
    palettes = palettes_of(picture, landmarks)
    assert palettes is not None
    contours = contours_of(closed)
    painted = paint_eyes(picture, contours, palettes, 1.0, 0)
    rows, columns = np.nonzero(np.abs(painted.astype(int) - picture).max(axis=2))
    assert len(rows) > 0
    assert (columns > contours[0, CORNER, 0]).all()  # only the other one


def test_without_a_gaze_only_an_eye_that_opened_further_is_painted(picture: Image, landmarks: FloatArray) -> None:
    palettes = palettes_of(picture, landmarks)
    assert palettes is not None
    contours = contours_of(landmarks)
    assert (paint_eyes(picture, contours, palettes, None, 0) == picture).all()
    middle = contours.mean(axis=1, keepdims=True)
    wide = middle + (contours - middle) * np.array([1.0, 1.6], np.float32)
    assert (paint_eyes(picture, wide, palettes, None, 0) != picture).any()


def test_an_eye_at_the_border_stays_as_it_is(picture: Image, landmarks: FloatArray) -> None:
    palettes = palettes_of(picture, landmarks)
    assert palettes is not None
    contours = contours_of(landmarks)
    outside = contours - contours.reshape(-1, 2).min(axis=0) + 1  # its corners touch the picture's
    painted = paint_eyes(picture, outside[:1].repeat(2, axis=0), palettes, 1.0, 0)
    assert (painted == picture).all()
    beyond = palettes_of(picture[:, : int(contours[1, :, 0].min())], landmarks)
    assert beyond is not None
    assert np.ptp(beyond[1].rings) == 0  # an eye that the picture does not show has plain colours
