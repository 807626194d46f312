"""Rigid head pose and weak-perspective camera fitted to MediaPipe's landmarks.

The canonical face and the landmarks that follow the skull rather than the expression come from the
`geometry_pipeline_metadata_landmarks.binarypb` in the face_landmarker task (Apache-2.0): 468 points in centimetres,
symmetric about x = 0, and 33 weighted indices. The fit is the weighted orthogonal Procrustes problem: the rotation,
scale and shift that bring the canonical points nearest to the landmarks (Schönemann 1966; Umeyama 1991).

MediaPipe's own geometry stage instead undoes a perspective of 63 degrees centred in the frame. Reproducing it gives
its matrixes to 0.01 degrees, but it asks for the frame's size, couples the rotation to where in the frame the face
is, and, because it takes every photograph for a close-up, understates turns: pictures taken from 15 and 45 degrees
come out at 10 and 34, here at 12 and 43. A weak-perspective camera is also what SMIRK's parameters mean. Over 813
portraits the two rotations differ by 2.2 degrees on average (95 % below 3.7). The depth needs no correction: scaling
z by 1.05 (10th to 90th percentile 1.00 to 1.10) would fit those portraits' x and y best.
"""

import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import AssetCorrupt
from models.spec import CROP_SIZE, FloatArray

DoubleArray = npt.NDArray[np.float64]

METADATA_MEMBER = "geometry_pipeline_metadata_landmarks.binarypb"
"""Where the task file keeps the canonical face."""

CANONICAL_POINTS = 468
"""MediaPipe's landmarks without the ten of the irises."""

_VERTEX_FLOATS = 5  # x, y, z and two texture coordinates
_TO_VIEWER = np.array([1.0, -1.0, -1.0])  # picture x right, y down, z away -> x right, y up, z to the viewer
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers


@dataclass(frozen=True, slots=True)
class CanonicalFace:
    """MediaPipe's face without expression, looking along +z; the model space of the fitted camera."""

    points: DoubleArray  # [468, 3] metres; x to the subject's left, y up, z to the viewer
    weights: DoubleArray  # [468] how much each point follows the skull; 33 are above 0, their sum is 1


def read_canonical_face(task_file: Path) -> CanonicalFace:
    """The canonical face inside a face_landmarker task. Raises AssetCorrupt."""
    expected = f"{task_file} is not a MediaPipe face landmarker task"
    remedy = "remove it so that it is fetched again"
    try:
        with zipfile.ZipFile(task_file) as bundle:
            metadata = bundle.read(METADATA_MEMBER)
        return _parse_metadata(metadata)
    except (zipfile.BadZipFile, KeyError) as error:
        raise AssetCorrupt(f"{expected} (no {METADATA_MEMBER} in a zip): {remedy}") from error
    except (ValueError, IndexError, struct.error) as error:
        raise AssetCorrupt(f"{expected} ({METADATA_MEMBER} cannot be read: {error}): {remedy}") from error


def fit_head(face: CanonicalFace, landmarks: FloatArray, crop_boxes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pose [B, 3] and camera [B, 3] of landmarks [B, 478 or 468, 3] within crop squares [B, 3].

    Landmarks are in frame pixels, z in the scale of x and smaller nearer. The pose is axis-angle in radians, below
    pi, zero when looking along the optical axis; a positive [1] turns the face to the right of the picture, a
    positive [0] lowers it, a positive [2] tips it anticlockwise as seen. The camera is (s, tx, ty) with
    x_ndc = s*(x+tx) and y_ndc = -s*(y+ty) in SMIRK's crop of the box (centre x, centre y, side), for the rotated
    canonical points in metres.
    """
    seen = landmarks[:, :CANONICAL_POINTS].astype(np.float64) * _TO_VIEWER  # [B, 468, 3]
    rigid = np.flatnonzero(face.weights)
    rotation, scale, shift = fit_similarity(face.points[rigid], seen[:, rigid], face.weights[rigid])
    side = crop_boxes[:, 2].astype(np.float64)
    ndc_per_pixel = 2.0 * (CROP_SIZE - 1) / (CROP_SIZE * side)  # [B]
    half_pixel = 1.0 / CROP_SIZE  # SMIRK's crop maps the box onto 223 of its 224 pixels
    s = scale * ndc_per_pixel
    tx = (ndc_per_pixel * (shift[:, 0] - crop_boxes[:, 0]) - half_pixel) / s
    ty = (ndc_per_pixel * (shift[:, 1] + crop_boxes[:, 1]) + half_pixel) / s
    camera = np.stack([s, tx, ty], axis=1)
    return axis_angle(rotation).astype(np.float32), camera.astype(np.float32)


def fit_similarity(
    source: DoubleArray, target: DoubleArray, weights: DoubleArray
) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """Rotation [B, 3, 3], scale [B] and shift [B, 3] with target [B, N, 3] nearest to scale*R*source + shift.

    `source` is [N, 3], `weights` [N] with sum 1. The rotation is never a reflection.
    """
    source_mean = weights @ source
    target_mean = np.einsum("n,bni->bi", weights, target)
    centred = source - source_mean
    spread = np.einsum("bni,n,nj->bij", target - target_mean[:, None], weights, centred)  # [B, 3, 3]
    left, singular, right = np.linalg.svd(spread)
    signs = np.ones_like(singular)
    signs[:, 2] = np.where(np.linalg.det(left @ right) < 0.0, -1.0, 1.0)
    rotation = (left * signs[:, None, :]) @ right
    scale = (singular * signs).sum(axis=1) / (weights @ (centred**2).sum(axis=1))
    shift = target_mean - scale[:, None] * (rotation @ source_mean)
    return rotation, scale, shift


def axis_angle(rotation: DoubleArray) -> DoubleArray:
    """Axis-angle vectors [B, 3] of length 0..pi for rotation matrices [B, 3, 3].

    Goes by way of the quaternion whose largest part is found first, which is stable at every angle.
    """
    m = rotation
    trace = np.trace(m, axis1=1, axis2=2)
    # Each row is four times the quaternion times one of its own parts, so that the longest row is the safe one.
    rows = np.empty((len(m), 4, 4))
    rows[:, 0, 0] = 1.0 + trace
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        rows[:, i + 1, i + 1] = 1.0 + 2.0 * m[:, i, i] - trace
        rows[:, i + 1, 0] = rows[:, 0, i + 1] = m[:, k, j] - m[:, j, k]
        rows[:, i + 1, j + 1] = rows[:, j + 1, i + 1] = m[:, j, i] + m[:, i, j]
    largest = np.argmax(np.einsum("bii->bi", rows), axis=1)
    quaternion = rows[np.arange(len(m)), largest]
    quaternion *= np.where(quaternion[:, :1] < 0.0, -1.0, 1.0)
    sine = np.linalg.norm(quaternion[:, 1:], axis=1)
    angle = 2.0 * np.arctan2(sine, quaternion[:, 0])
    length = np.linalg.norm(quaternion, axis=1)
    # sin(angle/2) = sine/length; near zero the ratio angle/sine tends to 2/length.
    ratio = np.divide(angle, sine, out=2.0 / length, where=sine > 1e-12 * length)
    axis: DoubleArray = quaternion[:, 1:] * ratio[:, None]
    return axis


def _parse_metadata(data: bytes) -> CanonicalFace:
    """Field 1 is the mesh, whose field 3 is the vertex buffer; field 2, repeated, is (1 index, 2 weight)."""
    coordinates: list[float] = []
    weights = np.zeros(CANONICAL_POINTS)
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            coordinates = [v for n, v in _fields(value) if n == 3 and isinstance(v, float)]
        elif number == 2 and isinstance(value, bytes):
            landmark = dict(_fields(value))
            weights[int(landmark[1])] = float(landmark[2])
    if len(coordinates) != CANONICAL_POINTS * _VERTEX_FLOATS or not weights.any():
        raise ValueError(f"{len(coordinates)} vertex floats and {np.count_nonzero(weights)} weights")
    points = np.array(coordinates).reshape(CANONICAL_POINTS, _VERTEX_FLOATS)[:, :3] / 100.0
    return CanonicalFace(points, weights / weights.sum())


def _fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Every (field number, value) of a protocol buffer message, in order."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        part = message[at : at + size]
        if len(part) < size:
            raise ValueError(f"it ends within a field at byte {at}")
        at += size
        yield key >> 3, part if kind == _BYTES else struct.unpack("<f" if size == 4 else "<d", part)[0]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The integer in base 128 that starts at a byte, and where the next field starts."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
