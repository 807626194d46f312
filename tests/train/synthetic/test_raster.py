"""The quick rasteriser against the plain one of models.rasterise."""

import numpy as np
import torch

from models.head import HeadModel
from models.rasterise import EMPTY, scanlines
from train.synthetic.raster import raster

SIZE = 96


def seen_points(head: HeadModel) -> tuple[np.ndarray, np.ndarray]:
    """The head, turned, in pixels; a part of it lies outside the picture. With the triangles that face the viewer."""
    points = head.template @ np.array([[0.9, 0, -0.43], [0, 1, 0], [0.43, 0, 0.9]], np.float32)
    points = (points * (1, -1, -1) * 520 + (52, 40, 0)).astype(np.float32)
    a, b, c = (points[head.faces[:, corner], :2] for corner in range(3))
    faces = head.faces[np.cross(np.pad(b - a, ((0, 0), (0, 1))), np.pad(c - a, ((0, 0), (0, 1))))[:, 2] < 0]
    return points, faces


def test_it_sees_what_the_plain_rasteriser_sees(head: HeadModel) -> None:
    points, faces = seen_points(head)
    hits = raster(points, faces, SIZE)
    found = np.full(SIZE * SIZE, EMPTY)
    found[hits.pixels] = hits.triangles
    plain = scanlines(torch.from_numpy(points)[None], torch.from_numpy(faces), (SIZE, SIZE)).numpy().ravel()
    assert (plain != EMPTY).sum() > 3000
    assert ((found == EMPTY) == (plain == EMPTY)).mean() > 0.999  # float32 against float64, on edges
    assert (found == plain).mean() > 0.995


def test_weights_lead_back_to_the_centres_of_the_pixels(head: HeadModel) -> None:
    points, faces = seen_points(head)
    hits = raster(points, faces, SIZE)
    rows, columns = np.divmod(hits.pixels, SIZE)
    x, y, _ = hits.interpolate(points, faces)
    assert np.allclose(x, columns + 0.5, atol=2e-3)
    assert np.allclose(y, rows + 0.5, atol=2e-3)
    assert np.allclose(hits.weights.sum(axis=0), 1, atol=1e-4)


def test_two_triangles_meet_without_a_crack() -> None:
    points = np.array([[1, 1, 0], [9, 2, 0], [8, 9, 0], [2, 8, 0]], np.float32)
    both = raster(points, np.array([[0, 1, 2], [0, 2, 3]]), 10)
    apart = [raster(points, np.array([face]), 10) for face in ([0, 1, 2], [0, 2, 3])]
    assert set(both.pixels) == set(apart[0].pixels) | set(apart[1].pixels)
    inner = {row * 10 + column for row in range(3, 7) for column in range(3, 7)}
    assert inner <= set(both.pixels.tolist())


def test_the_nearer_of_two_is_seen() -> None:
    square = [[0, 0], [8, 0], [8, 8], [0, 8]]
    points = np.array([[*p, 5] for p in square] + [[*p, 3] for p in square], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    assert set(raster(points, faces, 8).triangles) == {2, 3}
    assert set(raster((points * (1, 1, -1)).astype(np.float32), faces, 8).triangles) == {0, 1}
