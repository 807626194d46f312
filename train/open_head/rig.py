"""The joints of the head, which vertices they move, and where they lie in any shape of it."""

from dataclasses import dataclass

import numpy as np

from models.geometry import Float64Array
from models.head import JOINTS
from train.open_head.assets import BaseMesh, Library
from train.open_head.cut import Cut
from train.open_head.sparse import Matrix, sparse

PARENTS = (-1, 0, 1, 1, 1)
JAW_ROW = 9
"""Of the pose correctives: the first of the jaw's nine."""
NECK_BONES = {"neck02": 0.5, "neck03": 1.0}
"""Share of MakeHuman's bones that the neck's joint has; all bones of the head it has wholly, others not at all."""
TRUNK_BONES = ("spine", "clavicle", "shoulder", "breast", "upperarm", "neck01", "root")
NEAREST, RIDGE = 80, 1e-4


@dataclass(frozen=True, slots=True)
class Jaw:
    """How the jaw moves: shares of its rotation, and what rotation alone does not do."""

    shares: Float64Array  # [V] 0..1
    correctives: Float64Array  # [36, V * 3]
    unit_angle: float  # radians that the face unit jawOpen turns it


def joint_rows(mesh: BaseMesh) -> Matrix:
    """[5, N] the mean of the base mesh's vertices that each joint is: FLAME's joints, MakeHuman's places.

    The neck's joint is half way up the neck. The jaw turns about MakeHuman's joint of the mouth, which lies where a
    jaw is hinged.
    """
    rows = np.zeros((len(JOINTS), len(mesh.vertices)))
    for row, names in enumerate((("neck",), ("neck", "head"), ("mouth",), ("l-eye",), ("r-eye",))):
        vertices = np.concatenate([mesh.joint(name) for name in names])
        rows[row, vertices] = 1 / len(vertices)
    return sparse(rows)


def fit_jaw(library: Library, cut: Cut, template: Float64Array, joint: Float64Array) -> Jaw:
    """Skinning and correctives that make the jaw's rotation do what the face unit jawOpen does.

    At `unit_angle` the two agree at every vertex; before and beyond it the corrective goes with the angle's sine.
    """
    wanted = cut.apply(library.face_unit("jawOpen"))
    reach = np.linalg.norm(wanted, axis=1)
    chin = reach > 0.8 * reach.max()
    arms = template - joint
    angle = _turn_about_x(arms[chin], wanted[chin])
    turned = arms @ _about_x(angle).T - arms
    shares = (wanted * turned).sum(axis=1) / (np.square(turned).sum(axis=1) + 0.002**2)
    shares = np.clip(shares / np.median(shares[chin]), 0, 1)
    shares[reach < 1e-5] = 0
    left = wanted - shares[:, None] * turned
    unposed = turned_back(left, shares, angle)
    correctives = np.zeros((36, template.size))
    correctives[JAW_ROW + 7] = unposed.reshape(-1) / (2 * np.sin(angle))  # row 2, column 1 of R - 1: +sine
    correctives[JAW_ROW + 5] = -correctives[JAW_ROW + 7]  # row 1, column 2: -sine
    return Jaw(shares, correctives, angle)


def turned_back(offsets: Float64Array, shares: Float64Array, angle: float) -> Float64Array:
    """Offsets [V, 3] that become `offsets` when the jaw, opened by `angle`, turns each vertex by its share [V]."""
    blended = shares[:, None, None] * _about_x(angle) + (1 - shares)[:, None, None] * np.eye(3)  # [V, 3, 3]
    return np.asarray(np.linalg.solve(blended, offsets[..., None])[..., 0])


def build_skinning(library: Library, cut: Cut, jaw: Float64Array) -> Float64Array:
    """Weights [V, 5] of JOINTS; `jaw` [V] is its joint's share."""
    trunk = np.zeros(len(library.mesh.vertices))
    for bone, weights in library.bones.items():
        share = 1.0 if bone.startswith(TRUNK_BONES) else 1.0 - NECK_BONES.get(bone, 1.0)
        for vertex, weight in weights:
            trunk[vertex] += share * weight
    root = np.clip(cut.apply(trunk[:, None])[:, 0], 0, 1)
    skinning = np.zeros((len(root), len(JOINTS)))
    skinning[:, 0], skinning[:, 1], skinning[:, 2] = root * (1 - jaw), (1 - root) * (1 - jaw), jaw
    for column, region in ((3, "left_eyeball"), (4, "right_eyeball")):
        skinning[cut.regions[region]] = np.eye(len(JOINTS))[column]
    return skinning


def fit_regressor(
    cut: Cut, template: Float64Array, basis: Float64Array, joints: Float64Array, joint_basis: Float64Array
) -> Float64Array:
    """[5, V] joints of any shape from its vertices, of the template [V, 3] and its axes [300, V, 3].

    An eye's joint is the middle of its eyeball. The others' cubes are no part of the head: each is regressed over
    the nearest vertices, whose weights sum to 1, so that it follows along every axis.
    """
    regressor = np.zeros((len(JOINTS), len(template)))
    for row, region in ((3, "left_eyeball"), (4, "right_eyeball")):
        regressor[row, cut.regions[region]] = 1 / len(cut.regions[region])
    skin = cut.regions["skin"]
    for row in range(3):
        near = skin[np.argsort(np.linalg.norm(template[skin] - joints[row], axis=1), kind="stable")[:NEAREST]]
        regressor[row, near] = _affine_weights(
            np.concatenate([template[None, near], basis[:, near]]),
            np.concatenate([joints[None, row], joint_basis[:, row]]),
        )
    return regressor


def _affine_weights(points: Float64Array, wanted: Float64Array) -> Float64Array:
    """Weights [n] with sum 1 and `points` [m, n, 3] weighted nearest to `wanted` [m, 3]; the smallest such, nearly."""
    rows = points.transpose(0, 2, 1).reshape(-1, points.shape[1])
    count = rows.shape[1]
    even = np.full(count, 1 / count)
    free = np.eye(count) - 1 / count  # steps that keep the sum
    matrix = np.concatenate([rows @ free, np.sqrt(RIDGE) * np.mean(np.abs(rows[:3])) * np.eye(count)])
    target = np.concatenate([wanted.reshape(-1) - rows @ even, np.zeros(count)])
    return np.asarray(even + free @ np.linalg.lstsq(matrix, target, rcond=None)[0])


def _turn_about_x(arms: Float64Array, moved: Float64Array) -> float:
    """The angle about +x that moves `arms` by `moved` best, radians."""
    after = arms + moved
    sine = (arms[:, 1] * after[:, 2] - arms[:, 2] * after[:, 1]).sum()
    cosine = (arms[:, 1:] * after[:, 1:]).sum()
    return float(np.arctan2(sine, cosine))


def _about_x(angle: float) -> Float64Array:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
