"""CAGE's networks are torchvision's MaxViT-T with the published head, name by name."""

from pathlib import Path

import pytest
import torch
import torchvision

from models.cage import Cage, load_cage, load_cage_body, load_imagenet
from models.emotion import EMOTIONS
from models.errors import CheckpointError
from tests.models.networks import Layout, blank, check_export, conv, layout_of, made_up, parameters, without_gradient


def upstream_layout(last: dict[str, tuple[list[int], str]]) -> Layout:
    """As in upstream's files: torchvision's names but for the head, which is listed."""
    with torch.device("meta"):
        whole = layout_of(torchvision.models.maxvit_t(weights=None))
    body = {name: form for name, form in whole.items() if not name.startswith("classifier.")}
    head = conv("classifier.2", 512) | {"classifier.2.bias": ([512], "float32")}
    return body | head | conv("classifier.3", 512, 512, bias=True) | last


COMBINED = conv("classifier.5", 10, 512)


@pytest.fixture(scope="module")
def network() -> Cage:
    torch.manual_seed(0)
    return Cage().eval()


@pytest.mark.parametrize(
    ("labels", "count", "last"),
    [
        (EMOTIONS, 30_412_744, COMBINED),
        (EMOTIONS[:7], 30_412_744 - 512, conv("classifier.5", 9, 512)),
        ((), 30_408_648, conv("classifier.6", 2, 512)),
    ],
)
def test_sizes_and_names_are_the_published_ones(
    labels: tuple[str, ...], count: int, last: dict[str, tuple[list[int], str]], tmp_path: Path
) -> None:
    with torch.device("meta"):
        network = Cage(label_order=labels)
    assert parameters(network) == count
    assert layout_of(network.net) == upstream_layout(last)
    assert list(last) == [network.last_weight]


def test_a_trainings_checkpoint_loads_name_by_name_and_says_valence_first(tmp_path: Path) -> None:
    tensors = made_up(upstream_layout(COMBINED))
    torch.save(tensors, tmp_path / "model.pt")
    network = blank(Cage)
    load_cage(network, tmp_path / "model.pt")
    found = network.net.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    features = torch.rand(2, 512)
    logits, affect = network.eval().read(features)
    torch.testing.assert_close(torch.cat([logits, affect], 1), features @ tensors["classifier.5.weight"].T)
    with pytest.raises(CheckpointError, match=r"1 tensors missing \(classifier.6.weight\) and 1 tensors unexpected"):
        load_cage(blank(lambda: Cage(label_order=())), tmp_path / "model.pt")


def test_a_start_is_imagenets_but_for_the_head_and_a_fusions_backbone_but_for_the_last_layer(tmp_path: Path) -> None:
    with torch.device("meta"):
        imagenet = layout_of(torchvision.models.maxvit_t(weights=None))
    torch.save(made_up(imagenet, seed=1), tmp_path / "maxvit_t-bc5ab103.pth")
    torch.save(made_up(upstream_layout({}), seed=2), tmp_path / "MODEL.pt")
    network = blank(Cage)
    name, norm, last = (
        "blocks.3.layers.1.layers.grid_attention.attn_layer.0.weight",
        "classifier.2.weight",
        "classifier.5",
    )
    first = {key: network.net.state_dict()[key].clone() for key in (norm, f"{last}.weight")}
    load_imagenet(network, tmp_path / "maxvit_t-bc5ab103.pth")
    assert torch.equal(network.net.get_parameter(name), made_up(imagenet, seed=1)[name])
    assert torch.equal(network.net.get_parameter(norm), first[norm])
    load_cage_body(network, tmp_path / "MODEL.pt")
    assert torch.equal(network.net.get_parameter(norm), made_up(upstream_layout({}), seed=2)[norm])
    assert torch.equal(network.net.get_parameter(f"{last}.weight"), first[f"{last}.weight"])


@torch.no_grad()
def test_features_are_the_published_networks_up_to_its_tanh(network: Cage) -> None:
    crops = torch.rand(1, 3, 224, 224)
    features = network.features(crops)
    assert features.shape == (1, 512)
    assert features.abs().max() <= 1
    logits, affect = network.read(features)
    torch.testing.assert_close(torch.cat([logits, affect], 1), network.net(network.pixels(crops)))


def test_every_part_learns(network: Cage) -> None:
    """In evaluation mode: in training, whole layers are left out by chance."""
    assert without_gradient(network, lambda: network(torch.rand(1, 3, 224, 224))) == []


def test_export_leaves_the_batch_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network with fewer blocks: the operators are the same, and the whole one takes its time."""
    small = {"stem_channels": 8, "block_channels": [32, 512], "block_layers": [1, 1], "head_dim": 32}
    fewer = torchvision.models.MaxVit((224, 224), partition_size=7, stochastic_depth_prob=0.2, **small)
    monkeypatch.setattr(torchvision.models, "maxvit_t", lambda weights: fewer)
    check_export(Cage(), (3, 224, 224))
