"""Points on a triangle mesh: where a view's rays meet it, and the nearest ones to given points."""

import numpy as np

from models.geometry import Float64Array
from models.head import Embedding
from train.open_head.assets import IntArray


def at(points: Embedding, vertices: Float64Array, faces: IntArray) -> Float64Array:
    """Positions [..., 3] of points on the surface, or of any property [V, n] of its vertices."""
    return np.asarray((vertices[faces[points.triangles]] * points.weights[..., None]).sum(axis=-2))


def cast(projected: Float64Array, faces: IntArray, rays: Float64Array) -> Embedding:
    """Where rays [N, 2] first meet triangles of projected vertices [V, 3] that face them; else triangle -1."""
    corners = projected[faces]  # [F, 3, 3]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    facing = area < -1e-12  # rows count downwards
    safe = np.where(facing, area, 1.0)
    triangles, weights = np.full(len(rays), -1), np.zeros((len(rays), 3))
    for i, ray in enumerate(rays):
        x, y = (ray - corners[:, 0, :2]).T
        u = (x * second[:, 1] - y * second[:, 0]) / safe
        v = (first[:, 0] * y - first[:, 1] * x) / safe
        met = np.flatnonzero(facing & (u >= 0) & (v >= 0) & (u + v <= 1))
        if len(met):
            share = np.stack([1 - u[met] - v[met], u[met], v[met]], axis=1)
            front = (share * corners[met, :, 2]).sum(axis=1).argmin()
            triangles[i], weights[i] = met[front], share[front]
    return Embedding(triangles, weights.astype(np.float32))


def nearest(points: Float64Array, vertices: Float64Array, faces: IntArray, allowed: IntArray) -> Embedding:
    """The surface's nearest points to `points` [N, 3], in the triangles `allowed`."""
    corners = vertices[faces[allowed]]  # [A, 3, 3]
    triangles, weights = np.empty(len(points), np.int64), np.empty((len(points), 3))
    for i, point in enumerate(points):
        close = np.argsort(np.linalg.norm(corners.mean(axis=1) - point, axis=1), kind="stable")[:200]
        share = _nearest_shares(point, corners[close])
        distance = np.linalg.norm((share[..., None] * corners[close]).sum(axis=1) - point, axis=1)
        best = int(distance.argmin())
        triangles[i], weights[i] = allowed[close[best]], share[best]
    return Embedding(triangles, weights.astype(np.float32))


def _nearest_shares(point: Float64Array, corners: Float64Array) -> Float64Array:
    """Barycentric shares [A, 3] of the point of each triangle [A, 3, 3] that is nearest to `point` [3].

    The foot of the perpendicular where it falls inside, else the best of the three edges.
    """
    count = len(corners)
    first, second, towards = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], point - corners[:, 0]
    a, b, c = (first**2).sum(1), (first * second).sum(1), (second**2).sum(1)
    d, e = (first * towards).sum(1), (second * towards).sum(1)
    area = np.maximum(a * c - b * b, 1e-30)
    u, v = (c * d - b * e) / area, (a * e - b * d) / area
    candidates = [np.stack([1 - u - v, u, v], axis=1)]
    for start in range(3):
        end = (start + 1) % 3
        edge = corners[:, end] - corners[:, start]
        along = ((point - corners[:, start]) * edge).sum(1) / np.maximum((edge**2).sum(1), 1e-30)
        share = np.zeros((count, 3))
        share[:, end] = np.clip(along, 0, 1)
        share[:, start] = 1 - share[:, end]
        candidates.append(share)
    stacked = np.stack(candidates)  # [4, A, 3]
    distances = np.linalg.norm((stacked[..., None] * corners).sum(axis=2) - point, axis=2)
    distances[0, (candidates[0] < 0).any(axis=1)] = np.inf
    return np.asarray(stacked[distances.argmin(axis=0), np.arange(count)])
