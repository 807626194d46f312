"""EMOCA's encoders fill the representations in order, from the files that exist, and crop as EMOCA does."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from models.emoca import EmocaEncoder, Encoder, emoca_boxes, load_emoca
from models.errors import CheckpointError
from models.ibug import CONTOUR, IBUG
from models.representation import Name
from tests.models.networks import Layout, blank, check_export, conv, layout_of, made_up, parameters, without_gradient


def encoder_layout(outputs: int) -> Layout:
    with torch.device("meta"):
        resnet = layout_of(torchvision.models.resnet50(weights=None))
    body = {f"encoder.{name}": form for name, form in resnet.items() if not name.startswith("fc.")}
    return body | conv("layers.0", 1024, 2048, bias=True) | conv("layers.2", outputs, 1024, bias=True)


@pytest.mark.parametrize(("outputs", "count"), [(236, 25_848_108), (50, 25_657_458), (128, 25_737_408)])
def test_an_encoder_is_a_resnet_and_two_layers(outputs: int, count: int) -> None:
    with torch.device("meta"):
        encoder = Encoder(outputs)
    assert parameters(encoder) == count
    assert layout_of(encoder) == encoder_layout(outputs)


@pytest.mark.parametrize(
    ("representation", "own", "parts", "count"),
    [
        ("emoca-full", True, ["E_flame", "E_expression", "E_detail"], 77_242_974),
        ("emoca-short", True, ["E_flame", "E_expression"], 51_505_566),
        ("emoca-full", False, ["E_flame", "E_detail"], 51_585_516),
        ("emoca-short", False, ["E_flame"], 25_848_108),
    ],
)
def test_a_representation_needs_no_more_encoders_than_it_holds(
    representation: Name, own: bool, parts: list[str], count: int
) -> None:
    with torch.device("meta"):
        network = EmocaEncoder(representation, own_expression=own)
    assert [name for name, _ in network.named_children()] == parts
    assert parameters(network) == count


class Says(torch.nn.Module):
    """Numbers from a start upwards, for every crop."""

    def __init__(self, start: int, count: int) -> None:
        super().__init__()
        self.numbers = torch.arange(start, start + count).float()

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.numbers.expand(len(crops), -1)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("representation", ["emoca-full", "emoca-short"])
def test_vectors_are_in_the_order_of_the_representation(representation: Name, own: bool) -> None:
    with torch.device("meta"):
        network = EmocaEncoder(representation, own_expression=own)
    network.E_flame = Says(0, 236)
    if own:
        network.E_expression = Says(1000, 50)
    if network.E_detail is not None:
        network.E_detail = Says(2000, 128)
    found = network(torch.zeros(2, 3, 224, 224))
    expected = [*(range(1000, 1050) if own else range(150, 200)), *range(200, 206), *range(100)]
    if representation == "emoca-full":
        expected += [*range(100, 150), *range(2000, 2128)]
    assert found.tolist() == [expected] * 2


def test_a_representation_of_another_face_model_is_refused() -> None:
    with pytest.raises(ValueError, match="not smirk-full"):
        EmocaEncoder("smirk-full")


@pytest.mark.parametrize(("start", "nested"), [("deca.", True), ("deca.", False), ("", False)])
def test_emocas_own_checkpoint(tmp_path: Path, start: str, nested: bool) -> None:
    flame, expression = made_up(encoder_layout(236), seed=1), made_up(encoder_layout(50), seed=2)
    tensors = {f"{start}E_flame.{name}": tensor for name, tensor in flame.items()}
    tensors |= {f"{start}E_expression.{name}": tensor for name, tensor in expression.items()}
    tensors |= {f"{start}E_detail.layers.2.bias": torch.ones(128), f"{start}D_detail.decoder.weight": torch.ones(1)}
    torch.save({"epoch": 4, "state_dict": tensors} if nested else tensors, tmp_path / "emoca.ckpt")
    network = blank(lambda: EmocaEncoder("emoca-short"))
    load_emoca(network, tmp_path / "emoca.ckpt")
    found = network.state_dict()
    assert all(torch.equal(found[f"E_flame.{name}"], tensor) for name, tensor in flame.items())
    assert all(torch.equal(found[f"E_expression.{name}"], tensor) for name, tensor in expression.items())


def test_decas_file_has_a_dictionary_for_each_encoder(tmp_path: Path) -> None:
    flame = made_up(encoder_layout(236), seed=1)
    content = {"E_flame": flame, "E_detail": {"layers.2.bias": torch.ones(128)}, "D_detail": {"w": torch.ones(1)}}
    torch.save(content, tmp_path / "deca_model.tar")
    network = blank(lambda: EmocaEncoder("emoca-short", own_expression=False))
    load_emoca(network, tmp_path / "deca_model.tar")
    assert all(torch.equal(network.E_flame.state_dict()[name], tensor) for name, tensor in flame.items())
    with torch.device("meta"):
        emoca = EmocaEncoder("emoca-short")
    with pytest.raises(CheckpointError, match="is not flat"):
        load_emoca(emoca, tmp_path / "deca_model.tar")


def test_a_file_without_the_expression_encoder_says_so(tmp_path: Path) -> None:
    torch.save({f"deca.E_flame.{name}": t for name, t in made_up(encoder_layout(236)).items()}, tmp_path / "w.ckpt")
    with pytest.raises(CheckpointError, match=r"holds no E_expression, only deca\.E_flame\.encoder\.conv1"):
        load_emoca(blank(lambda: EmocaEncoder("emoca-short")), tmp_path / "w.ckpt")


def test_a_training_file_with_settings_in_it_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": Path("x")}, tmp_path / "w.ckpt")
    with pytest.raises(CheckpointError, match="save its state_dict instead") as caught:
        load_emoca(blank(lambda: EmocaEncoder("emoca-short")), tmp_path / "w.ckpt")
    assert isinstance(caught.value.__cause__, pickle.UnpicklingError)


def test_the_crop_is_that_of_the_68_points() -> None:
    landmarks = np.full((2, 478, 3), 5000.0, np.float32)  # what is no point of iBUG must not count
    landmarks[:, IBUG] = [60, 80, 0]
    landmarks[0, CONTOUR[0]], landmarks[0, CONTOUR[16]] = [10, 80, 3], [110, 80, 3]
    landmarks[0, CONTOUR[8], 1], landmarks[0, 70, 1] = 150, 70
    boxes = emoca_boxes(landmarks)
    assert boxes.dtype == np.float32
    assert boxes[0].tolist() == [60, 110, 123]  # int(90 * 1.1 * 1.25)
    assert boxes[1].tolist() == [60, 80, 1]
    assert emoca_boxes(landmarks[:0]).shape == (0, 3)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(50)


def test_every_part_learns(encoder: Encoder) -> None:
    assert without_gradient(encoder.train(), lambda: [encoder(torch.rand(2, 3, 64, 64))]) == []


def test_export_leaves_the_batch_open(encoder: Encoder) -> None:
    class AsTuple(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = EmocaEncoder("emoca-short", own_expression=False)

        def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor]:
            return (self.network(crops),)

    check_export(AsTuple(), (3, 224, 224))
