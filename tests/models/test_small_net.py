"""The small network learns whole, from crops of any size, and keeps what it learnt."""

from pathlib import Path

import pytest
import torch

from models.emotion import RAF_DB
from models.errors import CheckpointError
from models.small_net import SmallNet, load_small_net
from tests.models.networks import check_export, parameters, without_gradient


def test_it_is_small() -> None:
    network = SmallNet().eval()
    assert parameters(network) == 428_888 + 577 * 10
    assert network.features(torch.rand(2, 3, 150, 150)).shape == (2, 576)
    logits, affect = network(torch.rand(2, 3, 224, 224))
    assert logits is not None
    assert affect is not None
    assert (tuple(logits.shape), tuple(affect.shape)) == ((2, 8), (2, 2))


def test_every_part_learns() -> None:
    network = SmallNet().train()
    assert without_gradient(network, lambda: network(torch.rand(4, 3, 112, 112))) == []


def test_a_training_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(1)
    trained = SmallNet(label_order=RAF_DB).eval()
    torch.save(trained.net.state_dict(), tmp_path / "small.pt")
    found = SmallNet(label_order=RAF_DB).eval()
    load_small_net(found, tmp_path / "small.pt")
    crops = torch.rand(2, 3, 112, 112)
    assert torch.equal(trained(crops).logits, found(crops).logits)
    with pytest.raises(CheckpointError, match="expected float32"):
        load_small_net(SmallNet(), tmp_path / "small.pt")


def test_export_leaves_the_batch_open() -> None:
    check_export(SmallNet(label_order=RAF_DB), (3, 224, 224))
