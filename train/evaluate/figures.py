"""Arithmetic of the figures: correlation, angle between rotations, jitter, distance between meshes."""

from collections.abc import Sequence

import numpy as np
import torch

from models.flame import rotation_matrices
from models.head_pose import DoubleArray, axis_angle
from models.spec import FLAME_LAYOUT, FlameParams, FloatArray

STILL = 1e-6
"""Range of values below which something does not move: rounding alone."""


def pearson(found: FloatArray, true: FloatArray) -> DoubleArray:
    """Pearson's r [K] of columns [N, K] over N >= 1 rows; 0 where either column does not move."""
    moves = (np.ptp(found, axis=0) > STILL) & (np.ptp(true, axis=0) > STILL)
    a, b = (values.astype(np.float64) - values.mean(axis=0, dtype=np.float64) for values in (found, true))
    size = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    together = (a * b).sum(axis=0)
    r: DoubleArray = np.divide(together, size, out=np.zeros(len(size)), where=moves & (size > 0))
    return r


def turns(vectors: FloatArray) -> DoubleArray:
    """Rotation matrices [B, 3, 3] of axis-angle vectors [B, 3], radians."""
    matrices: DoubleArray = rotation_matrices(torch.from_numpy(vectors.astype(np.float64))).numpy()
    return matrices


def degrees_between(first: DoubleArray, second: DoubleArray) -> DoubleArray:
    """Angles [B], 0..180, of the rotations that lead from rotations [B, 3, 3] to others."""
    angles: DoubleArray = np.degrees(np.linalg.norm(axis_angle(first @ second.transpose(0, 2, 1)), axis=1))
    return angles


def jitter(values: FloatArray) -> DoubleArray:
    """What values [T, ...] of a still scene vary by from one frame to the next, T >= 2: a standard deviation [...].

    That of the differences of consecutive frames over the square root of 2: white noise gives its own standard
    deviation, a slow drift hardly counts.
    """
    spread: DoubleArray = np.diff(values.astype(np.float64), axis=0).std(axis=0) / np.sqrt(2)
    return spread


def jitter_of_turns(vectors: FloatArray) -> float:
    """The same of axis-angle vectors [T, 3], in degrees: root mean square of the angles between frames over root 2."""
    matrices = turns(vectors)
    return float(np.sqrt((degrees_between(matrices[1:], matrices[:-1]) ** 2).mean() / 2))


def mesh_distance_mm(vertices: FloatArray, others: FloatArray) -> DoubleArray:
    """Mean distance [B], millimetres, between the same vertices of meshes [B, V, 3] in metres."""
    apart = np.linalg.norm(vertices.astype(np.float64) - others, axis=2)
    distance: DoubleArray = 1000 * apart.mean(axis=1)
    return distance


def stacked(params: Sequence[FlameParams]) -> dict[str, torch.Tensor]:
    """Parameters of B faces by the names of FLAME_LAYOUT, each [B, size]."""
    return {
        name: torch.from_numpy(np.array([getattr(face, name) for face in params], np.float32).reshape(-1, size))
        for name, size in FLAME_LAYOUT.items()
    }
