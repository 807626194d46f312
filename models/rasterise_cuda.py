"""NVIDIA's nvdiffrast as a rasteriser. This module owns `nvdiffrast`, which is loaded when a rasteriser is opened.

Its licence allows use for research and evaluation only, and it has no wheels: it is installed by hand, by those who may
use it. What it finds is the triangle of each pixel; weights and gradients are `models.rasterise`'s own, so that both
rasterisers give the same pictures but for pixels whose centre lies on an edge to within its sub-pixel grid.
"""

import importlib
from typing import Any

import torch
from torch import Tensor

from models.errors import EngineError
from models.rasterise import EMPTY, Size

REMEDY = (
    "where its non-commercial licence permits, install it on a machine with the CUDA toolkit: "
    "pip install setuptools wheel ninja && "
    "pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast; the torch rasteriser works without"
)
DEPTH_RANGE = 0.9
"""Depths are spread over -0.9 .. 0.9, safely inside what is not clipped."""


class CudaRasteriser:
    """A Rasteriser for CUDA tensors. Not for several threads at once: it keeps its buffers between calls."""

    def __init__(self) -> None:
        """Raises EngineError when nvdiffrast cannot be used here."""
        if not torch.cuda.is_available():
            raise EngineError("nvdiffrast: torch sees no NVIDIA GPU here; the torch rasteriser works without")
        try:
            self._library: Any = importlib.import_module("nvdiffrast.torch")
        except ImportError as error:
            raise EngineError(f"nvdiffrast cannot be imported ({error}): {REMEDY}") from error
        self._contexts: dict[torch.device, Any] = {}

    @torch.no_grad()
    def __call__(self, points: Tensor, faces: Tensor, size: Size) -> Tensor:
        """See `Rasteriser`; `points` must be on a GPU, and are rounded to float32."""
        if points.device.type != "cuda":
            raise ValueError(f"nvdiffrast: points on {points.device}, expected a CUDA device")
        if not len(points) or not len(faces):
            return faces.new_full((len(points), *size), EMPTY)
        if points.device not in self._contexts:
            self._contexts[points.device] = self._library.RasterizeCudaContext(device=points.device)
        places = clip_space(points.float(), size)
        context = self._contexts[points.device]
        found, _ = self._library.rasterize(context, places, faces.int().contiguous(), size, grad_db=False)
        numbers: Tensor = found[..., 3].long() - 1  # it counts from 1, and has 0 where nothing is seen
        return numbers


def clip_space(points: Tensor, size: Size) -> Tensor:
    """Pixels and depths [B, V, 3] as OpenGL's homogeneous positions [B, V, 4], without perspective.

    Its first row of pixels is the one at y = -1, which OpenGL puts at the bottom and we at the top: nothing is turned.
    """
    height, width = size
    x, y, depth = points.unbind(dim=2)
    low, high = depth.amin(dim=1, keepdim=True), depth.amax(dim=1, keepdim=True)
    spread = (high - low).clamp(min=torch.finfo(points.dtype).tiny)
    depth = ((depth - low) / spread * 2 - 1) * DEPTH_RANGE
    return torch.stack((2 * x / width - 1, 2 * y / height - 1, depth, torch.ones_like(x)), dim=2).contiguous()
