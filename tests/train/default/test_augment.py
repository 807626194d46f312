"""Augmentation moves targets with the pixels, and follows from its seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.flame import HeadLayer, project
from models.open_head import load_open_head
from train.default.augment import HANDS, _handled, augmented, plain, shrunk
from train.default.examples import Examples
from train.default.network import Numbers
from train.synthetic.faces import SyntheticFaces
from train.synthetic.parameters import PLACES


@pytest.fixture(scope="module")
def examples() -> Examples:
    batch = SyntheticFaces(load_open_head(), seed=4).batch(range(6))
    kinds = np.zeros(6, np.uint8)
    return Examples(batch.images, batch.parameters, batch.landmarks, batch.outline[:, :17], kinds)


def posed(parameters: torch.Tensor) -> torch.Tensor:
    numbers = Numbers.of(parameters)
    head = HeadLayer(load_open_head(), landmarks_only=True)(
        numbers.shape, numbers.expression, numbers.pose, numbers.jaw, numbers.eyelids
    )
    return project(head.mediapipe, numbers.camera)[..., :2]


def roots(examples: Examples) -> torch.Tensor:
    layer = HeadLayer(load_open_head(), landmarks_only=True)
    return layer.root(Numbers.of(torch.from_numpy(examples.parameters)).shape)


def test_parameters_and_points_stay_together(examples: Examples) -> None:
    examples = replace(examples, parameters=examples.parameters.copy())
    examples.parameters[:, PLACES["eyelids"]] = 0  # SMIRK adds lids after posing, so that they do not turn
    points = posed(torch.from_numpy(examples.parameters)).numpy()
    examples = replace(examples, points=points)
    batch = augmented(examples, 112, torch.Generator().manual_seed(1), roots(examples))
    assert batch.pictures.shape == (6, 3, 112, 112)
    assert float(batch.pictures.min()) >= 0
    assert float(batch.pictures.max()) <= 1
    moved = (batch.points - torch.from_numpy(examples.points)).abs().max()
    assert 0.02 < float(moved) < 0.8
    torch.testing.assert_close(posed(batch.parameters), batch.points, atol=2e-4, rtol=0)


def test_pixels_move_as_the_points_do(examples: Examples) -> None:
    """A white dot on a black picture stays on its point."""
    images = np.zeros_like(examples.images)
    pixels = ((examples.points[:, 0] + 1) / 2 * 224).astype(int)
    for image, (x, y) in zip(images, pixels, strict=True):
        image[y - 1 : y + 4, x - 1 : x + 4] = 255  # SMIRK's -1 is the middle of the first pixel
    dotted = Examples(images, examples.parameters, examples.points, examples.outline, examples.kinds)
    found = 0
    for seed in range(5):
        batch = augmented(dotted, 224, torch.Generator().manual_seed(seed), roots(dotted))
        for picture, point in zip(batch.pictures.mean(dim=1), batch.points[:, 0], strict=True):
            bright = (picture > picture.max() * 0.8).nonzero().float().mean(dim=0).flip(0) + 0.5
            found += bool(((point + 1) / 2 * 224 + 0.5 - bright).abs().max() < 3)
    assert found >= 24  # of 30; noise or a patch may hide some


def test_the_seed_decides(examples: Examples) -> None:
    first, second, other = (
        augmented(examples, 112, torch.Generator().manual_seed(seed), roots(examples)) for seed in (1, 1, 2)
    )
    torch.testing.assert_close(first.pictures, second.pictures, atol=0, rtol=0)
    assert not torch.equal(first.pictures, other.pictures)


def test_plain_is_the_picture_itself(examples: Examples) -> None:
    batch = plain(examples, 224)
    torch.testing.assert_close(batch.pictures[0] * 255, torch.from_numpy(examples.images[0]).permute(2, 0, 1).float())


def test_shrunk_pictures_are_those_that_a_step_would_make(examples: Examples) -> None:
    small = shrunk(examples, 112, at_once=5)
    assert small.images.shape == (len(examples), 112, 112, 3)
    made, known = plain(small, 112), plain(examples, 112)
    torch.testing.assert_close(made.pictures, known.pictures, atol=0.51 / 255, rtol=0)
    torch.testing.assert_close(made.points, known.points)


def test_hands_have_the_persons_colour_and_come_before_some() -> None:
    colour = torch.tensor([0.6, 0.4, 0.3])[:, None, None]
    pictures = colour.expand(400, 3, 96, 96).contiguous()
    seen = _handled(pictures, torch.Generator().manual_seed(3))
    covered = (seen != pictures).any(dim=1).float().mean(dim=(1, 2))
    assert (covered > 0).float().mean() == pytest.approx(HANDS, abs=0.06)
    assert 0.05 < float(covered[covered > 0].mean()) < 0.6
    shades = seen / colour
    torch.testing.assert_close(shades[:, 0], shades[:, 2])  # darker or brighter, of the same hue
    assert 0.4 < float(shades.min()) < 0.9
    assert 1.0 < float(shades.max()) < 1.35
