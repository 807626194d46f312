"""Samples pixels of frames on the device where they are: no copy of a frame, and only the pixels that are needed.

`sample` is the plain form, in torch, on any device. On NVIDIA GPUs a Triton kernel does the same for all frames of a
call in one launch (`models.sampling_kernel`), where torch needs 43 to 76 for each frame.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from models.device import DeviceArray
from models.engines.engine import Batch
from models.errors import EngineError
from models.geometry import Float64Array, Image
from models.parity import Tolerance
from models.spec import CROP_SIZE, FloatArray

log = logging.getLogger(__name__)

WHITE = 255.0
"""The brightest level of a frame."""
FARTHEST = 1e9
"""Pixels. No place in a frame, and no turned or scaled sum of such, leaves what float64 can hold."""

LETTERBOX_TOLERANCE = Tolerance(1e-3, 0.0, "the same float32 blends of the same pixels, rounded in another order")
"""In levels of 0..255: a blend of values up to 255 is rounded three times, by 255 * 2^-24 each."""
REGION_TOLERANCE = Tolerance(1.0, 0.0, "both are rounded to whole levels, and a blend near a half may go either way")
"""In levels of 0..255. OpenCV 5 computes positions in float32: 1e-4 of a pixel off in a 1080p frame."""
REGION_CHANGED = 0.01
"""Largest share of a region's numbers that differ by that level. Noise, the worst picture, has 0.001 at 720p."""
CROP_TOLERANCE = Tolerance(
    1.001 / 255, 0.0, "both are truncated to whole levels, and a blend may fall just short of one"
)
"""In SMIRK's range 0..1."""
CROP_CHANGED = 1e-4
"""Largest share of a crop's numbers that differ by that level: their blends end within 1e-4 of a whole one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one of the networks wants its pixels."""

    black: bool
    """Whether it is black outside the frame; otherwise its outermost pixels are repeated."""
    whole: Literal["", "nearest", "down"]
    """Which whole level a sample becomes; none of them keeps what lies between."""
    white: float
    """What the brightest level is given as."""


LETTERBOX = Rule(black=True, whole="", white=WHITE)
REGION = Rule(black=False, whole="nearest", white=WHITE)
CROP = Rule(black=True, whole="down", white=1.0)


class Kernel(Protocol):
    """Samples of several frames at once; `models.sampling_kernel.gather` is the one there is."""

    def __call__(
        self, frames: Sequence[torch.Tensor], matrices: Sequence[Float64Array], size: int, rule: Rule
    ) -> torch.Tensor:
        """`matrices[i]` [R_i, 2, 3] of `frames[i]` [H, W, 3], one after the other: [sum R, 3, size, size]; R_i > 0."""
        ...


class DeviceSampler:
    """The sampler for frames in a device's memory, which it reads on the current CUDA stream; see `Sampler`."""

    def __init__(self, device: torch.device) -> None:
        """Raises EngineError when the kernel does not compute on this GPU what it should."""
        self.device = device
        self._gather = _open_kernel(device) if device.type == "cuda" else gather_each

    def letterboxes(self, frames: Sequence[Image | DeviceArray], size: int) -> Batch:
        """See `Sampler`."""
        return self._pictures(frames, [letterbox_matrices(frame.shape, size) for frame in frames], size, LETTERBOX)

    def regions(self, frames: Sequence[Image | DeviceArray], regions: Sequence[Float64Array], size: int) -> Batch:
        """See `Sampler`. Raises ValueError for a region that is nowhere."""
        return self._pictures(frames, [region_matrices(of_frame, size) for of_frame in regions], size, REGION)

    def crops(self, frames: Sequence[Image | DeviceArray], boxes: Sequence[FloatArray]) -> FloatArray | DeviceArray:
        """See `Sampler`. Raises ValueError for a box that is nowhere."""
        matrices = [crop_matrices(of_frame, CROP_SIZE) for of_frame in boxes]
        return DeviceArray(self._pictures(frames, matrices, CROP_SIZE, CROP))

    def _pictures(
        self, frames: Sequence[Image | DeviceArray], matrices: Sequence[Float64Array], size: int, rule: Rule
    ) -> torch.Tensor:
        if len(frames) != len(matrices):
            raise ValueError(f"places in {len(matrices)} frames, but {len(frames)} frames; give each frame its own")
        used = [i for i, of_frame in enumerate(matrices) if len(of_frame)]
        if not used:
            return torch.empty((0, 3, size, size), device=self.device)
        return self._gather([self._on_device(frames[i]) for i in used], [matrices[i] for i in used], size, rule)

    def _on_device(self, frame: Image | DeviceArray) -> torch.Tensor:
        if not isinstance(frame, DeviceArray):
            raise TypeError(f"a frame of the CPU came to the sampler of {self.device}; open both for the same device")
        tensor = frame.here()
        if tensor.device != self.device or tensor.dtype != torch.uint8 or tensor.ndim != 3 or tensor.shape[2] != 3:
            raise TypeError(
                f"a frame is {tensor.dtype} {list(tensor.shape)} on {tensor.device}, expected uint8 [H, W, 3] on "
                f"{self.device}; decode for the device that samples"
            )
        return tensor


# Where samples lie: sample (u, v) of a picture is at matrix @ (u, v, 1) of its frame, in pixels


def letterbox_matrices(shape: Sequence[int], size: int) -> Float64Array:
    """[1, 2, 3]: a whole frame of shape [H, W, 3], centred in a square; see `geometry.letterbox`."""
    height, width = shape[:2]
    side = max(height, width)
    step = side / size
    return np.array([[[step, 0, (width - side) / 2], [0, step, (height - side) / 2]]])


def region_matrices(regions: Float64Array, size: int) -> Float64Array:
    """[R, 2, 3] of rotated rectangles [R, 5]; see `geometry.sample_regions`."""
    x, y, width, height, angle = _columns(regions, "region")
    cos, sin = np.cos(angle), np.sin(angle)
    across, down = np.stack([cos * width, sin * width]), np.stack([-sin * height, cos * height])  # [2, R]
    corner = np.stack([x, y]) - (across + down) / 2
    return np.stack([across / size, down / size, corner], axis=2).transpose(1, 0, 2)


def crop_matrices(boxes: FloatArray, size: int) -> Float64Array:
    """[R, 2, 3] of squares [R, 3], whose first and last samples lie on their edges; see `geometry.crop_faces`."""
    x, y, side = _columns(boxes.astype(np.float64), "box")
    matrices = np.zeros((len(boxes), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = side / (size - 1)
    matrices[:, 0, 2], matrices[:, 1, 2] = x - side / 2, y - side / 2
    return matrices


def _columns(places: Float64Array, what: str) -> Float64Array:
    """Columns [N, R] of places [R, N]. One that is not a number would be read from anywhere in the device's memory."""
    fits = (np.abs(places) <= FARTHEST).all(axis=1)
    if not fits.all():
        wrong = int(np.flatnonzero(~fits)[0])
        raise ValueError(
            f"{what} {wrong} of {len(places)} is {places[wrong].tolist()}, expected numbers up to {FARTHEST:g}; "
            "the network that placed it is broken"
        )
    return places.T


# Sampling in torch


def sample(frame: torch.Tensor, matrices: torch.Tensor, size: int, rule: Rule) -> torch.Tensor:
    """Pictures [R, 3, size, size] of one uint8 frame [H, W, 3], sampled at `matrices` [R, 2, 3] (float64).

    Bilinear from the four pixels around each sample, which are all that is read. Positions are float64, as the CPU's
    are; blends are float32, first down and then across.
    """
    u = torch.arange(size, dtype=torch.float64, device=frame.device)
    v = u[:, None]
    x, y = (
        matrices[:, axis, 0, None, None] * u + matrices[:, axis, 1, None, None] * v + matrices[:, axis, 2, None, None]
        for axis in (0, 1)
    )  # [R, size, size]
    column, row = x.floor(), y.floor()
    across, down = (x - column).float()[..., None], (y - row).float()[..., None]
    height, width = frame.shape[:2]
    column, row = column.clamp(-2, width).long(), row.clamp(-2, height).long()  # beyond the pixel outside, all is alike
    before, after = (
        torch.lerp(_pixels(frame, row, at, rule.black), _pixels(frame, row + 1, at, rule.black), down)
        for at in (column, column + 1)
    )
    blend = torch.lerp(before, after, across)
    if rule.whole:
        blend = blend.round() if rule.whole == "nearest" else blend.floor()
    if rule.white != WHITE:
        blend = blend / (WHITE / rule.white)
    return blend.permute(0, 3, 1, 2).contiguous()


def _pixels(frame: torch.Tensor, row: torch.Tensor, column: torch.Tensor, black: bool) -> torch.Tensor:
    """Pixels [R, size, size, 3] in float32; outside the frame black or its outermost ones."""
    height, width = frame.shape[:2]
    pixels = frame[row.clamp(0, height - 1), column.clamp(0, width - 1)].float()
    if not black:
        return pixels
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return pixels * inside[..., None]


def gather_each(
    frames: Sequence[torch.Tensor], matrices: Sequence[Float64Array], size: int, rule: Rule
) -> torch.Tensor:
    """`sample` of one frame after the other; see `Kernel`."""
    uploaded = upload(np.concatenate(matrices), frames[0].device)
    ends = np.cumsum([len(of_frame) for of_frame in matrices])[:-1].tolist()
    parts = zip(frames, uploaded.tensor_split(ends), strict=True)
    return torch.cat([sample(frame, of_frame, size, rule) for frame, of_frame in parts])


def upload(table: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """A table on the device, on its way there in the current stream: nothing waits for it."""
    tensor = torch.from_numpy(np.ascontiguousarray(table))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _open_kernel(device: torch.device) -> Kernel:
    """The kernel, compiled for this GPU and checked against `sample`; `gather_each` where it cannot be compiled."""
    noise = torch.randint(0, 256, (48, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    frame = noise.to(device)  # here, so that a GPU that does not work is not taken for a kernel that does not compile
    try:
        from models.sampling_kernel import COMPILE_ERRORS, gather
    except ImportError as error:
        return _without_kernel(device, error)
    try:
        _check_kernel(gather, frame)
    except COMPILE_ERRORS as error:
        return _without_kernel(device, error)
    return gather


def _without_kernel(device: torch.device, error: Exception) -> Kernel:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    log.warning("device %s: pixels are sampled by torch, many times slower: no Triton here (%s)", device, reason)
    return gather_each


def _check_kernel(kernel: Kernel, frame: torch.Tensor) -> None:
    matrices = region_matrices(np.array([[30.3, 20.7, 40, 30, 0.5], [60.1, 44.2, 25, 25, 0.0]]), 32)
    for rule, tolerance in ((LETTERBOX, LETTERBOX_TOLERANCE), (REGION, REGION_TOLERANCE), (CROP, CROP_TOLERANCE)):
        found, expected = (make([frame], [matrices], 32, rule).cpu() for make in (kernel, gather_each))
        worst = float((found - expected).abs().max())
        if not worst <= tolerance.atol:
            raise EngineError(
                f"device {frame.device}: the sampling kernel is off by {worst:g} under {rule}, allowed is "
                f"{tolerance.atol:g}; use --device cpu and report it"
            )
