"""Draws predicted heads over the faces they were read off, so that a person can judge them.

The face region is posed by the parameters, shaded as SMIRK does it (models.renderer), at the frame's own resolution and
only inside the face's box, and blended over the pixels; the valence and arousal stand above it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.flame import HeadLayer, project
from models.head import HeadModel
from models.rasterise import Size, scanlines
from models.renderer import FaceMesh, render_shaded, to_frame
from models.spec import FLAME_LAYOUT, Affect
from stream.frame import AnalysedFace, Pixels
from stream.render.label import describe_face, draw_label

OPACITY = 0.65
"""Share of the mesh in a pixel: enough to see its shape, and still the person beneath."""


class MeshPainter:
    """Draws meshes of one head model. Keeps no state between pictures; belongs to one thread."""

    def __init__(self, head: HeadModel) -> None:
        self._layer = HeadLayer(head)
        self._mesh = FaceMesh.of(head)

    def paint(self, rgb: Pixels, faces: Sequence[AnalysedFace], affects: Sequence[Affect]) -> Pixels:
        """A copy of the picture [H, W, 3] with the mesh and the affect of each face over it, the smallest first.

        Raises ValueError for parameters that the head cannot take.
        """
        picture = rgb.copy()
        if not faces:
            return picture
        face_vertices, points = self._posed(faces)
        by_size = sorted(range(len(faces)), key=lambda i: faces[i].crop_box[2])  # what is nearer hides what is behind
        shown = [i for i in by_size if self._blend(picture, face_vertices[i : i + 1], points[i : i + 1])]
        for i in shown:
            left, top = points[i, :, :2].amin(dim=0).tolist()
            draw_label(picture, left, top, describe_face(faces[i].face.track, affects[i]))
        return picture

    @torch.inference_mode()
    def _posed(self, faces: Sequence[AnalysedFace]) -> tuple[Tensor, Tensor]:
        """Vertices of the face regions [B, K, 3]: in metres, and in pixels of the frame from its outer corner."""
        values = {
            name: torch.from_numpy(np.stack([getattr(face.params, name) for face in faces])) for name in FLAME_LAYOUT
        }
        camera = values.pop("camera")
        region = self._layer(**values).vertices.index_select(1, self._mesh.vertices)
        boxes = torch.tensor([face.crop_box for face in faces])
        return region, to_frame(project(region, camera), boxes)

    @torch.inference_mode()
    def _blend(self, picture: Pixels, face: Tensor, points: Tensor) -> bool:
        """Whether any of the mesh lies in the picture."""
        left, top, right, bottom = _box(points[0], (picture.shape[0], picture.shape[1]))
        if left >= right or top >= bottom:
            return False
        within = points - points.new_tensor([left, top, 0])
        rendered = render_shaded(face, within, self._mesh.faces, scanlines, (bottom - top, right - left))
        share = OPACITY * rendered.mask[0].permute(1, 2, 0).numpy()  # [h, w, 1]
        grey = 255 * rendered.image[0, :1].permute(1, 2, 0).numpy()
        part = picture[top:bottom, left:right]
        part[:] = np.rint(part + share * (grey - part))
        return True


def _box(points: Tensor, size: Size) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels that a mesh may cover in a picture of that size."""
    height, width = size
    low, high = points[:, :2].amin(dim=0).floor(), points[:, :2].amax(dim=0).ceil()
    left, right = low[0].clamp(0, width), high[0].clamp(0, width)
    top, bottom = low[1].clamp(0, height), high[1].clamp(0, height)
    return int(left), int(top), int(right), int(bottom)
