"""`stream.ingest.colour.to_rgb` as one Triton kernel, which reads each sample once and writes each byte once.

Importing it imports Triton, which takes a second: only what decodes on a GPU does.
"""

import torch
import triton
import triton.language as tl

from models.sampling_kernel import COMPILE_ERRORS
from stream.ingest.coding import Coding

__all__ = ["COMPILE_ERRORS", "colour_kernel", "convert"]

BLOCK = 512
"""Pixels per program."""


def convert(luma: torch.Tensor, chroma: torch.Tensor, coding: Coding) -> torch.Tensor:
    """See `to_rgb`."""
    height, width = luma.shape
    rgb = torch.empty((height, width, 3), dtype=torch.uint8, device=luma.device)
    places = (luma.stride(0), chroma.stride(0), *chroma.shape[:2])
    with torch.cuda.device_of(rgb):  # type: ignore[no-untyped-call]
        colour_kernel[(height, triton.cdiv(width, BLOCK))](
            luma, chroma, rgb, width, *places, *coding.coefficients().flatten().tolist(), BLOCK
        )
    return rgb


# The annotations are for people: Triton gets pointers, numbers and (constexpr) values compiled in. It would compile
# the kernel again for sizes with other divisors, while cameras are read.
@triton.jit(do_not_specialize=["width", "chroma_height", "chroma_width"])  # type: ignore[untyped-decorator]
def colour_kernel(
    luma: torch.Tensor,
    chroma: torch.Tensor,
    rgb: torch.Tensor,
    width: int,
    luma_stride: int,
    chroma_stride: int,
    chroma_height: int,
    chroma_width: int,
    luma_red: float,
    luma_green: float,
    luma_blue: float,
    cb_red: float,
    cb_green: float,
    cb_blue: float,
    cr_red: float,
    cr_green: float,
    cr_blue: float,
    start_red: float,
    start_green: float,
    start_blue: float,
    block: tl.constexpr,
) -> None:
    """Pixels number block * (program 1) and on of row (program 0)."""
    row = tl.program_id(0)
    column = tl.program_id(1) * block + tl.arange(0, block)
    used = column < width
    y = tl.load(luma + row * luma_stride + column, mask=used, other=0).to(tl.float32)
    line, sample = tl.minimum(row // 2, chroma_height - 1), tl.minimum(column // 2, chroma_width - 1)
    pair = chroma + line * chroma_stride + 2 * sample
    cb = tl.load(pair, mask=used, other=0).to(tl.float32)
    cr = tl.load(pair + 1, mask=used, other=0).to(tl.float32)
    pixel = rgb + (row * width + column) * 3
    tl.store(pixel, level(y * luma_red + cb * cb_red + cr * cr_red + start_red), mask=used)
    tl.store(pixel + 1, level(y * luma_green + cb * cb_green + cr * cr_green + start_green), mask=used)
    tl.store(pixel + 2, level(y * luma_blue + cb * cb_blue + cr * cr_blue + start_blue), mask=used)


@triton.jit  # type: ignore[untyped-decorator]
def level(value: tl.tensor) -> tl.tensor:
    """The nearest of 0..255."""
    return (tl.minimum(tl.maximum(value, 0.0), 255.0) + 0.5).to(tl.uint8)
