"""YCbCr to RGB with the stream's own matrix and range, on the device where the planes are.

The Triton kernel of `stream.ingest.colour_kernel` does the same in one launch, for planes on a GPU.
"""

import logging
from collections.abc import Callable
from functools import lru_cache

import torch
from av.video.frame import VideoFrame
from torch.utils.dlpack import from_dlpack

from models.errors import EngineError
from stream.ingest.coding import BT709, Coding

log = logging.getLogger(__name__)

Convert = Callable[[torch.Tensor, torch.Tensor, Coding], torch.Tensor]

LARGEST_DIFFERENCE = 4
"""Levels by which `to_rgb` may differ from FFmpeg's own converter (the CPU path): that one computes in 16-bit fixed
point and truncates, this computes in float32 and rounds. Measured over random planes, every matrix and range: 3, and 4
for 10 bits. There it holds only where colour is even: FFmpeg interpolates chroma of 10 bits, and repeats that of 8."""
MEAN_DIFFERENCE = 1.5
"""The same, on average over a picture: truncating makes FFmpeg's pictures darker. Measured on real clips: 1.29."""
KERNEL_DIFFERENCE = 1
"""Levels by which the kernel may differ from `to_rgb`: both compute in float32, but the kernel fuses multiplications
with additions, so a value near a half may go either way."""


def planes_of(picture: VideoFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """Y [H, W] and CbCr [H/2, W/2, 2] of such a picture, where they are: views that keep the picture alive.

    On a GPU they are valid for work queued after what FFmpeg queued on the default stream.
    """
    # The capsule, not the plane: torch would ask the plane to synchronise with its stream, which PyAV refuses.
    luma, chroma = (from_dlpack(plane.__dlpack__()) for plane in picture.planes)
    return luma, chroma


def converter(device: torch.device) -> Convert:
    """`to_rgb` for planes on `device`: on a GPU the kernel, checked once; `to_rgb` itself where that cannot compile.

    Raises EngineError when the kernel does not compute on this GPU what it should.
    """
    return _open_kernel(device) if device.type == "cuda" else to_rgb


def to_rgb(luma: torch.Tensor, chroma: torch.Tensor, coding: Coding) -> torch.Tensor:
    """[H, W, 3] uint8, contiguous, full range, of Y [H, W] and CbCr [H/2, W/2, 2], uint8 or uint16.

    Each chroma sample colours four pixels, as in FFmpeg's converter for 8-bit pictures.
    """
    height, width = luma.shape
    of_luma, of_cb, of_cr, start = _coefficients(coding, luma.device)
    colour = (chroma[..., :1].float() * of_cb).addcmul_(chroma[..., 1:].float(), of_cr).add_(start)
    rgb = _repeated(colour, height, width).addcmul_(luma[..., None].float(), of_luma)
    return rgb.clamp_(0, 255).add_(0.5).to(torch.uint8)  # which truncates


@lru_cache
def _coefficients(coding: Coding, device: torch.device) -> torch.Tensor:
    return torch.tensor(coding.coefficients(), device=device)


def _repeated(colour: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """[h, w, 3] to [height, width, 3]; an odd size ends in half a sample, or without one of its own."""
    rows, columns = (
        (torch.arange(size, device=colour.device) // 2).clamp_(max=samples - 1)
        for size, samples in ((height, colour.shape[0]), (width, colour.shape[1]))
    )
    return colour[rows[:, None], columns]


@lru_cache
def _open_kernel(device: torch.device) -> Convert:
    noise = torch.randint(0, 256, (72, 96), generator=torch.Generator().manual_seed(0))
    pictures = [
        (samples[:48], samples[48:].reshape(24, 48, 2), Coding(BT709, full_range=False, bits=bits))
        for samples, bits in ((noise.to(torch.uint8).to(device), 8), ((noise * 256).to(torch.uint16).to(device), 10))
    ]
    # Here, so that a GPU that does not work is not taken for a kernel that does not compile.
    expected = [to_rgb(*picture).cpu() for picture in pictures]
    try:
        from stream.ingest.colour_kernel import COMPILE_ERRORS, convert
    except ImportError as error:
        return _without_kernel(device, error)
    try:
        found = [convert(*picture).cpu() for picture in pictures]
    except COMPILE_ERRORS as error:
        return _without_kernel(device, error)
    worst = max(int((ours.int() - theirs.int()).abs().max()) for ours, theirs in zip(found, expected, strict=True))
    if worst > KERNEL_DIFFERENCE:
        raise EngineError(
            f"device {device}: the colour kernel is off by {worst} levels, allowed is {KERNEL_DIFFERENCE}; "
            "use --ingest cpu and report it"
        )
    return convert


def _without_kernel(device: torch.device, error: Exception) -> Convert:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    log.warning("device %s: colours are converted by torch, many times slower: no Triton here (%s)", device, reason)
    return to_rgb
