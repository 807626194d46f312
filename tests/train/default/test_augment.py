"""Augmentation moves targets with the pixels, and follows from its seed."""

import numpy as np
import pytest
import torch

from models.flame import HeadLayer, project
from models.open_head import load_open_head
from train.default.augment import augmented, plain
from train.default.examples import Examples
from train.default.network import Numbers
from train.synthetic.faces import SyntheticFaces


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


def test_parameters_and_points_stay_together(examples: Examples) -> None:
    batch = augmented(examples, 112, torch.Generator().manual_seed(1))
    assert batch.pictures.shape == (6, 3, 112, 112)
    assert float(batch.pictures.min()) >= 0
    assert float(batch.pictures.max()) <= 1
    moved = (batch.points - torch.from_numpy(examples.points)).abs().max()
    assert 0.005 < float(moved) < 0.2
    torch.testing.assert_close(posed(batch.parameters), batch.points, atol=2e-4, rtol=0)


def test_pixels_move_as_the_points_do(examples: Examples) -> None:
    """A white dot on a black picture stays on its point."""
    images = np.zeros_like(examples.images)
    pixels = ((examples.points[:, 0] + 1) / 2 * 224).astype(int)
    for image, (x, y) in zip(images, pixels, strict=True):
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    dotted = Examples(images, examples.parameters, examples.points, examples.outline, examples.kinds)
    found = 0
    for seed in range(5):
        batch = augmented(dotted, 224, torch.Generator().manual_seed(seed))
        for picture, point in zip(batch.pictures.mean(dim=1), batch.points[:, 0], strict=True):
            bright = (picture > picture.max() * 0.8).nonzero().float().mean(dim=0).flip(0) + 0.5
            found += bool(((point + 1) / 2 * 224 - bright).abs().max() < 3)
    assert found >= 24  # of 30; noise or a patch may hide some


def test_the_seed_decides(examples: Examples) -> None:
    first, second, other = (augmented(examples, 112, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(first.pictures, second.pictures, atol=0, rtol=0)
    assert not torch.equal(first.pictures, other.pictures)


def test_plain_is_the_picture_itself(examples: Examples) -> None:
    batch = plain(examples, 224)
    torch.testing.assert_close(batch.pictures[0] * 255, torch.from_numpy(examples.images[0]).permute(2, 0, 1).float())
