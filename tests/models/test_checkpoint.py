"""A checkpoint fits exactly, or one line says why not; nothing in it is ever run."""

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from models.checkpoint import load_strict, read_tensors
from models.errors import CheckpointError


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return {f"encoder.{name}": tensor.clone() for name, tensor in Net().state_dict().items()}


def save(path: Path, tensors: object) -> Path:
    if path.suffix == ".safetensors":
        assert isinstance(tensors, dict)
        safetensors.torch.save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def load(path: Path) -> Net:
    network = Net()
    load_strict(network, path, prefix="encoder.", ignored=("generator.",))
    return network


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "; " in message  # ends with what to do about it
    return message


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_every_tensor_is_loaded(tmp_path: Path, suffix: str) -> None:
    tensors = weights() | {"generator.conv.weight": torch.ones(1)}
    found = load(save(tmp_path / f"w{suffix}", tensors)).state_dict()
    for name, tensor in found.items():
        assert torch.equal(tensor, tensors[f"encoder.{name}"])


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_missing_and_unexpected_names_are_counted_and_shown(tmp_path: Path, suffix: str) -> None:
    tensors = weights()
    for name in ("weight", "bias"):
        tensors[f"encoder.liner.{name}"] = tensors.pop(f"encoder.linear.{name}")
    tensors["decoder.weight"] = torch.ones(1)
    message = refusal(save(tmp_path / f"w{suffix}", tensors))
    assert "2 tensors missing (encoder.linear.weight, encoder.linear.bias)" in message
    assert "3 tensors unexpected" in message
    assert "decoder.weight" in message


def test_many_names_are_cut_short(tmp_path: Path) -> None:
    message = refusal(save(tmp_path / "w.pt", {"encoder.linear.weight": torch.ones(2, 3)}))
    assert "6 tensors missing (encoder.linear.bias, encoder.norm.weight, encoder.norm.bias and 3 more)" in message


def test_another_shape_or_type_is_named(tmp_path: Path) -> None:
    tensors = weights()
    tensors["encoder.linear.weight"] = torch.ones(2, 4)
    tensors["encoder.linear.bias"] = tensors["encoder.linear.bias"].half()
    message = refusal(save(tmp_path / "w.pt", tensors))
    assert "encoder.linear.weight is float32 [2, 4], expected float32 [2, 3]" in message
    assert "encoder.linear.bias is float16 [2], expected float32 [2]" in message


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_before_loading(tmp_path: Path, bad: float) -> None:
    tensors = weights()
    tensors["encoder.norm.running_var"][1] = bad
    assert "1 tensors hold NaN or infinity (encoder.norm.running_var)" in refusal(save(tmp_path / "w.pt", tensors))


def test_a_missing_file_or_a_folder(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "gone.pt")
    assert "No such file" in refusal(tmp_path / "gone.safetensors")
    assert "directory" in refusal(tmp_path).lower()


@pytest.mark.parametrize("kept", [40, 0.5, -3])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_truncated_file(tmp_path: Path, suffix: str, kept: float) -> None:
    path = save(tmp_path / f"w{suffix}", weights())
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept == 0.5 else int(kept)])
    assert "truncated or damaged" in refusal(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it starts with b''"),
        (b"<html>quota exceeded</html>", "it starts with b'<htm'"),
        (pickle.dumps({"encoder.linear.bias": 1}), "no torch checkpoint"),
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    assert said in refusal(tmp_path / "w.pt")
    (tmp_path / "w.safetensors").write_bytes(content)
    assert "damaged" in refusal(tmp_path / "w.safetensors")


def test_another_kind_of_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("notes.txt", "no weights here")
    assert "damaged" in refusal(tmp_path / "w.pt")


class RunsACommand:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_that_holds_code_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    content = weights() | {"encoder.extra": RunsACommand(tmp_path / "ran")}
    torch.save(content, tmp_path / "w.pt", pickle_protocol=protocol)
    assert "holds code" in refusal(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_a_whole_module_is_refused_as_code(tmp_path: Path) -> None:
    assert "save its state_dict instead" in refusal(save(tmp_path / "w.pt", torch.nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": {"a": torch.ones(1)}, "epoch": 3}, "state_dict is a dict, epoch is a int"),
        ([torch.ones(1)], "holds a list"),
        ({}, "holds a dict"),
        (torch.ones(2), "holds a Tensor"),
    ],
)
def test_what_is_not_flat_is_refused(tmp_path: Path, content: object, said: str) -> None:
    assert said in refusal(save(tmp_path / "w.pt", content))


def test_a_trainings_file_keeps_its_tensors_under_a_name(tmp_path: Path) -> None:
    tensors = weights()
    training = {"iter": 3, "model_state_dict": tensors, "optimizer_state_dict": {"state": {0: {"step": 1}}}}
    path = save(tmp_path / "w.pt", training)
    assert list(read_tensors(path, nested="model_state_dict")) == list(tensors)
    network = Net()
    load_strict(network, path, prefix="encoder.", nested="model_state_dict")
    assert torch.equal(network.linear.weight, tensors["encoder.linear.weight"])
    assert "is not flat" in refusal(path)  # where nobody said so


def test_a_flat_file_is_read_as_it_is_where_it_might_be_a_trainings(tmp_path: Path) -> None:
    tensors = weights()
    assert list(read_tensors(save(tmp_path / "w.pt", tensors), nested="model_state_dict")) == list(tensors)


def test_names_are_left_alone_without_a_prefix_too(tmp_path: Path) -> None:
    network = Net()
    path = save(tmp_path / "w.pt", Net().state_dict() | {"head.weight": torch.ones(1)})
    load_strict(network, path, ignored=("head.",))
    with pytest.raises(CheckpointError, match=r"1 tensors unexpected \(head.weight\)"):
        load_strict(network, path)


@pytest.mark.parametrize(("content", "said"), [(torch.ones(1), "holds a Tensor"), ({"a": {}}, "a is a dict")])
def test_what_is_under_the_name_must_be_flat(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        read_tensors(save(tmp_path / "w.pt", {"model_state_dict": content}), nested="model_state_dict")


def test_read_tensors_gives_what_was_saved(tmp_path: Path) -> None:
    found = read_tensors(save(tmp_path / "w.pt", weights()))
    assert list(found) == list(weights())
