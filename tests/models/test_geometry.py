"""Resampling against a plain float64 reference, and boxes against their definitions."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.geometry import (
    bounding_boxes,
    crop_box,
    crop_faces,
    from_letterbox,
    letterbox,
    overlap,
    region_boxes,
    regions_to_frame,
    sample_regions,
)

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]
WIDTH, HEIGHT = 320, 240


def bilinear(rgb: Image, x: Array, y: Array, *, black_outside: bool) -> Array:
    """Values [..., 3] at positions, straight from the definition: four neighbours, weighted by nearness."""
    height, width = rgb.shape[:2]
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    total = np.zeros((*x.shape, 3))
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        weight = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
        value = rgb[row.clip(0, height - 1), column.clip(0, width - 1)].astype(np.float64)
        if black_outside:
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            value = value * inside[..., None]
        total += weight[..., None] * value
    return total


def reference_crop(rgb: Image, x: float, y: float, side: float) -> Array:
    """SMIRK's crop [224, 224, 3] in whole levels: pixel u lies u * side / 223 from the square's corner."""
    u = np.arange(224) * side / 223
    columns, rows = np.meshgrid(u + (x - side / 2), u + (y - side / 2))
    return np.floor(bilinear(rgb, columns, rows, black_outside=True) + 1e-9)


@pytest.fixture(scope="module")
def noise() -> Image:
    return np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def smooth() -> Image:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [127.5 + 127.5 * np.sin(x / 17 + phase) * np.cos(y / 23 - phase) for phase in (0, 1, 2)]
    return np.stack(waves, axis=2).astype(np.uint8)


BOXES = {
    "inside": (160.3, 120.7, 150),
    "enlarged": (100.25, 80.5, 37),
    "shrunk by more than two": (170.6, 110.1, 463),
    "left half outside": (-4.4, 120.0, 180),
    "top outside": (150.5, 3.2, 120),
    "right and bottom outside": (315.9, 236.3, 200),
    "larger than the frame": (160.0, 120.0, 900),
    "on whole pixels": (160.0, 120.0, 223),
    "one pixel wide": (20.2, 30.7, 1),
}


@pytest.mark.parametrize("place", BOXES)
@pytest.mark.parametrize("picture", ["noise", "smooth"])
def test_crop_equals_the_float64_reference(picture: str, place: str, request: pytest.FixtureRequest) -> None:
    rgb: Image = request.getfixturevalue(picture)
    box = np.array([BOXES[place]], np.float32)
    crop = crop_faces(rgb, box)[0].transpose(1, 2, 0)
    difference = np.abs(np.rint(crop * 255) - reference_crop(rgb, *box[0].astype(np.float64).tolist()))
    # Positions are float64, blends float32: where the true value is a whole number to within 1e-4, truncation may fall
    # on either side. At most one level, and in noise, the worst case, in one pixel of a thousand.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_crop_is_float32_channels_first_in_whole_255ths(smooth: Image) -> None:
    crops = crop_faces(smooth, np.array([[160, 120, 90], [50, 60, 70]], np.float32))
    assert crops.shape == (2, 3, 224, 224)
    assert crops.dtype == np.float32
    assert np.array_equal(crops, np.rint(crops * 255).astype(np.float32) / np.float32(255))
    assert crop_faces(smooth, np.zeros((0, 3), np.float32)).shape == (0, 3, 224, 224)


def test_flat_areas_keep_their_exact_level() -> None:
    # A blend that sums weights gives 199.99998 in an area of 200, which truncates to 199.
    boxes = np.array([[40.37, 41.91, 33], [40.37, 41.91, 61], [39.1, 40.2, 71]], np.float32)
    for level in (1, 3, 7, 31, 77, 100, 127, 128, 171, 200, 213, 254, 255):
        crops = crop_faces(np.full((80, 80, 3), level, np.uint8), boxes)
        assert crops.min() == crops.max() == np.float32(level) / np.float32(255)


def test_a_crop_beside_the_frame_is_black(noise: Image) -> None:
    assert crop_faces(noise, np.array([[-500, 120, 100], [160, 2000, 100]], np.float32)).max() == 0


def test_frames_that_are_views_or_read_only_are_sampled_like_others(noise: Image) -> None:
    boxes = np.array([[160.3, 120.7, 150]], np.float32)
    regions = np.array([[160.3, 120.7, 150, 150, 0.3]])
    mirrored = noise[:, ::-1]
    mirrored.flags.writeable = False
    plain = mirrored.copy()
    assert np.array_equal(crop_faces(mirrored, boxes), crop_faces(plain, boxes))
    assert np.array_equal(sample_regions(mirrored, regions, 64), sample_regions(plain, regions, 64))
    assert np.array_equal(letterbox(mirrored, 128), letterbox(plain, 128))


def test_crop_box_is_smirks() -> None:
    points = np.zeros((2, 478, 3), np.float32)
    points[0, :, :2] = np.random.default_rng(0).uniform((100, 50), (199, 149), (478, 2))
    points[0, 0, :2], points[0, 1, :2] = (100, 50), (200, 150.9)
    points[1] = points[0] + 1000
    # Mean side (100 + 100.9) / 2 = 100.45, times 1.4 = 140.63, truncated.
    assert crop_box(points) == pytest.approx(np.array([[150, 100.45, 140], [1150, 1100.45, 140]]), rel=1e-6)
    assert crop_box(points, scale=2.0)[0, 2] == 200
    assert crop_box(np.zeros((1, 478, 3), np.float32))[0, 2] == 1
    assert crop_box(points[:0]).shape == (0, 3)


def test_points_follow_the_pixels_into_the_crop_and_back() -> None:
    rgb = np.zeros((240, 320, 3), np.uint8)
    rgb[100:103, 200:203] = 255  # centred on (201, 101)
    boxes = np.array([[190.5, 110.25, 91]], np.float32)
    lit = np.argwhere(crop_faces(rgb, boxes)[0, 0] > 0.5)[:, ::-1]  # x, y
    x, y, side = boxes[0]
    there = (np.array([201, 101]) - (np.array([x, y]) - side / 2)) * 223 / side  # spec: s = 223 / size
    assert there == pytest.approx(lit.mean(axis=0), abs=0.5)


@pytest.mark.parametrize("size", [(320, 240), (200, 300), (128, 128), (1000, 40)])
def test_letterbox_equals_the_float64_reference(size: tuple[int, int]) -> None:
    width, height = size
    rgb = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    side = max(size)
    steps = np.arange(128) * side / 128
    x, y = np.meshgrid(steps + (width - side) / 2, steps + (height - side) / 2)
    expected = bilinear(rgb, x, y, black_outside=True).transpose(2, 0, 1)
    assert np.abs(letterbox(rgb, 128) - expected).max() < 1e-3  # float32 blends of values up to 255


def test_letterbox_corners_map_back_to_the_frame() -> None:
    points = np.array([[0, 0.125], [1, 0.875], [0.5, 0.5]], np.float32)
    assert from_letterbox(points, 320, 240) == pytest.approx(np.array([[0, 0], [320, 240], [160, 120]]))


REGIONS = {
    "upright": (160.3, 120.7, 150, 150, 0.0),
    "turned": (150.0, 110.0, 120, 120, 0.6),
    "upside down": (170.2, 100.9, 90, 90, math.pi),
    "not square": (160.0, 120.0, 140, 90, -0.4),
    "over the left edge": (5.5, 100.0, 150, 150, 0.2),
    "over a corner": (318.0, 239.0, 100, 100, -2.0),
    "all around": (160.0, 120.0, 1000, 1000, 0.1),
}


@pytest.mark.parametrize("place", REGIONS)
def test_rotated_regions_equal_the_float64_reference(noise: Image, place: str) -> None:
    x, y, width, height, angle = REGIONS[place]
    u, v = np.meshgrid(np.arange(256) / 256 - 0.5, np.arange(256) / 256 - 0.5)
    columns = x + u * width * math.cos(angle) - v * height * math.sin(angle)
    rows = y + u * width * math.sin(angle) + v * height * math.cos(angle)
    columns, rows = columns.clip(0, WIDTH - 1), rows.clip(0, HEIGHT - 1)
    expected = bilinear(noise, columns, rows, black_outside=False).transpose(2, 0, 1)
    found = sample_regions(noise, np.array([REGIONS[place]]), 256)[0]
    # Half a level is rounding to bytes, as in MediaPipe; positions in float32 add 0.007 where neighbours differ by 255.
    assert np.abs(found - expected).max() < 0.51


def test_a_region_beside_the_frame_shows_its_edge(noise: Image) -> None:
    found = sample_regions(noise, np.array([[-800.0, 100.0, 50, 50, 0.0], [0.0, 100.0, 0, 0, 0.0]]), 8)
    assert found[0, :, 4, 4] == pytest.approx(noise[100, 0], abs=0.51)
    assert found[1, :, 4, 4] == pytest.approx(noise[100, 0], abs=0.51)


def test_points_follow_the_pixels_out_of_a_region() -> None:
    rgb = np.zeros((240, 320, 3), np.uint8)
    rgb[139:142, 179:182] = 255  # centred on (180, 140)
    regions = np.array([[160.0, 120.0, 120, 120, 0.5]])
    lit = np.argwhere(sample_regions(rgb, regions, 256)[0, 0] > 128)[:, ::-1].mean(axis=0) / 256
    points = np.array([[[*lit, 0.25]]], np.float32)
    back = regions_to_frame(points, regions)
    assert back[0, 0, :2] == pytest.approx([180, 140], abs=0.5)
    assert back[0, 0, 2] == pytest.approx(30)


def test_boxes_of_points_and_regions() -> None:
    points = np.array([[[1, 5, 9], [4, 2, 9]]], np.float32)
    assert bounding_boxes(points).tolist() == [[1, 2, 4, 5]]
    assert region_boxes(np.array([[10.0, 20, 6, 4, 1.0]])).tolist() == [[7, 18, 13, 22]]


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 5, 5, 5]], np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [5, 5, 5, 5]], np.float32)
    assert overlap(boxes, others) == pytest.approx(np.array([[1, 1 / 3, 0, 0], [0, 0, 0, 0]]))
    assert overlap(boxes[:0], others).shape == (0, 4)


corner = st.integers(-50, 50)
box = st.tuples(corner, corner, st.integers(0, 60), st.integers(0, 60)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(box, box)
def test_overlap_is_symmetric_and_between_0_and_1(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    a, b = np.array([first], np.float32), np.array([second], np.float32)
    assert overlap(a, b) == overlap(b, a)
    assert 0 <= overlap(a, b)[0, 0] <= 1
