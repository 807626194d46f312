"""DDAMFN has the published layout, to the parts that are never applied, and says what its parts say."""

from pathlib import Path

import pytest
import torch

from models.ddamfn import CoordinateAttention, Ddamfn, MixedDepthwise, load_ddamfn, load_mixed_feature_net
from models.emotion import EMOTIONS, RAF_DB
from models.errors import CheckpointError
from tests.models.networks import Layout, check_export, conv, layout_of, made_up, norm, parameters, without_gradient

STAGES = [1_920, 768, 23_576, 200_664, 63_512, 1_237_376, 542_304, 1_833_024, 132_608]
BLOCKS = {  # stage: blocks, channels in, channels out, kernels, their shares of the channels between
    2: (0, 64, 64, (3, 5, 7), (64, 32, 32)),
    3: (9, 64, 64, (3, 5), (96, 32)),
    4: (0, 64, 128, (3, 5, 7), (128, 64, 64)),
    5: (16, 128, 128, (3, 5), (192, 64)),
    6: (0, 128, 256, (3, 5, 7, 9), (256, 256, 256, 256)),
    7: (6, 256, 256, (3, 5, 7), (172, 170, 170)),
}


def block(name: str, inputs: int, outputs: int, kernels: tuple[int, ...], shares: tuple[int, ...]) -> Layout:
    wide, squeezed = sum(shares), max(8, sum(shares) // 32)
    layout = conv(f"{name}.conv.conv", wide, inputs, 1, 1) | norm(f"{name}.conv.bn", wide)
    layout |= conv(f"{name}.conv.prelu", wide)
    for i, (kernel, share) in enumerate(zip(kernels, shares, strict=True)):
        layout |= conv(f"{name}.conv_dw.mixed_depthwise_conv.{i}", share, 1, kernel, kernel)
    layout |= norm(f"{name}.conv_dw.bn", wide) | conv(f"{name}.conv_dw.prelu", wide)
    layout |= conv(f"{name}.CA.conv1", squeezed, wide, 1, 1, bias=True) | norm(f"{name}.CA.bn1", squeezed)
    layout |= conv(f"{name}.CA.conv2", wide, squeezed, 1, 1, bias=True)
    layout |= conv(f"{name}.CA.conv3", wide, squeezed, 1, 1, bias=True)
    return layout | conv(f"{name}.project.conv", outputs, wide, 1, 1) | norm(f"{name}.project.bn", outputs)


def backbone_layout(names: dict[int, str]) -> Layout:
    layout: dict[str, tuple[list[int], str]] = {}
    for stage, shape in ((0, (64, 3, 3, 3)), (1, (64, 1, 3, 3)), (8, (512, 256, 1, 1))):
        layout |= conv(f"{names[stage]}.conv", *shape) | norm(f"{names[stage]}.bn", shape[0])
        layout |= conv(f"{names[stage]}.prelu", shape[0])
    for stage, (count, *sizes) in BLOCKS.items():
        for name in [f"{names[stage]}.model.{i}" for i in range(count)] or [names[stage]]:
            layout |= block(name, *sizes)
    return layout


def upstream_layout(heads: int, classes: int) -> Layout:
    """As in upstream's files, from the description."""
    layout = dict(backbone_layout({stage: f"features.{stage}" for stage in range(9)}))
    for head in (f"cat_head{i}.CoordAtt" for i in range(heads)):
        for name, kernel in (("Linear_h", (1, 7)), ("Linear_w", (7, 1)), ("Linear", (7, 7))):
            layout |= conv(f"{head}.{name}.conv", 512, 1, *kernel) | norm(f"{head}.{name}.bn", 512)
        layout |= conv(f"{head}.conv1", 16, 512, 1, 1, bias=True) | norm(f"{head}.bn1", 16)
        layout |= conv(f"{head}.conv2", 512, 16, 1, 1, bias=True) | conv(f"{head}.conv3", 512, 16, 1, 1, bias=True)
    layout |= conv("Linear.conv", 512, 1, 7, 7) | norm("Linear.bn", 512)
    return layout | conv("fc", classes, 512, bias=True) | norm("bn", classes)


@pytest.fixture(scope="module")
def network() -> Ddamfn:
    torch.manual_seed(0)
    return Ddamfn().eval()


@pytest.mark.parametrize(
    ("heads", "classes", "count", "keys"), [(2, 8, 4_187_936, 1190), (2, 7, 4_187_421, 1190), (1, 8, 4_126_960, 1161)]
)
def test_sizes_and_names_are_the_published_ones(heads: int, classes: int, count: int, keys: int) -> None:
    with torch.device("meta"):
        network = Ddamfn(heads=heads, label_order=EMOTIONS[:classes])
    assert parameters(network) == count
    assert len(network.net.state_dict()) == keys
    assert layout_of(network.net) == upstream_layout(heads, classes)
    assert [parameters(stage) for stage in network.net.features] == STAGES
    assert parameters(network.net.get_submodule("cat_head0")) == 60_976


def test_a_published_checkpoint_loads_name_by_name(tmp_path: Path) -> None:
    tensors = made_up(upstream_layout(2, 7))
    content = {"iter": 20, "model_state_dict": tensors, "optimizer_state_dict": {"state": {0: {"step": 3.0}}}}
    torch.save(content, tmp_path / "rafdb.pth")
    network = Ddamfn(label_order=EMOTIONS[:7])
    load_ddamfn(network, tmp_path / "rafdb.pth")
    found = network.net.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_a_checkpoint_with_another_number_of_heads_is_refused(tmp_path: Path) -> None:
    torch.save({"model_state_dict": made_up(upstream_layout(1, 8))}, tmp_path / "one.pth")
    with pytest.raises(CheckpointError, match=r"29 tensors missing \(cat_head1"):
        load_ddamfn(Ddamfn(), tmp_path / "one.pth")


def test_the_backbone_starts_from_a_state_dict_of_its_own_and_never_from_a_module(tmp_path: Path) -> None:
    names = ("conv1", "conv2_dw", "conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5", "conv_6_sep")
    layout = dict(backbone_layout(dict(enumerate(names))))
    layout |= conv("conv_6_dw.conv", 512, 1, 7, 7) | norm("conv_6_dw.bn", 512) | conv("linear", 256, 512)
    tensors = made_up(layout | norm("bn", 256))
    assert sum(t.numel() for name, t in tensors.items() if "running" not in name and "num_" not in name) == 4_193_448
    torch.save(tensors, tmp_path / "mfn.pth")
    network = Ddamfn()
    before = network.net.fc.weight.clone()
    load_mixed_feature_net(network, tmp_path / "mfn.pth")
    weight = network.net.get_parameter("features.5.model.15.CA.conv3.weight")
    assert torch.equal(weight, tensors["conv_4.model.15.CA.conv3.weight"])
    assert torch.equal(network.net.fc.weight, before)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "MFN_msceleb.pth")
    with pytest.raises(CheckpointError, match="save its state_dict"):
        load_mixed_feature_net(network, tmp_path / "MFN_msceleb.pth")


@torch.no_grad()
def test_coordinate_attention_gates_by_the_means_of_rows_and_columns() -> None:
    torch.manual_seed(1)
    part = CoordinateAttention(64).eval()
    x = torch.rand(1, 64, 3, 4)

    def squeezed(means: torch.Tensor) -> torch.Tensor:  # [64, N]
        y = part.conv1.weight[:, :, 0, 0] @ means + part.conv1.bias[:, None]
        y = y / (1 + 1e-5) ** 0.5  # an untouched batch norm
        return y * (y + 3).clamp(0, 6) / 6

    def gate(conv: torch.nn.Conv2d, means: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(conv.weight[:, :, 0, 0] @ squeezed(means) + conv.bias[:, None])

    rows, columns = gate(part.conv2, x[0].mean(2)), gate(part.conv3, x[0].mean(1))
    torch.testing.assert_close(part(x)[0], x[0] * rows[:, :, None] * columns[:, None, :])


@torch.no_grad()
def test_mixed_convolutions_are_neither_normalised_nor_bent() -> None:
    part = MixedDepthwise((3, 5), (2, 3), stride=2).eval()
    for mixed in part.mixed_depthwise_conv:
        mixed.weight.fill_(-1.0)
    found = part(torch.ones(1, 5, 8, 8))
    assert found.shape == (1, 5, 4, 4)
    assert found[0, :, 2, 2].tolist() == [-9, -9, -25, -25, -25]


@torch.no_grad()
def test_features_are_the_map_times_the_larger_attention(network: Ddamfn) -> None:
    crops = torch.rand(2, 3, 224, 224)
    features, maps = network.attend(crops)
    assert features.shape == (2, 512)
    assert [tuple(attention.shape) for attention in maps] == [(2, 512, 7, 7)] * 2
    assert all(attention.min() > 0 and attention.max() < 1 for attention in maps)
    x = network.net.features(network.pixels(crops))
    whole, scale = network.net.Linear
    weighed = (x * torch.stack(maps).amax(0) * whole.weight[None, :, 0]).sum((2, 3))
    torch.testing.assert_close(features, scale(weighed[:, :, None, None])[:, :, 0, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.features(crops), features)
    torch.testing.assert_close(network(crops).logits, network.net.fc(features))
    assert network(crops).affect is None


@torch.no_grad()
def test_parts_that_upstream_never_applies_change_nothing(network: Ddamfn) -> None:
    crops = torch.rand(1, 3, 112, 112)
    before = network(crops).logits.clone()
    idle = [name for name, parameter in network.net.named_parameters() if not parameter.requires_grad]
    assert {name.split(".")[-2] for name in idle} == {"bn", "prelu", "conv"}
    assert len(idle) == 34 * 3 + 2 * 3 + 2  # of 34 blocks, 2 heads and the logits
    kept = {name: network.net.get_parameter(name).clone() for name in idle}
    for name in idle:
        network.net.get_parameter(name).fill_(9.0)
    assert torch.equal(network(crops).logits, before)
    for name, values in kept.items():
        network.net.get_parameter(name).copy_(values)


def test_every_part_that_is_applied_learns(network: Ddamfn) -> None:
    network.train()
    assert without_gradient(network, lambda: network(torch.rand(3, 3, 112, 112))) == []
    network.eval()


def test_a_network_trained_in_raf_dbs_order_answers_in_the_common_one(tmp_path: Path) -> None:
    network = Ddamfn(label_order=RAF_DB)
    with torch.no_grad():
        network.net.fc.weight.zero_()
        network.net.fc.bias.copy_(torch.arange(7.0))
        logits = network.read(torch.rand(1, 512)).logits
    assert logits is not None
    assert [RAF_DB[int(number)] for number in logits[0]] == list(EMOTIONS[:7]) == list(network.layout.emotions)


def test_export_leaves_the_batch_open() -> None:
    """Of a network with one block of each kind: the operators are the same."""
    network = Ddamfn()
    for stage in (3, 5, 7):
        blocks = network.net.features[stage]
        blocks.model = blocks.model[:1]
    check_export(network, (3, 224, 224))
