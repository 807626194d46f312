"""Cuts the head out of the base mesh: which vertices it has, its triangles, and its regions.

The mesh has edge loops where a head wants its borders: one around the neck above the collar bones, one around the
face from under the chin over the cheeks to the hairline. The skin of the head, the bag of the mouth and the sockets of
the eyes are islands of the texture map. Eyeballs are the helper meshes, made finer by one step of Catmull and Clark.
Teeth, tongue, hair and eyelash helpers stay out: FLAME has none, and nothing in FLAME's parameters moves them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.geometry import Float64Array
from train.open_head.assets import BaseMesh, IntArray
from train.open_head.sparse import Matrix, components, identity, incidence, means, scaled, select, stack

Mask = npt.NDArray[np.bool_]

NECK_LOOP = (1496, 8180)
"""An edge of the loop that ends the neck (42 vertices)."""
FACE_LOOP = (747, 7448)
"""An edge of the loop that encloses the face (52 vertices)."""
LIPS_LOOP = (362, 7118)
"""An edge of the loop around the red of the lips (38 vertices)."""
NOSE_TIP, LIP = 297, 466
"""A vertex that the face's loop encloses, and one that the lips' loop does."""
EYES = {"left_eyeball": "helper-l-eye", "right_eyeball": "helper-r-eye"}


@dataclass(frozen=True, slots=True)
class Cut:
    """V vertices of a head, each a mean of vertices of the base mesh."""

    weights: Matrix  # [V, N] of the base mesh's vertices
    faces: IntArray  # [F, 3]
    uv: Float64Array  # [U, 2]
    uv_faces: IntArray  # [F, 3]
    regions: Mapping[str, IntArray]

    def apply(self, of_base: Float64Array) -> Float64Array:
        """Positions or offsets [N, 3] of the base mesh, as those of the head's vertices [V, 3]."""
        return np.asarray(self.weights @ of_base)


def cut_head(mesh: BaseMesh) -> Cut:
    """The head of the base mesh, with the regions that its loops and its texture's islands tell."""
    body = mesh.quads["body"]
    neck_loop, face_loop = edge_loop(body, *NECK_LOOP), edge_loop(body, *FACE_LOOP)
    inside = _enclosed(body, neck_loop, NOSE_TIP)
    islands = _islands(mesh, body[inside], mesh.uv_quads["body"][inside])
    islands["boundary"] = neck_loop
    islands["face"] = np.intersect1d(body[_enclosed(body, face_loop, NOSE_TIP)], islands["skin"])
    islands["lips"] = np.intersect1d(body[_enclosed(body, edge_loop(body, *LIPS_LOOP), LIP)], islands["skin"])
    quads, uv_quads = [body[inside]], [mesh.uv_quads["body"][inside]]
    count, uv = len(mesh.vertices), [mesh.uv]
    rows = [identity(count)]
    for region, name in EYES.items():
        finer = subdivide(mesh.quads[name], len(mesh.vertices))
        finer_uv = subdivide(mesh.uv_quads[name], len(mesh.uv), smooth=False)
        quads.append(finer.quads + count)
        uv_quads.append(finer_uv.quads + sum(map(len, uv)))
        rows.append(finer.weights)
        uv.append(np.asarray(finer_uv.weights @ mesh.uv))
        islands[region] = np.unique(quads[-1])
        count += finer.weights.shape[0]
    kept, of_kept = np.unique(np.concatenate(quads), return_inverse=True)
    kept_uv, of_kept_uv = np.unique(np.concatenate(uv_quads), return_inverse=True)
    weights = select(stack(rows), kept)
    of_kept, of_kept_uv = of_kept.reshape(-1, 4), of_kept_uv.reshape(-1, 4)
    short = _shorter_diagonal(np.asarray(weights @ mesh.vertices)[of_kept])
    return Cut(
        weights=weights,
        faces=_triangles(of_kept, short),
        uv=np.concatenate(uv)[kept_uv],
        uv_faces=_triangles(of_kept_uv, short),
        regions={name: np.searchsorted(kept, np.unique(ids)) for name, ids in islands.items()},
    )


def edge_loop(quads: IntArray, first: int, second: int) -> IntArray:
    """The closed loop of vertices that goes straight on from an edge, where four quads meet at each vertex."""
    around: dict[int, set[int]] = {}
    for row in quads.tolist():
        for vertex in row:
            around.setdefault(vertex, set()).update(row)
    edges: dict[int, set[int]] = {}
    for row in quads.tolist():
        for a, b in zip(row, row[1:] + row[:1], strict=True):
            edges.setdefault(a, set()).add(b)
            edges.setdefault(b, set()).add(a)
    of_vertex: dict[int, list[list[int]]] = {}
    for row in quads.tolist():
        for vertex in row:
            of_vertex.setdefault(vertex, []).append(row)
    loop = [first, second]
    while True:
        before, here = loop[-2:]
        beside = {vertex for row in of_vertex[here] if before in row for vertex in row}
        (ahead,) = edges[here] - beside
        if ahead == first:
            return np.array(loop)
        loop.append(ahead)


@dataclass(frozen=True, slots=True)
class Finer:
    """A mesh after one step of subdivision; every new vertex is a mean of old ones."""

    weights: Matrix  # [new, old]
    quads: IntArray  # [4Q, 4] of the new vertices


def subdivide(quads: IntArray, count: int, *, smooth: bool = True) -> Finer:
    """One step of Catmull and Clark's subdivision of quads over `count` vertices; not `smooth`: only cut in four.

    New vertices: `count` for the old ones (zero where no quad uses them), then one an edge, then one a quad.
    """
    pairs = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    edges, edge_of, uses = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    edge_of = edge_of.reshape(quads.shape)
    middle = means(quads, count)  # [Q, count]
    along = means(edges, count)  # [E, count]
    used = np.unique(quads)
    keep = incidence(used, used, (count, count))
    if smooth:
        of_quad, of_edge = np.repeat(np.arange(len(quads)), 4), np.repeat(np.arange(len(edges)), 2)
        by_edge = incidence(edge_of.ravel(), of_quad, (len(edges), len(quads)))
        by_vertex = incidence(quads.ravel(), of_quad, (count, len(quads)))
        ends = incidence(edges.ravel(), of_edge, (count, len(edges)))
        valence = np.maximum(np.asarray(by_vertex.sum(axis=1)), 1)
        touching = np.maximum(np.asarray(ends.sum(axis=1)), 1)
        inner = (uses == 2).astype(float)
        new_along = scaled(0.5 * inner, scaled(1 / uses, by_edge) @ middle) + scaled(1 - 0.5 * inner, along)
        smoothed = (
            scaled(1 / valence**2, by_vertex @ middle)
            + scaled(2 / (valence * touching), ends @ along)
            + scaled((valence - 3) / valence, keep)
        )
        on_border = np.zeros(count, bool)
        on_border[edges[uses == 1].ravel()] = True
        weights = stack([scaled(~on_border, smoothed) + scaled(on_border, keep), new_along, middle])
    else:
        weights = stack([keep, along, middle])
    centre = count + len(edges) + np.arange(len(quads))
    finer = [
        np.stack([quads[:, k], count + edge_of[:, k], centre, count + edge_of[:, k - 1]], axis=1) for k in range(4)
    ]
    return Finer(weights, np.concatenate(finer))


def _enclosed(quads: IntArray, loop: IntArray, of: int) -> Mask:
    """Which quads are on the side of a loop where vertex `of` is."""
    blocked = {frozenset(pair) for pair in zip(loop.tolist(), np.roll(loop, -1).tolist(), strict=True)}
    pairs = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    edges, edge_of = np.unique(pairs, axis=0, return_inverse=True)
    passable = np.array([frozenset(edge) not in blocked for edge in edges.tolist()])
    quad_of = np.repeat(np.arange(len(quads)), 4)
    open_ = passable[edge_of.ravel()]
    labels = components(quad_of[open_], len(quads) + edge_of.ravel()[open_], len(quads) + len(edges))
    start = int(np.flatnonzero((quads == of).any(axis=1))[0])
    return np.asarray(labels[: len(quads)] == labels[start])


def _islands(mesh: BaseMesh, quads: IntArray, uv_quads: IntArray) -> dict[str, IntArray]:
    """`skin` of head and neck, `neck`, and the insides: `mouth_cavity`, `left_eye_socket`, `right_eye_socket`."""
    ends = np.stack([uv_quads, np.roll(uv_quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    labels = components(ends[:, 0], ends[:, 1], len(mesh.uv))
    of_quad = labels[uv_quads[:, 0]]
    head = of_quad[(quads == NOSE_TIP).any(axis=1)][0]
    neck = of_quad[(quads == NECK_LOOP[0]).any(axis=1)][0]
    found = {"skin": np.unique(quads[np.isin(of_quad, [head, neck])]), "neck": np.unique(quads[of_quad == neck])}
    for label in np.unique(of_quad):
        if label not in (head, neck):
            vertices = np.unique(quads[of_quad == label])
            x = mesh.vertices[vertices, 0].mean()
            name = "mouth_cavity" if abs(x) < 0.005 else "left_eye_socket" if x > 0 else "right_eye_socket"
            found[name] = vertices
    return found


def _shorter_diagonal(corners: Float64Array) -> Mask:
    """Whether the diagonal from the first to the third corner is the shorter one, of quads [Q, 4, 3]."""
    lengths = np.linalg.norm(corners[:, :2] - corners[:, 2:], axis=-1)
    return np.asarray(lengths[:, 0] <= lengths[:, 1] * (1 + 1e-6))


def _triangles(quads: IntArray, first_diagonal: Mask) -> IntArray:
    """Two triangles a quad [2Q, 3], cut along the chosen diagonal."""
    turned = np.where(first_diagonal[:, None], quads, np.roll(quads, -1, axis=1))
    return np.stack([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
