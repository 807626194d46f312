"""SMIRK's picture of a head: the face alone, grey, lit by five lamps (arXiv 2404.04104, section 3.1).

    vertices [B, V, 3], metres ── camera ── pixels ── rasterise ── normals of what is seen ── shade ── picture

SMIRK's own conventions: a vertex at normalised (x, y) lies at pixel (1 + x) / 2 * 224 of the crop, counted from its
outer corner; normals are averaged over the triangles of the face region as it is in space, by their area, and are not
made unit length again between the corners; what faces away is black but still hides what is behind it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.flame import project
from models.head import HeadModel
from models.rasterise import Fragments, Rasteriser, Size, rasterise, scanlines
from models.spec import CROP_SIZE

ALBEDO = 180 / 255
"""Of the grey that SMIRK gives every face."""
LAMPS = ((-1, 1, 1), (1, 1, 1), (-1, -1, 1), (1, -1, 1), (0, 0, 1))
"""Where SMIRK's lamps stand, as directions from the face: x to the subject's left, y up, z to the viewer."""
LAMP_POWER = 1.7
"""Of each. A surface that faces the viewer is then lit by 1.125, and rendered as 0.794."""
SMALLEST_NORMAL = 1e-6
"""Twice the square metres around a vertex. One that has less gets a shorter normal and is darker, as in SMIRK."""
CROP: Size = (CROP_SIZE, CROP_SIZE)


@dataclass(frozen=True, slots=True)
class FaceMesh:
    """The part of a head that is rendered: the triangles whose three corners lie in one of its regions."""

    vertices: Tensor  # [K] int64, ascending: which of the head's they are
    faces: Tensor  # [F, 3] int64, of the K

    @classmethod
    def of(cls, head: HeadModel, region: str | None = "face", device: torch.device | str = "cpu") -> "FaceMesh":
        """The mesh of a region; of the whole head for None.

        Raises ValueError for a region that the head does not have.
        """
        if region is not None and region not in head.regions:
            raise ValueError(f"head {head.name}: no region {region}; expected one of {', '.join(sorted(head.regions))}")
        kept = np.zeros(len(head.template), bool)
        kept[slice(None) if region is None else head.regions[region]] = True
        numbers = kept.cumsum() - 1
        faces = numbers[head.faces[kept[head.faces].all(axis=1)]]
        return cls(torch.from_numpy(kept.nonzero()[0]).to(device), torch.from_numpy(faces).to(device))


@dataclass(frozen=True, slots=True)
class Rendered:
    """Pictures of B faces."""

    image: Tensor  # [B, 3, H, W] RGB; exactly 0 where no face is
    fragments: Fragments
    """What each pixel sees, to draw other numbers of the same mesh: textures, depths, overlays."""

    @property
    def mask(self) -> Tensor:
        """Where the face is, [B, 1, H, W] bool; also where its inside is seen, which is black."""
        return self.fragments.mask[:, None]


def render_face(
    vertices: Tensor, camera: Tensor, mesh: FaceMesh, rasteriser: Rasteriser = scanlines, size: Size = CROP
) -> Rendered:
    """SMIRK's picture of heads in their crops.

    `vertices` [B, V, 3] of the whole head, metres, y up; `camera` [B, 3] scale, tx, ty (models.spec.FlameParams).
    """
    face = vertices.index_select(1, mesh.vertices)
    return render_shaded(face, to_pixels(project(face, camera), size), mesh.faces, rasteriser, size)


def render_shaded(face: Tensor, points: Tensor, faces: Tensor, rasteriser: Rasteriser, size: Size) -> Rendered:
    """The same of any mesh [B, K, 3] that lies anywhere in a picture: at `points` [B, K, 3], pixels and depth."""
    fragments = rasterise(points, faces, size, rasteriser)
    shading = ALBEDO * shade(fragments.interpolate(vertex_normals(face, faces), faces))
    return Rendered(fragments.picture(shading[:, None]).repeat(1, 3, 1, 1), fragments)


def to_pixels(normalised: Tensor, size: Size = CROP) -> Tensor:
    """Projected points [B, N, 3] over a picture of that size, as SMIRK places them; depths stay as they are."""
    height, width = size
    return torch.cat(((1 + normalised[..., :2]) / 2 * normalised.new_tensor([width, height]), normalised[..., 2:]), -1)


def to_frame(normalised: Tensor, crop_boxes: Tensor) -> Tensor:
    """Projected points [B, N, 3] where they lie in the frames the crops were cut from, for `rasterise`; depths alike.

    `crop_boxes` [B, 3]: centre x, centre y, side (models.geometry.crop_box). SMIRK learns from landmarks that a crop's
    coordinate 0 is the centre of its first pixel, as in frames, where a rasteriser's 0 is that pixel's corner: the
    mesh lies on the landmarks of a frame when half a pixel is added.
    """
    centre, side = crop_boxes[:, None, :2], crop_boxes[:, None, 2:]
    in_crop = (1 + normalised[..., :2]) / 2 * CROP_SIZE
    places = centre + side * (in_crop / (CROP_SIZE - 1) - 0.5) + 0.5
    return torch.cat((places, normalised[..., 2:] * side / 2), dim=-1)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Outward normals [B, V, 3] of meshes [B, V, 3]: of the triangles around each vertex, by their area."""
    a, b, c = (vertices.index_select(1, corner) for corner in faces.unbind(dim=1))
    areas = torch.linalg.cross(b - a, c - a)
    summed = torch.zeros_like(vertices)
    for corner in faces.unbind(dim=1):
        summed = summed.index_add(1, corner, areas)
    return F.normalize(summed, dim=2, eps=SMALLEST_NORMAL)


def shade(normals: Tensor) -> Tensor:
    """How much light normals [N, 3] catch [N]: the mean of the lamps."""
    lamps = F.normalize(normals.new_tensor(LAMPS), dim=1)
    return LAMP_POWER * (normals @ lamps.T).clamp(0, 1).mean(dim=1)
