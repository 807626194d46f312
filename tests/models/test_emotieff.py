"""EmotiEffLib's network: timm's names, its order of emotions, and never its pickled module."""

import os
from pathlib import Path

import pytest
import timm
import torch

from models.emotieff import Emotieff, load_emotieff
from models.emotion import EMOTIEFF, EMOTIONS
from models.errors import CheckpointError
from tests.models.networks import Layout, check_export, conv, layout_of, made_up, parameters, without_gradient


def upstream_layout() -> Layout:
    """timm's names but for the last layer."""
    with torch.device("meta"):
        whole = layout_of(timm.create_model("tf_efficientnet_b0", pretrained=False))
    body = {name: form for name, form in whole.items() if not name.startswith("classifier.")}
    return body | conv("classifier", 10, 1280, bias=True)


@pytest.fixture(scope="module")
def network() -> Emotieff:
    torch.manual_seed(0)
    return Emotieff().eval()


def test_sizes_and_names(network: Emotieff) -> None:
    assert parameters(network) == 5_288_548 - 990 * 1281  # timm's 1000 classes are 10 outputs here
    assert layout_of(network.net) == upstream_layout()


def test_a_state_dict_loads_and_its_order_is_undone(tmp_path: Path) -> None:
    tensors = made_up(upstream_layout())
    tensors["classifier.weight"].zero_()
    tensors["classifier.bias"] = torch.arange(10.0)
    torch.save(tensors, tmp_path / "state.pt")
    network = Emotieff().eval()
    load_emotieff(network, tmp_path / "state.pt")
    logits, affect = network.read(torch.rand(1, 1280))
    assert logits is not None
    assert affect is not None
    assert [EMOTIEFF[int(number)] for number in logits[0]] == list(EMOTIONS)
    assert affect.tolist() == [[8, 9]]


class RunsACommand(torch.nn.Linear):
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {os.environ['MARKER']}",)


def test_the_published_module_is_refused_and_converting_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKER", str(tmp_path / "ran"))
    torch.save(RunsACommand(2, 2), tmp_path / "enet_b0_8_va_mtl.pt")
    with pytest.raises(CheckpointError, match=r"not run; .*torch\.load\(.*\)\.state_dict\(\)") as caught:
        load_emotieff(Emotieff(), tmp_path / "enet_b0_8_va_mtl.pt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(CheckpointError, match="check the path") as caught:
        load_emotieff(Emotieff(), tmp_path / "gone.pt")
    assert "torch.load" not in str(caught.value)


@torch.no_grad()
def test_features_are_the_published_networks_before_its_last_layer(network: Emotieff) -> None:
    crops = torch.rand(2, 3, 224, 224)
    assert network.features(crops).shape == (2, 1280)
    said = network.net(network.pixels(crops))
    logits, affect = network(crops)
    torch.testing.assert_close(logits, said[:, [EMOTIEFF.index(emotion) for emotion in EMOTIONS]])
    torch.testing.assert_close(affect, said[:, 8:])


def test_every_part_learns(network: Emotieff) -> None:
    network.train()
    assert without_gradient(network, lambda: network(torch.rand(4, 3, 64, 64))) == []
    network.eval()


def test_export_leaves_the_batch_open(network: Emotieff) -> None:
    check_export(network, (3, 224, 224))
