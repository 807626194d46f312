"""The one place where pixels are resampled and boxes computed.

Frames are uint8 [H, W, 3] RGB. Coordinates are in frame pixels with whole numbers at pixel centres, x right, y down.
Everything samples bilinearly without anti-aliasing, as SMIRK's and MediaPipe's own preprocessing do.
"""

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import torch

from models.spec import CROP_SCALE, CROP_SIZE, FloatArray

Image = npt.NDArray[np.uint8]
Float64Array = npt.NDArray[np.float64]


# SMIRK's crop


def crop_box(landmarks: FloatArray, scale: float = CROP_SCALE) -> FloatArray:
    """Centre x, centre y and side [B, 3] of the square that SMIRK crops, from landmarks [B, N, 2 or 3].

    The side is a whole number of pixels: `scale` times the mean of the landmarks' width and height, truncated.
    """
    boxes = bounding_boxes(landmarks).astype(np.float64)
    low, high = boxes[:, :2], boxes[:, 2:]
    side = np.trunc((high - low).mean(axis=1) * scale).clip(min=1)  # a face of no size still has a crop
    return np.column_stack([(low + high) / 2, side]).astype(np.float32)


def crop_faces(rgb: Image, boxes: FloatArray) -> FloatArray:
    """Crops [B, 3, 224, 224], RGB 0..1, of the squares `boxes` [B, 3] (centre x, centre y, side) of one frame.

    Values are truncated to whole 255ths and black outside the frame, as in SMIRK's demos.
    """
    crops = np.empty((len(boxes), 3, CROP_SIZE, CROP_SIZE), np.float32)
    for crop, (x, y, side) in zip(crops, boxes.astype(np.float64).tolist(), strict=True):
        sampled = _sample_upright(rgb, x - side / 2, y - side / 2, side / (CROP_SIZE - 1), CROP_SIZE)
        np.divide(sampled.astype(np.uint8).transpose(1, 0, 2), np.float32(255), out=crop)
    return crops


# MediaPipe's two inputs


def letterbox(rgb: Image, size: int) -> FloatArray:
    """The whole frame [3, size, size], RGB 0..255, centred in a black square as wide as its longer side."""
    height, width = rgb.shape[:2]
    side = max(height, width)
    sampled = _sample_upright(rgb, (width - side) / 2, (height - side) / 2, side / size, size)
    return sampled.transpose(1, 0, 2)


def from_letterbox(points: FloatArray, width: int, height: int) -> FloatArray:
    """Points [..., 2] in fractions of the letterbox, in pixels of the frame of that size."""
    side = max(height, width)
    return points * np.float32(side) + np.array([(width - side) / 2, (height - side) / 2], np.float32)


def sample_regions(rgb: Image, regions: Float64Array, size: int) -> FloatArray:
    """Pixels [B, 3, size, size], RGB 0..255, of rotated rectangles of one frame.

    `regions` [B, 5]: centre x, centre y, width, height, clockwise rotation in radians. Outside the frame its outermost
    pixels are repeated.
    """
    pixels = np.empty((len(regions), 3, size, size), np.float32)
    for target, region in zip(pixels, regions, strict=True):
        target[:] = _sample_rotated(rgb, region, size).transpose(2, 0, 1)
    return pixels


def regions_to_frame(points: FloatArray, regions: Float64Array) -> FloatArray:
    """Points [B, N, 2 or 3] in fractions of their regions, in frame pixels; z is scaled like x."""
    x, y, width, height, angle = (column[:, None] for column in regions.T.astype(np.float32))
    along, down = (points[:, :, 0] - 0.5) * width, (points[:, :, 1] - 0.5) * height
    cos, sin = np.cos(angle), np.sin(angle)
    moved = [x + along * cos - down * sin, y + along * sin + down * cos]
    return np.stack([*moved, *(points[:, :, axis] * width for axis in range(2, points.shape[2]))], axis=2)


# Boxes


def bounding_boxes(points: FloatArray) -> FloatArray:
    """Left, top, right, bottom [B, 4] of points [B, N, 2 or 3]."""
    by_axis = np.ascontiguousarray(points[:, :, :2].transpose(0, 2, 1))  # numbers side by side: found 5 times faster
    return np.concatenate([by_axis.min(axis=2), by_axis.max(axis=2)], axis=1)


def region_boxes(regions: Float64Array) -> FloatArray:
    """Left, top, right, bottom [B, 4] of regions [B, 5], their rotation left out."""
    half = regions[:, 2:4] / 2
    return np.concatenate([regions[:, :2] - half, regions[:, :2] + half], axis=1).astype(np.float32)


def overlap(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Intersection over union [A, B], 0..1, of boxes [A, 4] and [B, 4]; 0 where both are empty."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared: FloatArray = (high - low).clip(min=0).prod(axis=2)
    union = _area(boxes)[:, None] + _area(others)[None] - shared
    np.divide(shared, union, out=shared, where=union > 0)  # without a union, shared is 0 already
    return shared


def _area(boxes: FloatArray) -> FloatArray:
    area: FloatArray = (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)
    return area


# Sampling


def _sample_upright(rgb: Image, left: float, top: float, step: float, size: int) -> FloatArray:
    """Samples at (left + u*step, top + v*step), laid out [size (v), 3, size (u)], 0..255, black outside the frame.

    An upright grid is separable: two picks of rows, one blend, one pick of columns, one blend, and never a float copy
    of the frame. Each blend is a + f*(b - a), which leaves a flat area exactly at its value: what is truncated later
    must not fall just short of a whole number.
    """
    width = rgb.shape[1]
    x, fx = _taps(left, step, size)  # [2, u], [u]
    y, fy = _taps(top, step, size)
    first, last = int(x[0, 0].clip(0, width - 1)), int(x[1, -1].clip(0, width - 1))
    upper, lower = (_rows(rgb, row, first, last) for row in y)  # [v, columns * 3]
    at = (x.clip(first, last) - first) * 3
    picked = (at[:, None, :] + np.arange(3)[:, None]).ravel()  # [2 * 3 * u] in the order tap, channel, u
    many = upper.shape[1] > len(picked)
    if many:  # columns that no sample needs: leave them out before blending rather than after
        upper, lower = upper[:, picked], lower[:, picked]
    rows = torch.lerp(_floats(upper), _floats(lower), fy[:, None]).numpy()
    taps = (rows if many else rows[:, picked]).reshape(size, 2, 3, size)
    for tap, column in enumerate(x):
        outside = (column < 0) | (column >= width)
        if outside.any():
            taps[:, tap, :, outside] = 0
    before, after = torch.from_numpy(taps).unbind(1)
    return torch.lerp(before, after, fx).numpy()


def _taps(start: float, step: float, count: int) -> tuple[npt.NDArray[np.int64], torch.Tensor]:
    """The pixels before and after each sample of one axis [2, count], and how far between them it lies (0..1)."""
    position = start + step * np.arange(count)
    before = np.floor(position)
    return before.astype(np.int64) + np.array([[0], [1]]), torch.from_numpy((position - before).astype(np.float32))


def _rows(rgb: Image, rows: npt.NDArray[np.int64], first: int, last: int) -> Image:
    """Columns `first` to `last` of some rows [rows, columns * 3], black where a row is not in the frame."""
    picked = rgb[rows.clip(0, len(rgb) - 1), first : last + 1].reshape(len(rows), -1)
    outside = (rows < 0) | (rows >= len(rgb))
    if outside.any():
        picked[outside] = 0
    return picked


def _floats(pixels: Image) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32))


def _sample_rotated(rgb: Image, region: Float64Array, size: int) -> Image:
    """The region as a picture [size, size, 3] of samples that start in its corner, `side / size` apart."""
    x, y, width, height, angle = region.tolist()
    cos, sin = np.cos(angle), np.sin(angle)
    across, down = np.array([cos, sin]) * width, np.array([-sin, cos]) * height
    corner = np.array([x, y]) - (across + down) / 2
    to_frame = np.column_stack([across / size, down / size, corner])  # [2, 3]: sample (u, v, 1) -> frame pixel
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cast(Image, cv2.warpAffine(rgb, to_frame, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE))
