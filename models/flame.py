"""The head layer: FLAME's parameters to a posed mesh and its landmarks, for any head of models.head.

FLAME (Li et al., SIGGRAPH Asia 2017) is SMPL's scheme on a head: blendshapes of identity and expression, joints
regressed from the shaped mesh, correctives driven by rotations, linear blend skinning. SMIRK adds eyelid offsets to
the *skinned* vertices, so they do not turn with the head; its checkpoints are fitted to that, and so is this layer.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.head import CONTOUR_ANGLES

if TYPE_CHECKING:
    from models.head import Embedding, HeadModel

_ROOT, _NECK = 0, 1
_ANGLE_LIMIT = CONTOUR_ANGLES // 2  # 39 degrees
_EMBEDDINGS = ("contour", "static", "full", "mediapipe")


@dataclass(frozen=True, slots=True)
class Head:
    """Posed heads, in the units and axes of models.head (metres; x to the subject's left, y up, z to the viewer)."""

    vertices: Tensor  # [B, V, 3]
    landmarks: Tensor  # [B, 68, 3] 17 of the contour that is visible at this turn of the head, then the 51 static ones
    full: Tensor  # [B, 68, 3] the 68 where they are on a frontal face
    mediapipe: Tensor  # [B, 105, 3] those of HeadModel.mediapipe_indices


class HeadLayer(nn.Module):
    """Differentiable heads in the dtype and on the device the layer was moved to.

    It holds no weights of its own: the head's arrays are buffers that stay out of checkpoints. With `landmarks_only` it
    poses just the vertices that carry landmarks, in a tenth of the time: `vertices` are those alone, `faces` are none.
    """

    faces: Tensor  # [F, 3] int64
    _template: Tensor  # [V * 3]
    _basis: Tensor  # [N + 36, V * 3] identity, expression, pose correctives
    _joint_template: Tensor  # [15]
    _joint_basis: Tensor  # [N, 15]
    _skinning: Tensor  # [V, 5]
    _eyelids: Tensor  # [2, V * 3]

    def __init__(self, model: "HeadModel", *, landmarks_only: bool = False) -> None:
        super().__init__()
        embeddings = {name: cast("Embedding", getattr(model, name)) for name in _EMBEDDINGS}
        corners = {name: model.faces[points.triangles] for name, points in embeddings.items()}
        kept = np.arange(len(model.template))
        if landmarks_only:
            kept = np.unique(np.concatenate([ids.ravel() for ids in corners.values()]))
        self.basis = model.basis
        self.parents = model.parents
        self.shape_size = model.shape_basis.shape[2]
        self.expression_size = model.expression_basis.shape[2]
        shapes = np.concatenate([model.shape_basis, model.expression_basis], axis=2)  # [V, 3, N]
        shapes = shapes.reshape(-1, shapes.shape[2]).T  # [N, V * 3]
        # Joints are linear in the coefficients, so they need not wait for the shaped mesh; and then one product serves
        # the shapes and the correctives together. In float64, since this sums over thousands of vertices only once.
        regressor = model.joint_regressor.astype(np.float64)  # [J, V]
        moved = regressor @ shapes.reshape(len(shapes), -1, 3).astype(np.float64)  # [N, J, 3]
        every = np.concatenate([shapes, model.pose_basis])
        self._keep("_template", model.template[kept].reshape(-1))
        self._keep("_basis", every.reshape(len(every), -1, 3)[:, kept].reshape(len(every), -1))
        self._keep("_joint_template", (regressor @ model.template).reshape(-1))
        self._keep("_joint_basis", moved.reshape(len(shapes), -1))
        self._keep("_skinning", model.skinning[kept])
        self._keep("_eyelids", model.eyelids[:, kept].reshape(2, -1))
        faces = model.faces[:0] if landmarks_only else model.faces
        self.register_buffer("faces", torch.from_numpy(faces.astype(np.int64)), persistent=False)
        for name, points in embeddings.items():
            where = torch.from_numpy(np.searchsorted(kept, corners[name]))
            self.register_buffer(f"_{name}_corners", where, persistent=False)
            self._keep(f"_{name}_weights", points.weights)

    def forward(
        self,
        shape: Tensor,  # [B, up to 300]; a shorter one is filled up with zeros
        expression: Tensor,  # [B, up to 50]; likewise
        pose: Tensor,  # [B, 3] of the root; this and the other rotations: axis-angle, radians
        jaw: Tensor,  # [B, 3]
        eyelids: Tensor,  # [B, 2] left, right; 0 open .. 1 closed
        neck: Tensor | None = None,  # [B, 3]; None: straight
        eyes: Tensor | None = None,  # [B, 6] left, right; None: straight ahead
    ) -> Head:
        """Pose a batch of heads. Raises ValueError for coefficients of another length than the head has."""
        coefficients = torch.cat(
            [_filled(shape, self.shape_size, "shape"), _filled(expression, self.expression_size, "expression")], dim=1
        )  # [B, N]
        neck = torch.zeros_like(pose) if neck is None else neck
        eyes = torch.zeros_like(torch.cat([pose, pose], dim=1)) if eyes is None else eyes
        angles = torch.cat([pose, neck, jaw, eyes], dim=1)  # [B, 15] in the order of JOINTS
        rotations = rotation_matrices(angles.reshape(-1, len(self.parents), 3))  # [B, 5, 3, 3]

        straight = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        correctives = (rotations[:, 1:] - straight).flatten(1)  # [B, 36]
        unposed = torch.addmm(self._template, torch.cat([coefficients, correctives], dim=1), self._basis)  # [B, V * 3]
        joints = torch.addmm(self._joint_template, coefficients, self._joint_basis)  # [B, 15]
        transforms = self._transforms(rotations, joints.reshape(-1, len(self.parents), 3))

        vertices = self._skinned(_points_of(unposed), transforms) + _points_of(eyelids @ self._eyelids)  # [B, V, 3]
        turned = contour_rows(rotations[:, _ROOT] @ rotations[:, _NECK])  # [B]
        outline = self._points(vertices, "contour", turned)
        return Head(
            vertices=vertices,
            landmarks=torch.cat([outline, self._points(vertices, "static")], dim=1),
            full=self._points(vertices, "full"),
            mediapipe=self._points(vertices, "mediapipe"),
        )

    def root(self, shape: Tensor) -> Tensor:
        """The joint [B, 3] that the head turns about, of identities [B, 300], metres: where the pose leaves a point."""
        axes = shape.shape[1]
        joints = torch.addmm(self._joint_template, shape, self._joint_basis[:axes])
        return joints[:, :3]

    def _transforms(self, rotations: Tensor, joints: Tensor) -> Tensor:
        """Where each joint takes a point of the unposed head: [B, 5, 3, 4], of rotations [B, 5, 3, 3] about joints."""
        turns: list[Tensor] = []  # [B, 3, 3] each
        places: list[Tensor] = []  # [B, 3] each: the posed joint
        for joint, parent in enumerate(self.parents):
            if parent < 0:
                turns.append(rotations[:, joint])
                places.append(joints[:, joint])
            else:
                bone = (joints[:, joint] - joints[:, parent])[..., None]  # [B, 3, 1]
                turns.append(turns[parent] @ rotations[:, joint])
                places.append(places[parent] + (turns[parent] @ bone)[..., 0])
        turn = torch.stack(turns, dim=1)  # [B, 5, 3, 3]
        shift = torch.stack(places, dim=1)[..., None] - turn @ joints[..., None]  # [B, 5, 3, 1]
        return torch.cat([turn, shift], dim=3)

    def _skinned(self, points: Tensor, transforms: Tensor) -> Tensor:
        """Points [B, V, 3] moved by the weighted mean of the joints' transforms [B, 5, 3, 4]."""
        blended = (self._skinning @ transforms.flatten(2)).reshape(points.shape[0], -1, 3, 4)  # [B, V, 3, 4]
        x, y, z = points[:, :, None].unbind(3)  # [B, V, 1] each
        # Written out, since on a CPU a product and a sum over three take 2.5 times as long.
        return blended[..., 0] * x + blended[..., 1] * y + blended[..., 2] * z + blended[..., 3]

    def _points(self, vertices: Tensor, name: str, row: Tensor | None = None) -> Tensor:
        """The points [B, N, 3] of an embedding; `row` [B] chooses one of a table of embeddings."""
        corners = cast(Tensor, getattr(self, f"_{name}_corners"))  # [N, 3] or [R, N, 3]
        weights = cast(Tensor, getattr(self, f"_{name}_weights"))
        if row is not None:
            corners, weights = corners[row], weights[row]  # [B, N, 3]
        else:
            corners = corners.expand(vertices.shape[0], -1, -1)
        found = vertices.gather(1, corners.flatten(1)[..., None].expand(-1, -1, 3))  # [B, N * 3, 3]
        points: Tensor = (found.reshape(vertices.shape[0], -1, 3, 3) * weights[..., None]).sum(dim=2)
        return points

    def _keep(self, name: str, array: np.ndarray) -> None:
        tensor = torch.from_numpy(np.ascontiguousarray(array, np.float32).copy())
        self.register_buffer(name, tensor, persistent=False)


def rotation_matrices(vectors: Tensor) -> Tensor:
    """Axis-angle vectors [..., 3], radians, to rotation matrices [..., 3, 3], by Rodrigues' formula.

    As in SMPL's own code 1e-8 is added inside the norm only, which keeps the gradient of no rotation finite.
    """
    # Half precision cannot hold the 1e-8.
    wide = vectors.float() if vectors.dtype == torch.float16 else vectors
    angle = torch.linalg.vector_norm(wide + 1e-8, dim=-1, keepdim=True)  # [..., 1]
    x, y, z = (wide / angle).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*x.shape, 3, 3)
    straight = torch.eye(3, dtype=wide.dtype, device=wide.device)
    sine, cosine = angle.sin()[..., None], angle.cos()[..., None]
    rotations: Tensor = straight + sine * cross + (1 - cosine) * (cross @ cross)
    return rotations.to(vectors.dtype)


def contour_rows(turn: Tensor) -> Tensor:
    """Row [B] of HeadModel.contour for heads turned by `turn` [B, 3, 3], root and neck together.

    Whole degrees about y: 0..39 are the head turned to its own left (about +y), rows 40..78 one to 39 degrees to its
    right; beyond either end the last row holds. This is SMIRK's sign; smplx has the other one.
    """
    sideways = torch.linalg.vector_norm(turn[:, :2, 0], dim=1)
    degrees = torch.rad2deg(torch.atan2(-turn[:, 2, 0], sideways)).round().clamp(-_ANGLE_LIMIT, _ANGLE_LIMIT).long()
    return torch.where(degrees < 0, _ANGLE_LIMIT - degrees, degrees)


def project(points: Tensor, camera: Tensor) -> Tensor:
    """Points [B, N, 3] as SMIRK's weak-perspective camera [B, 3] (scale, tx, ty) sees them: [B, N, 3].

    x and y are in the crop, -1..1 from its left and upper edge (a pixel is (1 + x) / 2 * CROP_SIZE); z grows away from
    the viewer in the same scale. The camera moves before it scales.
    """
    scale = camera[:, None, :1]  # [B, 1, 1]
    x, y, z = points.unbind(-1)
    tx, ty = camera[:, 1:2], camera[:, 2:3]  # [B, 1]
    return scale * torch.stack([x + tx, -(y + ty), -z], dim=-1)


def _points_of(flat: Tensor) -> Tensor:
    return flat.reshape(flat.shape[0], -1, 3)


def _filled(coefficients: Tensor, size: int, name: str) -> Tensor:
    given = coefficients.shape[1]
    if given > size:
        raise ValueError(f"{name} has {given} coefficients, this head takes {size}")
    return coefficients if given == size else F.pad(coefficients, (0, size - given))
