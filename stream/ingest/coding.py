"""What the numbers of a picture mean: its matrix, its range, its depth."""

from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from models.spec import FloatArray


@dataclass(frozen=True, slots=True)
class Matrix:
    """Weights of red and blue in luma, and the name that FFmpeg's scaler has for it."""

    kr: float
    kb: float
    swscale: Colorspace


BT601 = Matrix(0.299, 0.114, Colorspace.ITU601)
BT709 = Matrix(0.2126, 0.0722, Colorspace.ITU709)
BT2020 = Matrix(0.2627, 0.0593, Colorspace.BT2020)
FCC = Matrix(0.30, 0.11, Colorspace.FCC)
SMPTE240M = Matrix(0.212, 0.087, Colorspace.SMPTE240M)

# Keys: matrix_coefficients of ITU-T H.273, as decoders report them.
MATRICES = {1: BT709, 4: FCC, 5: BT601, 6: BT601, 7: SMPTE240M, 9: BT2020, 10: BT2020}

BITS = {"nv12": 8, "p010le": 10, "p016le": 12}
"""Meaningful bits of a sample in the formats that NVDEC gives; those with more than 8 hold them in the high end of 16.
It gives p016le for 12-bit streams."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How numbers in the planes become colours."""

    matrix: Matrix
    full_range: bool
    bits: int = 8

    def coefficients(self) -> FloatArray:
        """[4, 3] float32: what 1 of Y, Cb and Cr adds to red, green and blue (0..255), and what they start from."""
        kr, kb = self.matrix.kr, self.matrix.kb
        kg = 1 - kr - kb
        level = 1 if self.bits == 8 else 256  # one level of 8 bits, as stored
        if self.full_range:
            black, luma_scale = 0, 255 / ((2**self.bits - 1) / 2 ** (self.bits - 8) * level)
            chroma_scale = luma_scale
        else:
            black, luma_scale, chroma_scale = 16 * level, 255 / (219 * level), 255 / (224 * level)
        luma = np.full(3, luma_scale)
        cb = 2 * (1 - kb) * chroma_scale * np.array([0, -kb / kg, 1])
        cr = 2 * (1 - kr) * chroma_scale * np.array([1, -kr / kg, 0])
        coefficients: FloatArray = np.stack([luma, cb, cr, -black * luma - 128 * level * (cb + cr)]).astype(np.float32)
        return coefficients


def matrix_of(picture: VideoFrame) -> Matrix:
    """The stream's matrix; when it names none, BT.709 for HD and BT.601 for SD.

    That is what broadcast standards prescribe for these sizes, what encoders that leave the field empty have used,
    and what players assume.
    """
    high_definition = picture.width >= 1280 or picture.height > 576
    return MATRICES.get(picture.colorspace, BT709 if high_definition else BT601)


def is_full_range(picture: VideoFrame) -> bool:
    """Whether black is 0 and white the largest number; limited range is what streams that say nothing have."""
    return picture.format.name.startswith("yuvj") or picture.color_range == ColorRange.JPEG


def coding_of(picture: VideoFrame) -> Coding:
    """Of a picture in one of the formats in BITS, in either memory. Raises KeyError for others."""
    stored = picture.sw_format or picture.format  # a picture in a GPU's memory calls its format "cuda"
    return Coding(matrix_of(picture), is_full_range(picture), BITS[stored.name])
