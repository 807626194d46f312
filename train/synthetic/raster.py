"""A rasteriser for one mesh of small triangles on one core: triangles to rows, rows to spans, the nearest kept.

On a head it takes a fraction of the time of models.rasterise.scanlines, since it works in float32 and gives the weights
as it goes, and it sees the same but for pixels on edges (tests/train/synthetic/test_raster.py). The conventions are
those of models.rasterise.
"""

from dataclasses import dataclass

import numpy as np

from models.head import IntArray
from models.spec import FloatArray

EDGE = -1e-4
"""Least weight that counts as inside: a pixel on an edge belongs to both triangles, and no crack is between them."""


@dataclass(frozen=True, slots=True)
class Hits:
    """What the N pixels that see a triangle see."""

    pixels: IntArray  # [N] row by row, ascending
    triangles: IntArray  # [N]
    weights: FloatArray  # [3, N] barycentric

    def interpolate(self, values: FloatArray, faces: IntArray) -> FloatArray:
        """Numbers of vertices [K, C] at what is seen [C, N]."""
        corners = faces.take(self.triangles, axis=0).T  # [3, N]
        total = np.zeros((len(self.triangles), values.shape[1]), np.float32)
        for corner, weight in zip(corners, self.weights, strict=True):
            there = values.take(corner, axis=0)
            there *= weight[:, None]
            total += there
        return np.ascontiguousarray(total.T)


def raster(points: FloatArray, faces: IntArray, size: int) -> Hits:
    """What a square picture sees of points [K, 3] (pixels and depth) joined by `faces` [F, 3], none without area."""
    corners = np.ascontiguousarray(faces.T)
    x, y, z = (np.ascontiguousarray(points[:, axis]).take(corners) for axis in range(3))  # [3, F]
    # A weight is a + b * (x - x0) + c * (y - y0), the depth likewise.
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    b2, c2 = (y[2] - y[0]) / area, (x[0] - x[2]) / area
    b3, c3 = (y[0] - y[1]) / area, (x[1] - x[0]) / area
    starts, steps = np.stack([1 + 0 * b2, 0 * b2, 0 * b2]), np.stack([-b2 - b3, b2, b3])
    falls = np.stack([-c2 - c3, c2, c3])

    top = np.clip(np.ceil(y.min(axis=0) - 0.5), 0, size).astype(np.int64)
    end = np.clip(np.floor(y.max(axis=0) - 0.5) + 1, 0, size).astype(np.int64)
    triangle, row = _expanded(top, end - top)  # [R]
    down = (row + 0.5 - y[0].take(triangle)).astype(np.float32)
    weights = starts.take(triangle, axis=1) + falls.take(triangle, axis=1) * down  # at x0
    first, count = _spans(weights, steps.take(triangle, axis=1), x[0].take(triangle), size)
    span, column = _expanded(first, count)  # [P]

    z_step, z_start = (steps * z).sum(axis=0).take(triangle), (weights * z.take(triangle, axis=1)).sum(axis=0)
    z_start += (0.5 - x[0].take(triangle)) * z_step
    depth = (z_start.take(span) + z_step.take(span) * column).astype(np.float32)
    pixel = (row * size).take(span) + column
    nearest = np.full(size * size, np.inf, np.float32)
    np.minimum.at(nearest, pixel, depth)
    chosen = np.full(size * size, -1)
    winners = np.flatnonzero(depth == nearest.take(pixel))[::-1]  # of equals the first is kept: it is written last
    chosen[pixel[winners]] = winners
    seen = np.flatnonzero(chosen >= 0)
    spans, columns = span[chosen[seen]], column[chosen[seen]]
    hit = triangle[spans]
    across = (columns + 0.5 - x[0].take(hit)).astype(np.float32)
    return Hits(seen, hit, weights.take(spans, axis=1) + steps.take(hit, axis=1) * across)


def _spans(weights: FloatArray, steps: FloatArray, start: FloatArray, size: int) -> tuple[IntArray, IntArray]:
    """The first pixel of each row [R] in which all three weights [3, R] are positive, and how many follow it.

    The weights are those at `start`, and change by `steps` a pixel.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (EDGE - weights) / steps
    low = np.where(steps > 0, crossing, -np.inf).max(axis=0) + start
    high = np.where(steps < 0, crossing, np.inf).min(axis=0) + start
    outside = ((steps == 0) & (weights < EDGE)).any(axis=0)
    first = np.clip(np.ceil(low - 0.5), 0, size).astype(np.int64)
    end = np.clip(np.floor(high - 0.5) + 1, 0, size).astype(np.int64)
    count = np.maximum(end - first, 0)
    count[outside] = 0
    return first, count


def _expanded(first: IntArray, counts: IntArray) -> tuple[IntArray, IntArray]:
    """Ranges first..first+count-1 one after another: whose each number is, and the numbers."""
    owner = np.repeat(np.arange(len(counts)), counts)
    before = counts.cumsum() - counts
    return owner, np.asarray(np.arange(len(owner)) + (first - before).take(owner), np.int64)
