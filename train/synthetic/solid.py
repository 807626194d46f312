"""The head as it is drawn: what each triangle is, what each vertex carries, teeth, and places that hold glasses.

Everything that is painted is told by where a point lies on the *template*, so that paint moves with the face.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.head import HeadModel, IntArray
from models.open_basis import JAW_OPEN_RADIANS
from models.spec import FloatArray

SKIN, EYE, INSIDE, TEETH = range(4)
"""What a triangle is."""
ROOT, JAW = 0, 2
OPENING = 0.88
"""Of the jaw's turn that the lower teeth follow: the skin's correctives ask for less than the whole."""
EAR_OUT = 0.0745
"""Metres from the middle: what lies farther out in the region of an ear is the ear itself."""
EYE_FRONT = 0.5
"""Of an eyeball's depth: what lies farther back is never seen."""
TEETH_COLUMNS, TEETH_HALF, TEETH_FRONT, TEETH_BEND = 13, 0.0205, 0.085, 15.0
UPPER_ROWS, LOWER_ROWS = (-0.0240, -0.0362), (-0.0372, -0.0460)
"""Metres: half the width of the rows of teeth, where the front ones stand, how they bend back (x^2), their edges."""


@dataclass(frozen=True, slots=True)
class Solid:
    """K vertices, the head's V first and then the teeth's; F triangles."""

    faces: IntArray  # [F, 3] counter-clockwise as seen from outside
    kinds: npt.NDArray[np.uint8]  # [F] SKIN, EYE, INSIDE, TEETH
    carried: FloatArray  # [K, 8]: template x, y, z; angle about the head's axis; lips, lid rims, ears 0..1; openness
    around: IntArray  # [A, K] triangles_around
    teeth: FloatArray  # [2, T, 3] upper, lower
    joints: FloatArray  # [5, 3] of the mean head
    joint_shapes: FloatArray  # [5, 3, 300]
    mouth_shapes: FloatArray  # [3, 300] how identity moves the mouth
    eye_shapes: FloatArray  # [2, 3, 300] and each eye


def build_solid(head: HeadModel) -> Solid:
    """What is drawn of a head."""
    teeth, teeth_faces = _teeth(len(head.template))
    kinds, shown = _kinds(head), ~_hidden(head)
    regions = head.regions
    faces = np.concatenate([head.faces[shown], teeth_faces])
    return Solid(
        faces=faces,
        kinds=np.concatenate([kinds[shown], np.full(len(teeth_faces), TEETH, np.uint8)]),
        carried=np.concatenate([_carried(head), _carried_by_teeth(teeth)]),
        around=triangles_around(faces, len(head.template) + teeth.size // 3),
        teeth=teeth,
        joints=head.joint_regressor @ head.template,
        joint_shapes=np.einsum("jv,vak->jak", head.joint_regressor, head.shape_basis),
        mouth_shapes=head.shape_basis[regions["lips"]].mean(axis=0),
        eye_shapes=np.stack([head.shape_basis[regions[f"{side}_eyeball"]].mean(axis=0) for side in ("left", "right")]),
    )


def ride(
    solid: Solid, points: FloatArray, offset: FloatArray, shape: FloatArray, turns: FloatArray, opening: float = 0.0
) -> FloatArray:
    """Points [N, 3] of the template's skull, or of its jaw when that opens, as a posed head carries them.

    `offset` [..., 3] is what identity adds to them, `turns` [3, 3] the head's rotation, `opening` the jaw's angle.
    """
    joints = solid.joints + solid.joint_shapes @ shape
    moved = points + offset
    if opening:
        cos, sin = np.cos(OPENING * opening), np.sin(OPENING * opening)
        about = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], np.float32)
        moved = (moved - joints[JAW]) @ about.T + joints[JAW]
    return np.asarray((moved - joints[ROOT]) @ turns.T + joints[ROOT], np.float32)


def posed_teeth(solid: Solid, shape: FloatArray, turns: FloatArray, jaw_opening: float) -> FloatArray:
    """Both rows of teeth [2 * T, 3] in a posed head."""
    offset = solid.mouth_shapes @ shape
    opening = min(jaw_opening, 1.2 * JAW_OPEN_RADIANS)
    upper = ride(solid, solid.teeth[0], offset, shape, turns)
    return np.concatenate([upper, ride(solid, solid.teeth[1], offset, shape, turns, opening)])


def normals(vertices: FloatArray, faces: IntArray, around: IntArray) -> FloatArray:
    """Unit normals [K, 3] of the triangles around each vertex (`triangles_around`), by their area."""
    upright = np.ascontiguousarray(vertices.T)
    a, b, c = (upright.take(corner, axis=1) for corner in faces.T)  # [3, F] each
    first, second = b - a, c - a
    across = np.zeros((len(faces) + 1, 3), np.float32)  # written out, since numpy's cross is 4 times slower
    across[:-1, 0] = first[1] * second[2] - first[2] * second[1]
    across[:-1, 1] = first[2] * second[0] - first[0] * second[2]
    across[:-1, 2] = first[0] * second[1] - first[1] * second[0]
    total = across.take(around[0], axis=0)
    for others in around[1:]:
        total += across.take(others, axis=0)
    length = np.sqrt((total * total) @ np.ones((3, 1), np.float32))
    return np.asarray(total / np.maximum(length, 1e-12), np.float32)


def triangles_around(faces: IntArray, count: int) -> IntArray:
    """The triangles [A, K] of each vertex, A the most that one has; filled up with the number F, which is none."""
    corners = faces.ravel()
    order = np.argsort(corners, kind="stable")
    owners = corners[order]
    place = np.arange(len(owners)) - np.searchsorted(owners, owners)
    around = np.full((int(place.max()) + 1, count), len(faces))
    around[place, owners] = order // 3
    return around


def _kinds(head: HeadModel) -> npt.NDArray[np.uint8]:
    kinds = np.full(len(head.faces), SKIN, np.uint8)
    face = np.zeros(len(head.template), bool)
    face[head.regions["skin"]] = True
    for name in ("mouth_cavity", "left_eye_socket", "right_eye_socket"):
        kinds[_of(head, name).all(axis=1) & ~face[head.faces].all(axis=1)] = INSIDE
    for name in ("left_eyeball", "right_eyeball"):
        kinds[_of(head, name).all(axis=1)] = EYE
    return kinds


def _hidden(head: HeadModel) -> npt.NDArray[np.bool_]:
    """The triangles [F] that no camera sees: the backs of the eyeballs, which the lids never leave."""
    hidden = np.zeros(len(head.template), bool)
    for side in ("left", "right"):
        ball = head.regions[f"{side}_eyeball"]
        depth = head.template[ball, 2]
        hidden[ball] = depth < depth.min() + EYE_FRONT * (depth.max() - depth.min())
    return np.asarray(hidden[head.faces].all(axis=1))


def _of(head: HeadModel, *names: str) -> npt.NDArray[np.bool_]:
    """Which corners [F, 3] lie in regions."""
    inside = np.zeros(len(head.template), bool)
    for name in names:
        inside[head.regions[name]] = True
    return np.asarray(inside[head.faces])


def _carried(head: HeadModel) -> FloatArray:
    template, regions = head.template, head.regions
    masks = np.zeros((3, len(template)), np.float32)
    masks[0, np.setdiff1d(regions["lips"], regions["mouth_cavity"])] = 1
    for side in ("left", "right"):
        masks[1, np.intersect1d(regions[f"{side}_eye_socket"], regions["skin"])] = 1
        ear = regions[f"{side}_ear"]
        masks[2, ear[np.abs(template[ear, 0]) > EAR_OUT]] = 1
    angle = np.arctan2(template[:, 0], template[:, 2])
    return np.column_stack([template, angle, *masks, _openness(head)]).astype(np.float32)


def _openness(head: HeadModel) -> FloatArray:
    """How much of the sky each vertex [V] sees, roughly: hollows little (0.3), bulges all (1)."""
    template, faces = head.template.astype(np.float64), head.faces
    outward = normals(head.template, faces, triangles_around(faces, len(template)))
    starts, ends = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    count = np.maximum(np.bincount(starts, minlength=len(template)), 1)

    def around(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(starts, values[ends], len(template)) / count

    smooth = template
    for _ in range(6):
        smooth = np.stack([around(smooth[:, axis]) for axis in range(3)], axis=1)
    sunk = ((smooth - template) * outward).sum(axis=1)  # metres below its surroundings
    for _ in range(2):
        sunk = around(sunk)
    return np.asarray(np.clip(1 - 170 * np.maximum(sunk, 0), 0.3, 1), np.float32)


def _teeth(first: int) -> tuple[FloatArray, IntArray]:
    """Two bent strips [2, T, 3] and their triangles, whose vertices are counted from `first`."""
    x = np.linspace(-TEETH_HALF, TEETH_HALF, TEETH_COLUMNS)
    z = TEETH_FRONT - TEETH_BEND * x**2
    strips = [
        np.concatenate([np.column_stack([x, np.full_like(x, y), z]) for y in rows]) for rows in (UPPER_ROWS, LOWER_ROWS)
    ]
    top = np.arange(TEETH_COLUMNS - 1)
    quads = np.stack([top, top + TEETH_COLUMNS, top + TEETH_COLUMNS + 1, top + 1], axis=1)
    triangles = quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3) + first
    return np.asarray(strips, np.float32), np.concatenate([triangles, triangles + 2 * TEETH_COLUMNS])


def _carried_by_teeth(teeth: FloatArray) -> FloatArray:
    places = teeth.reshape(-1, 3)
    carried = np.zeros((len(places), 8), np.float32)
    carried[:, :3] = places
    carried[:, 7] = 1
    return carried
