"""The outline of a turned face: for each whole degree of yaw, 17 points on the surface.

On the side that is turned towards the viewer, and at the chin, the points are those of the frontal face. On the side
that is turned away the outline is wherever the cheek ends to the eye: from its frontal point each slides forwards, at
its own height, to the place of the face that lies farthest out in the picture.
"""

import numpy as np

from models.geometry import Float64Array
from models.head import CONTOUR_ANGLES, Embedding
from train.open_head import surface
from train.open_head.assets import IntArray
from train.open_head.cut import Cut

CHIN = 8
"""The middle one of the 17; those before it are on the subject's right."""


def embed_contour(frontal: Embedding, template: Float64Array, cut: Cut) -> Embedding:
    """[79, 17] the outline by turn, of the frontal outline's points [17]; rows as in `models.flame.contour_rows`."""
    triangles = np.tile(frontal.triangles, (CONTOUR_ANGLES, 1))
    weights = np.tile(frontal.weights, (CONTOUR_ANGLES, 1, 1))
    positions = surface.at(frontal, template, cut.faces)
    face = np.flatnonzero(np.isin(cut.faces, cut.regions["face"]).all(axis=1))
    for point, position in enumerate(positions):
        if point == CHIN:
            continue
        side = 1.0 if point > CHIN else -1.0  # the subject's left is turned away when the head turns left
        ahead = _ahead(position, side, template, cut.faces, face)
        if not len(ahead.triangles):
            continue
        places = surface.at(ahead, template, cut.faces)
        for degrees in range(1, CONTOUR_ANGLES // 2 + 1):
            angle = np.radians(degrees)
            out = side * places[:, 0] * np.cos(angle) + places[:, 2] * np.sin(angle)
            best = int(out.argmax())
            if out[best] > side * position[0] * np.cos(angle) + position[2] * np.sin(angle):
                row = degrees if side > 0 else CONTOUR_ANGLES // 2 + degrees
                triangles[row, point], weights[row, point] = ahead.triangles[best], ahead.weights[best]
    return Embedding(triangles, weights)


def _ahead(
    position: Float64Array, side: float, template: Float64Array, faces: IntArray, allowed: IntArray
) -> Embedding:
    """Where the plane at a point's height cuts edges of the face, on the point's side and in front of it."""
    corners = template[faces[allowed]]
    found_triangles, found_weights = [], []
    for start in range(3):
        end = (start + 1) % 3
        below, above = corners[:, start, 1] - position[1], corners[:, end, 1] - position[1]
        cut = np.flatnonzero(below * above < 0)
        share = below[cut] / (below[cut] - above[cut])
        weights = np.zeros((len(cut), 3), np.float32)
        weights[:, end], weights[:, start] = share, 1 - share
        found_triangles.append(allowed[cut])
        found_weights.append(weights)
    points = Embedding(np.concatenate(found_triangles), np.concatenate(found_weights))
    places = surface.at(points, template, faces)
    ahead = (places[:, 2] > position[2]) & (places[:, 0] * side > 0)
    return Embedding(points.triangles[ahead], points.weights[ahead])
