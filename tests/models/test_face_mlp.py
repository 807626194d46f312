"""The networks on 3D parameters have the published sizes, names and orders."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from models.affect_network import AffectOutput
from models.emotion import EMOTIONS, RAF_DB
from models.errors import CheckpointError
from models.face_mlp import (
    FaceMlp,
    ShortSmirkNet,
    affect_regressor,
    face_classifier,
    load_face_network,
    raf_db_classifier,
)
from tests.models.networks import Layout, check_export, conv, layout_of, made_up, norm, parameters, without_gradient


def mlp_layout(size: int, outputs: int) -> Layout:
    """As in upstream's files, from the description."""
    layout: dict[str, tuple[list[int], str]] = {}
    for index in range(1, 5):
        layout |= conv(f"fc{index}", 2048, size if index == 1 else 2048, bias=True) | norm(f"bn{index}", 2048)
    return layout | conv("output", outputs, 2048, bias=True)


SHORT_LAYOUT: Layout = {
    name: form
    for part in (
        conv("Smirk_Linear", 512, 353, bias=True),
        conv("residual_block1.0", 1024, 512, bias=True),
        conv("residual_block1.3", 512, 1024, bias=True),
        conv("residual_block2.0", 512, 512, bias=True),
        conv("residual_block2.3", 512, 512, bias=True),
        conv("fc", 10, 512, bias=True),
    )
    for name, form in part.items()
}


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (lambda: face_classifier(156, order="arousal-valence"), 12_947_466),
        (lambda: face_classifier(334, order="arousal-valence"), 13_312_010),
        (lambda: face_classifier(353, order="arousal-valence"), 13_350_922),
        (lambda: face_classifier(358, order="arousal-valence"), 13_361_162),
        (lambda: raf_db_classifier(334), 13_312_010),
        (lambda: affect_regressor(156), 12_931_074),
        (ShortSmirkNet, 1_761_802),
    ],
)
def test_parameter_counts_are_the_published_ones(network: type[torch.nn.Module], count: int) -> None:
    with torch.device("meta"):
        assert parameters(network()) == count


def test_names_and_shapes_are_upstreams() -> None:
    assert layout_of(face_classifier(334, order="arousal-valence")) == mlp_layout(334, 10)
    assert layout_of(affect_regressor(156)) == mlp_layout(156, 2)
    assert layout_of(ShortSmirkNet()) == SHORT_LAYOUT


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return made_up(mlp_layout(5, 10), seed=3)


@pytest.mark.parametrize("order", ["arousal-valence", "valence-arousal"])
def test_a_trainings_checkpoint_says_what_its_layers_say(
    tensors: dict[str, torch.Tensor], tmp_path: Path, order: str
) -> None:
    torch.save({"iter": 9, "model_state_dict": tensors, "optimizer_state_dict": {"state": {}}}, tmp_path / "mlp.pth")
    network = face_classifier(5, order=order).eval()
    load_face_network(network, tmp_path / "mlp.pth")
    vectors = torch.rand(3, 5)
    x = vectors
    for i in range(1, 5):
        x = F.linear(x, tensors[f"fc{i}.weight"], tensors[f"fc{i}.bias"])
        deviation = (tensors[f"bn{i}.running_var"] + 1e-5).sqrt()
        x = (x - tensors[f"bn{i}.running_mean"]) / deviation * tensors[f"bn{i}.weight"] + tensors[f"bn{i}.bias"]
        x = torch.where(x > 0, x, 0.2 * x)
    x = F.linear(x, tensors["output.weight"], tensors["output.bias"])
    logits, affect = network(vectors)
    torch.testing.assert_close(logits, x[:, :8], rtol=1e-4, atol=1e-4)
    expected = x[:, 8:] if order == "valence-arousal" else x[:, 8:].flip(1)
    torch.testing.assert_close(affect, expected, rtol=1e-4, atol=1e-4)


def test_raf_db_reads_seven_of_ten_outputs_in_its_own_order() -> None:
    network = raf_db_classifier(4).eval()
    with torch.no_grad():
        network.output.weight.zero_()
        network.output.bias.copy_(torch.arange(10.0))
    logits, affect = network(torch.rand(2, 4))
    assert affect is None
    assert [RAF_DB[int(number)] for number in logits[0]] == list(EMOTIONS[:7])


def test_only_the_first_block_is_thinned_and_the_regressor_not_at_all() -> None:
    vectors = torch.rand(4, 6)
    for network, changes in ((face_classifier(6, order="arousal-valence"), True), (affect_regressor(6), False)):
        network.train()
        kinds = [module for module in network.modules() if isinstance(module, torch.nn.Dropout)]
        assert [module.p for module in kinds] == [0.5 if changes else 0.0]
        outputs = []
        for _ in range(2):
            outputs.append(network(vectors).affect)
        assert torch.equal(*outputs) is not changes


def test_the_short_network_adds_its_blocks(tmp_path: Path) -> None:
    network = ShortSmirkNet().eval()
    tensors = made_up(SHORT_LAYOUT, seed=4)
    torch.save(tensors, tmp_path / "short.pth")
    load_face_network(network, tmp_path / "short.pth")
    vectors = torch.rand(2, 353)

    def layer(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    x = layer("Smirk_Linear", vectors)
    for block in ("residual_block1", "residual_block2"):
        x = x + layer(f"{block}.3", layer(f"{block}.0", x).relu())
    logits, affect = network(vectors)
    torch.testing.assert_close(torch.cat([logits, affect], 1), layer("fc", x))  # valence first, as upstream's


@pytest.mark.parametrize("network", [face_classifier(8, order="arousal-valence"), ShortSmirkNet(8)])
def test_every_part_learns(network: FaceMlp | ShortSmirkNet) -> None:
    assert without_gradient(network.train(), lambda: network(torch.rand(6, 8))) == []


def test_another_representations_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save(made_up(mlp_layout(5, 10)), tmp_path / "mlp.pth")
    with pytest.raises(CheckpointError, match=r"fc1.weight is float32 \[2048, 5\], expected float32 \[2048, 4\]"):
        load_face_network(face_classifier(4, order="arousal-valence"), tmp_path / "mlp.pth")


@pytest.mark.parametrize(
    "network",
    [face_classifier(8, order="arousal-valence"), raf_db_classifier(8), affect_regressor(8), ShortSmirkNet(8)],
)
def test_export_leaves_the_batch_open(network: FaceMlp | ShortSmirkNet) -> None:
    check_export(network, (8,))


def test_the_output_is_the_common_one() -> None:
    assert isinstance(affect_regressor(3).eval()(torch.rand(1, 3)), AffectOutput)
