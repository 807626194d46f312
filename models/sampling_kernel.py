"""`models.device_sampler.sample` as one Triton kernel for any number of frames. This module owns `triton`.

Importing it imports Triton, which takes a second: only what samples on a GPU does.
"""

import subprocess
from collections.abc import Sequence

import numpy as np
import torch
import triton
import triton.language as tl
from triton.errors import TritonError

from models.device_sampler import WHITE, Rule, upload
from models.geometry import Float64Array

COMPILE_ERRORS = (TritonError, RuntimeError, OSError, subprocess.CalledProcessError)
"""What Triton raises where it cannot compile: it needs a C compiler (RuntimeError) that works (CalledProcessError)."""

BLOCK = 512
"""Samples per program."""
COLUMNS = 12
"""Of the table, one row a picture: matrix (6 float64), and of its frame address, height, width, strides (6 int64)."""


def gather(frames: Sequence[torch.Tensor], matrices: Sequence[Float64Array], size: int, rule: Rule) -> torch.Tensor:
    """One launch for all frames; see `models.device_sampler.Kernel`."""
    device = frames[0].device
    table = np.empty((sum(map(len, matrices)), COLUMNS), np.int64)
    table[:, :6] = np.concatenate(matrices).reshape(-1, 6).view(np.int64)
    places = [(frame.data_ptr(), *frame.shape[:2], *frame.stride()) for frame in frames]
    table[:, 6:] = np.repeat(np.array(places, np.int64), [len(of_frame) for of_frame in matrices], axis=0)
    pictures = torch.empty((len(table), 3, size, size), dtype=torch.float32, device=device)
    grid = (len(table), triton.cdiv(size * size, BLOCK))
    with torch.cuda.device_of(pictures):  # type: ignore[no-untyped-call]
        sample_kernel[grid](upload(table, device), pictures, size, rule.black, rule.whole, WHITE / rule.white, BLOCK)
    return pictures


@triton.jit(do_not_specialize=["size"])  # type: ignore[untyped-decorator]
def sample_kernel(
    table: tl.tensor,
    pictures: tl.tensor,
    size: tl.tensor,
    black: tl.constexpr,
    whole: tl.constexpr,
    unit: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Samples number block * (program 1) and on of picture (program 0), three channels each."""
    row = table + tl.program_id(0) * 12
    sample = tl.program_id(1) * block + tl.arange(0, block)
    u, v = (sample % size).to(tl.float64), (sample // size).to(tl.float64)
    x = number(row) * u + number(row + 1) * v + number(row + 2)
    y = number(row + 3) * u + number(row + 4) * v + number(row + 5)
    address = tl.load(row + 6).to(tl.pointer_type(tl.uint8))
    height, width = tl.load(row + 7), tl.load(row + 8)
    left, top = tl.floor(x), tl.floor(y)
    across, down = (x - left).to(tl.float32), (y - top).to(tl.float32)
    column = tl.minimum(tl.maximum(left, -2.0), width.to(tl.float64)).to(tl.int64)
    line = tl.minimum(tl.maximum(top, -2.0), height.to(tl.float64)).to(tl.int64)
    used = sample < size * size
    for channel in tl.static_range(3):
        colour = address + channel * tl.load(row + 11)
        a = pixel(colour, line, column, row, used, black)
        b = pixel(colour, line + 1, column, row, used, black)
        c = pixel(colour, line, column + 1, row, used, black)
        d = pixel(colour, line + 1, column + 1, row, used, black)
        blend = mix(mix(a, b, down), mix(c, d, down), across)
        if whole == "nearest":
            blend = (blend + 8388608.0) - 8388608.0  # 2^23, whose neighbours lie 1 apart: rounds, halves to even
        elif whole == "down":
            blend = tl.floor(blend)
        target = pictures + (tl.program_id(0).to(tl.int64) * 3 + channel) * size * size + sample
        tl.store(target, blend / unit, mask=used)


@triton.jit  # type: ignore[untyped-decorator]
def number(address: tl.tensor) -> tl.tensor:
    """A float64 of the table."""
    return tl.load(address).to(tl.float64, bitcast=True)


@triton.jit  # type: ignore[untyped-decorator]
def pixel(
    colour: tl.tensor, line: tl.tensor, column: tl.tensor, row: tl.tensor, used: tl.tensor, black: tl.constexpr
) -> tl.tensor:
    """One channel of pixels, float32; outside the frame black or the outermost one."""
    height, width = tl.load(row + 7), tl.load(row + 8)
    if black:
        used = used & (line >= 0) & (line < height) & (column >= 0) & (column < width)
    line = tl.minimum(tl.maximum(line, 0), height - 1)
    column = tl.minimum(tl.maximum(column, 0), width - 1)
    address = colour + line * tl.load(row + 9) + column * tl.load(row + 10)
    return tl.load(address, mask=used, other=0).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def mix(a: tl.tensor, b: tl.tensor, share: tl.tensor) -> tl.tensor:
    """a to b, in torch.lerp's own order of operations: exactly a where both are equal."""
    return tl.where(share < 0.5, a + share * (b - a), b - (b - a) * (1 - share))
