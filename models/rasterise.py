"""Which triangle of a mesh each pixel sees, and the mesh's numbers there: what every picture of a head is made from.

    points in pixels ── Rasteriser ── triangle per pixel ── rasterise ── Fragments ── interpolate ── picture

Pixels are squares of side 1: (0, 0) is the outer corner of the first one and (0.5, 0.5) its centre, x right, y down;
the third number of a point is its depth, smaller is nearer. Both sides of a triangle are seen.
Visibility is hard, as in SMIRK: a pixel is its triangle's entirely. Gradients flow through the barycentric weights of
what is seen, which move with the points; a silhouette that moves has none.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.errors import EngineError

Size = tuple[int, int]
"""Height, width of a picture, pixels."""

EMPTY = -1
"""The triangle of a pixel that sees none."""

TRIANGLES_AT_ONCE = 1 << 18
PIXELS_AT_ONCE = 1 << 22
"""Bound the memory of `scanlines`, however large the batch and however many layers lie over a pixel."""


class Rasteriser(Protocol):
    """Finds what is seen; without gradients."""

    def __call__(self, points: Tensor, faces: Tensor, size: Size) -> Tensor:
        """The nearest triangle at each pixel's centre [B, H, W] int64, EMPTY where there is none.

        `points` [B, V, 3] pixels and depth, anywhere; `faces` [F, 3] int64.
        """


@dataclass(frozen=True, slots=True)
class Fragments:
    """What the pixels of B pictures see; N is the number of those that see a triangle."""

    triangles: Tensor  # [B, H, W] int64, EMPTY where nothing is seen
    covered: Tensor  # [N] int64 which of the B * H * W pixels see one, ascending
    weights: Tensor  # [3, N] barycentric, of the triangle's corners; they sum to 1, and carry gradients to the points

    @property
    def mask(self) -> Tensor:
        """Where something is seen, [B, H, W] bool."""
        return self.triangles != EMPTY

    def interpolate(self, values: Tensor, faces: Tensor) -> Tensor:
        """Numbers of corners at what is seen, [N, C].

        `values` [B, K, C]; `faces` [F, 3] which of the K each triangle's corners have: the mesh's own faces for what
        belongs to vertices, others for what has seams, such as texture coordinates.
        """
        batch, count, channels = values.shape
        if batch != len(self.triangles):
            raise ValueError(f"values of {batch} meshes for {len(self.triangles)} pictures: expected one each")
        flat = values.reshape(-1, channels)
        corners = _corners(self.triangles, self.covered, faces, count)
        a, b, c = (
            flat.index_select(0, corner) * weight[:, None]
            for corner, weight in zip(corners.unbind(), self.weights.unbind(), strict=True)
        )
        return a + b + c

    def picture(self, values: Tensor, background: float = 0.0) -> Tensor:
        """Pictures [B, C, H, W] of numbers [N, C] of what is seen; exactly `background` elsewhere."""
        batch, height, width = self.triangles.shape
        flat = values.new_full((batch * height * width, values.shape[1]), background)
        return flat.index_put((self.covered,), values).view(batch, height, width, -1).permute(0, 3, 1, 2)


def rasterise(points: Tensor, faces: Tensor, size: Size, rasteriser: Rasteriser) -> Fragments:
    """What pictures of `size` see of meshes [B, V, 3] (pixels and depth) with triangles `faces` [F, 3].

    Raises ValueError for other shapes. A triangle with a corner that is not finite is not seen.
    """
    if points.ndim != 3 or points.shape[2] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"points {tuple(points.shape)}, faces {tuple(faces.shape)}: expected [B, V, 3] and [F, 3]")
    triangles = rasteriser(points.detach(), faces, size)
    covered = (triangles.flatten() != EMPTY).nonzero()[:, 0]
    line = torch.div(covered, size[1], rounding_mode="floor")
    centre_x, centre_y = covered - line * size[1] + 0.5, line % size[0] + 0.5
    corners = _corners(triangles, covered, faces, points.shape[1]).flatten()
    x = points[..., 0].flatten().index_select(0, corners).view(3, -1) - centre_x.to(points.dtype)
    y = points[..., 1].flatten().index_select(0, corners).view(3, -1) - centre_y.to(points.dtype)
    return Fragments(triangles, covered, barycentric(x, y))


def barycentric(x: Tensor, y: Tensor) -> Tensor:
    """Weights [3, N] at the origin of the corners at `x` and `y` [3, N]; 0, 0, 1 in a triangle without area."""
    (ax, bx, cx), (ay, by, cy) = x.unbind(), y.unbind()
    whole = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)  # twice its area
    whole = torch.where(whole == 0, torch.inf, whole)
    a, b = (bx * cy - by * cx) / whole, (cx * ay - cy * ax) / whole
    return torch.stack((a, b, 1 - a - b))


def _corners(triangles: Tensor, covered: Tensor, faces: Tensor, count: int) -> Tensor:
    """Which of the B * `count` vertices of all meshes are the corners of what is seen [3, N]."""
    seen = faces.T.contiguous().index_select(1, triangles.flatten().index_select(0, covered))
    if len(triangles) == 1:
        return seen
    return seen + torch.div(covered, triangles.shape[1] * triangles.shape[2], rounding_mode="floor") * count


@torch.no_grad()
def scanlines(points: Tensor, faces: Tensor, size: Size) -> Tensor:
    """A Rasteriser in plain torch, on any device: triangles to rows, rows to pixels, the nearest kept.

    Two triangles that share an edge cut each row at the same place, and a pixel belongs to the one in which its centre
    lies or, on the edge itself, to the one right of or below it: meshes have no cracks, and every pixel is decided by
    float64 arithmetic of its own picture alone. Of equally near triangles the first is kept.
    """
    height, width = size
    at_once = max(1, TRIANGLES_AT_ONCE // max(1, len(faces)))
    parts = torch.split(points, at_once) if len(points) else ()
    found = [_nearest(part[:, faces].flatten(0, 1).double(), len(part), size) for part in parts]
    return torch.cat((faces.new_empty(0), *found)).view(len(points), height, width)


def _nearest(corners: Tensor, pictures: int, size: Size) -> Tensor:
    """The triangle seen by each of `pictures` * H * W pixels; `corners` [T, 3, 3], as many for each picture."""
    height, width = size
    per_picture = len(corners) // pictures
    which, corners = _with_rows(corners, height)
    edges = _Edges(corners)
    first, rows = _whole(corners[:, 0, 1], corners[:, 2, 1], height)
    triangle, row = _expand(first, rows)
    left, right, depth, depth_step = edges.cut(triangle, row + 0.5)
    first, columns = _whole(left, right, width)
    number = which[triangle]
    picture = torch.div(number, per_picture, rounding_mode="floor")
    number = number - picture * per_picture
    line = (picture * height + row) * width
    best = line.new_full((pictures * height * width,), torch.iinfo(torch.int64).max)
    pieces = math.ceil(int(columns.sum()) / PIXELS_AT_ONCE)
    for spans in torch.arange(len(columns), device=columns.device).chunk(max(1, pieces)):
        of_piece, column = _expand(first[spans], columns[spans])
        span = spans[of_piece]
        depths = depth[span] + (column + 0.5 - left[span]) * depth_step[span]
        best.scatter_reduce_(0, line[span] + column, (_ordered(depths) << 32) + number[span], "amin")
    return torch.where(best == torch.iinfo(torch.int64).max, EMPTY, best & 0xFFFFFFFF)


class _Edges:
    """The sides of triangles whose corners are sorted downwards: the long one, and the two opposite it."""

    def __init__(self, corners: Tensor) -> None:
        top, middle, bottom = corners.unbind(dim=1)
        self.middle_y = middle[:, 1]
        self.long = _steps(top, bottom)
        self.upper = _steps(top, middle)
        self.lower = _steps(middle, bottom)

    def cut(self, triangle: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Where lines at heights `y` enter and leave their triangles, the depth on entering, and its step per pixel."""
        short = torch.where((y < self.middle_y[triangle])[:, None], self.upper[triangle], self.lower[triangle])
        x1, depth1 = _at(self.long[triangle], y)
        x2, depth2 = _at(short, y)
        left, right = torch.minimum(x1, x2), torch.maximum(x1, x2)
        return left, right, torch.where(x1 <= x2, depth1, depth2), (depth2 - depth1) / (x2 - x1)


def _steps(start: Tensor, end: Tensor) -> Tensor:
    """Of edges going down: where they start (x, y, depth), and x and depth per row [T, 5]."""
    run = end - start
    return torch.cat((start, run[:, ::2] / run[:, 1:2]), dim=1)


def _at(edge: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """x and depth of edges at heights y, computed alike for both triangles of an edge."""
    x0, y0, depth0, x_step, depth_step = edge.unbind(dim=1)
    down = y - y0
    return x0 + down * x_step, depth0 + down * depth_step


def _with_rows(corners: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """The triangles that meet the centres of some rows: which they are, and their corners sorted downwards."""
    _, rows = _whole(corners[:, :, 1].amin(dim=1), corners[:, :, 1].amax(dim=1), height)
    which = ((rows > 0) & corners.isfinite().flatten(1).all(dim=1)).nonzero()[:, 0]
    corners = corners[which]
    order = corners[:, :, 1].argsort(dim=1)
    return which, corners.gather(1, order[:, :, None].expand(-1, -1, 3))


def _whole(low: Tensor, high: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """The first of the pixels 0..limit-1 whose centre is in low <= centre < high, and how many are."""
    first = (low - 0.5).ceil().nan_to_num(0.0).clamp(0, limit).long()
    end = (high - 0.5).ceil().nan_to_num(0.0).clamp(0, limit).long()
    return first, (end - first).clamp(min=0)


def _expand(first: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Ranges first..first+count-1 one after another: whose each number is, and the numbers."""
    owner = torch.repeat_interleave(counts)
    shift = first - (counts.cumsum(0) - counts)
    return owner, torch.arange(len(owner), device=owner.device) + shift[owner]


def _ordered(depths: Tensor) -> Tensor:
    """Whole numbers of 32 bits in the order of the depths, rounded to float32."""
    bits = depths.float().view(torch.int32).long()
    return torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def open_rasteriser(name: str = "torch") -> Rasteriser:
    """The rasteriser of that name: `torch` anywhere, or `nvdiffrast` on an NVIDIA GPU.

    nvdiffrast is never chosen by itself: its licence allows research and evaluation only.
    Raises EngineError for another name, or when nvdiffrast is not usable here.
    """
    if name == "torch":
        return scanlines
    if name == "nvdiffrast":
        from models.rasterise_cuda import CudaRasteriser  # needs a CUDA build of torch and a compiled extension

        return CudaRasteriser()
    raise EngineError(f"rasteriser {name}: expected torch or nvdiffrast")
