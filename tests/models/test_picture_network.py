"""Pixels reach a published network at its size and scale, and settings tell cached engines apart."""

import pytest
import torch

from models.emotion import EMOTIONS, RAF_DB
from models.manifest import structure_hash
from models.picture_network import ImageNetPixels
from models.small_net import SmallNet


def test_halving_takes_the_mean_of_two_by_two() -> None:
    crops = torch.rand(2, 3, 224, 224)
    pixels = ImageNetPixels(112)(crops)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    small = crops.reshape(2, 3, 112, 2, 112, 2).mean(dim=(3, 5))
    torch.testing.assert_close(pixels, (small - mean[:, None, None]) / std[:, None, None])


@pytest.mark.parametrize("side", [64, 112, 130])
def test_crops_of_any_size(side: int) -> None:
    assert ImageNetPixels(112)(torch.rand(1, 3, side, side + 5)).shape == (1, 3, 112, 112)


def test_crops_of_the_right_size_are_only_scaled() -> None:
    crops = torch.rand(1, 3, 112, 112)
    assert torch.equal(ImageNetPixels(112)(crops), ImageNetPixels(112)(crops.clone()))
    assert ImageNetPixels(112)(torch.full((1, 3, 112, 112), 0.5))[0, :, 0, 0].tolist() == pytest.approx(
        [(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225], rel=1e-6
    )


def test_a_checkpoint_holds_the_published_tensors_only() -> None:
    assert ImageNetPixels(112).state_dict() == {}


def test_networks_that_differ_in_a_setting_do_not_share_an_engine() -> None:
    assert len({structure_hash(SmallNet(label_order=order)) for order in (EMOTIONS[:7], RAF_DB)}) == 2
    assert len({structure_hash(ImageNetPixels(side)) for side in (112, 224)}) == 2
