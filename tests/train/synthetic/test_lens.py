"""Scenes, occluders and cameras: what they may and may not do to a picture."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from train.synthetic import lens, occluders, scene
from train.synthetic.look import draw_look
from train.synthetic.noise import octaves, streaks


@pytest.fixture(scope="module")
def grain() -> lens.Grain:
    return lens.build_grain(np.random.default_rng(0))


@pytest.fixture(scope="module")
def walls() -> list[scene.Picture]:
    return scene.build_walls(np.random.default_rng(0), 8)


def target(size: int) -> scene.Picture:
    """A dark picture with a bright square in its third quarter."""
    picture = Image.new("RGB", (size, size), (60, 60, 60))
    ImageDraw.Draw(picture).rectangle(
        [size // 2, size // 2, size * 3 // 4 - 1, size * 3 // 4 - 1], fill=(220, 220, 220)
    )
    return picture


@pytest.mark.parametrize("resolution", [68, 150, 420])
def test_a_photograph_has_its_size_and_keeps_places(resolution: int, grain: lens.Grain) -> None:
    size = 224
    offsets = []
    for seed in range(25):
        drawn = lens.drawn_size(resolution, size)
        pixels = lens.photograph(np.random.default_rng(seed), target(drawn), resolution, size, grain)
        assert pixels.shape == (size, size, 3)
        assert pixels.dtype == np.uint8
        bright = pixels.mean(axis=2) > (pixels[20:90, 20:90].mean() + pixels[125:155, 125:155].mean()) / 2
        expected = (drawn // 2 + drawn * 3 // 4) / 2 / drawn * size
        offsets.append(np.argwhere(bright[100:180, 100:180]).mean(axis=0) + 100.5 - expected)
    assert np.abs(np.median(offsets, axis=0)).max() < 0.7


def test_few_pixels_are_drawn_with_few() -> None:
    assert lens.drawn_size(80, 224) == 100
    assert lens.drawn_size(400, 224) == 224
    drawn = [lens.draw_resolution(np.random.default_rng(i), 224) for i in range(200)]
    assert lens.FEWEST <= min(drawn) < 90
    assert 350 < max(drawn) <= lens.MOST


def test_some_photographs_are_grey(grain: lens.Grain) -> None:
    picture = Image.new("RGB", (64, 64), (200, 80, 60))
    colourless = 0
    for seed in range(300):
        pixels = lens.photograph(np.random.default_rng(seed), picture, 64, 64, grain)[20:44, 20:44].reshape(-1, 3)
        colourless += bool(np.ptp(pixels.mean(axis=0)) < 8)
    assert 8 <= colourless <= 45


@pytest.mark.parametrize("kind", occluders.KINDS, ids=lambda kind: kind.__name__)
def test_everything_that_may_be_in_front_covers_some_of_the_face(kind: object, walls: list[scene.Picture]) -> None:
    shares = []
    for seed in range(30):
        random = np.random.default_rng(seed)
        mask = Image.new("L", (224, 224))
        assert callable(kind)
        kind(random, ImageDraw.Draw(mask), np.array([112.0, 112.0]), 1000.0, draw_look(random))
        shares.append((np.asarray(mask)[45:180, 45:180] > 0).mean())
    assert np.mean(shares) > 0.01
    assert np.max(shares) < 0.75


def test_glasses_sit_on_both_eyes() -> None:
    points = occluders.glasses_points(np.random.default_rng(0))
    left, right = points[: occluders.RIM].mean(axis=0), points[occluders.RIM : 2 * occluders.RIM].mean(axis=0)
    assert left[0] == pytest.approx(0.031, abs=0.002)
    assert np.allclose(left * (-1, 1, 1), right, atol=1e-6)


def test_noise_is_spread_about_a_half() -> None:
    for noise in (octaves(np.random.default_rng(0), 128, 4, 64), streaks(np.random.default_rng(0), 128, 8, 64)):
        assert noise.shape == (128, 128)
        assert noise.mean() == pytest.approx(0.5, abs=0.02)
        assert 0.1 < noise.std() < 0.2
    down, across = np.abs(np.diff(noise, axis=0)).mean(), np.abs(np.diff(noise, axis=1)).mean()
    assert down < across / 2  # streaks run downwards


def test_backgrounds_differ(walls: list[scene.Picture]) -> None:
    pictures = [np.asarray(scene.draw_background(np.random.default_rng(i), 64, walls)) for i in range(12)]
    means = np.array([picture.mean() for picture in pictures])
    assert all(picture.shape == (64, 64, 3) for picture in pictures)
    assert means.std() > 15
