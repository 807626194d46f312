"""The TensorRT engine: what it can promise without TensorRT, and, where there is one, that it agrees with eager."""

import importlib.util
import itertools
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from models.engines import tensorrt
from models.engines.engine import Precision, Target
from models.engines.program import export_program
from models.engines.tensorrt import BACKEND, PlannedEngine, batch_profile, profile_shapes, typing_options
from models.engines.torch import as_tuple
from models.errors import EngineError
from models.parity import check_parity, tolerance_for
from models.precision import in_precision


class Tiny(torch.nn.Module):
    """A picture and numbers in, two outputs out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.linear = torch.nn.Linear(8 + 5, 4)

    def forward(self, picture: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = self.conv(picture).relu().mean((2, 3))
        return self.linear(torch.cat((pooled, numbers), 1)), numbers * 2


ITEMS = [(3, 8, 8), (5,)]


@pytest.fixture(scope="module")
def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    return Tiny().eval()


def inputs(count: int) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(count)
    return tuple(torch.rand(count, *shape, generator=random) for shape in ITEMS)


@pytest.mark.parametrize(("largest", "best"), [(8, 8), (32, 32), (512, 32)])
def test_the_profile_goes_from_one_item_to_the_largest_batch(largest: int, best: int) -> None:
    assert batch_profile(largest) == (1, best, largest)
    assert profile_shapes(inputs(2), largest) == [
        {"min_shape": (1, *item), "opt_shape": (best, *item), "max_shape": (largest, *item)} for item in ITEMS
    ]


def test_precision_is_asked_for_in_the_way_the_release_knows() -> None:
    assert typing_options("2.14.0") == typing_options("2.13.1+cu130") == {}
    assert typing_options("2.12.1") == {"use_explicit_typing": True}


@pytest.mark.parametrize("package", ["torch_tensorrt", "tensorrt"])
def test_a_missing_package_is_named_with_its_remedy(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"torch_tensorrt", "tensorrt"} - {package}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in installed else None)
    with pytest.raises(EngineError, match=rf"needs the package {package}; .*flamestream\[gpu\].* package index"):
        BACKEND.identity(Target("tensorrt", "f16", torch.device("cuda", 0)))


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    with pytest.raises(EngineError, match="needs an NVIDIA GPU and its driver, but device cpu"):
        BACKEND.load(tmp_path, Target("tensorrt", "f16", torch.device("cpu")), ITEMS)


def test_a_library_that_cannot_be_imported_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    def refuse(name: str) -> None:
        raise ImportError("libnvinfer.so.11: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(EngineError, match=r"cannot be imported \(libnvinfer.*\); install torch, torch-tensorrt"):
        tensorrt.library(torch.device("cuda", 0))


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_a_compiled_network_is_exported_again_with_an_open_batch(tiny: torch.nn.Module, precision: Precision) -> None:
    # In f32 the network takes its inputs by name, in f16 as `*inputs`: torch.export wants different shapes for them.
    network = in_precision(tiny, precision)
    compiled = export_program(network, inputs(2), max_batch=8).module()
    again = torch.export.export(compiled, inputs(2), dynamic_shapes=tensorrt._open_batch(compiled, 2, 8))
    for count in (1, 8):
        expected = as_tuple(network(*inputs(count)))
        for one, other in zip(as_tuple(again.module()(*inputs(count))), expected, strict=True):
            assert torch.allclose(one, other, atol=1e-4)


def test_an_engine_runs_any_batch_within_the_profile(tiny: torch.nn.Module) -> None:
    seen: list[int] = []

    def run(tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        seen.append(len(tensors[0]))
        return tiny(*tensors)

    engine = PlannedEngine("tensorrt", run, torch.device("cpu"), ITEMS, max_batch=6)
    for count in (0, 1, 3, 6, 13):
        with torch.inference_mode():
            expected = tiny(*inputs(count)) if count else (torch.empty(0, 4), torch.empty(0, 5))
        for found, reference in zip(engine(*inputs(count)), expected, strict=True):
            np.testing.assert_allclose(found, reference.numpy(), atol=1e-5)
    assert max(seen) == 6
    assert min(seen) == 1
    with pytest.raises(ValueError, match=r"input 1 is float32 \[2, 4\], expected float32 \[B, 5\]"):
        engine(torch.ones(2, 3, 8, 8), torch.ones(2, 4))


def test_a_failure_while_running_is_an_engine_error() -> None:
    def run(_: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with more")

    engine = PlannedEngine("tensorrt", run, torch.device("cpu"), [(5,)], max_batch=2)
    with pytest.raises(EngineError, match=r"the tensorrt engine failed .*illegal memory access was encountered\)"):
        engine(torch.ones(1, 5))


@pytest.fixture(scope="module")
def gpu() -> torch.device:
    device = torch.device("cuda", 0)
    try:
        tensorrt.library(device)
    except EngineError as error:
        pytest.skip(str(error))
    return device


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["f32", "f16", "bf16", "int8"])
def test_tensorrt_agrees_with_eager(
    precision: Precision, tiny: torch.nn.Module, gpu: torch.device, tmp_path: Path
) -> None:
    if precision == "int8":
        pytest.importorskip("modelopt", reason="int8 needs ModelOpt")
    target = Target("tensorrt", precision, gpu, max_batch=6)
    assert BACKEND.identity(target)["batch"]["profile"] == [1, 6, 6]
    BACKEND.build(tiny, inputs(4), tmp_path, target)
    engine = BACKEND.load(tmp_path, target, ITEMS)
    for count, on_gpu in itertools.product((1, 5, 13), (False, True)):
        with torch.inference_mode():
            reference = [output.numpy() for output in tiny(*inputs(count))]
        found = engine(*(tensor.to(gpu) if on_gpu else tensor.numpy() for tensor in inputs(count)))
        check_parity("engine", reference, found, tolerance_for(target))


@pytest.mark.gpu
def test_threads_share_a_tensorrt_engine(tiny: torch.nn.Module, gpu: torch.device, tmp_path: Path) -> None:
    target = Target("tensorrt", "f16", gpu, max_batch=8)
    BACKEND.build(tiny, inputs(4), tmp_path, target)
    engine = BACKEND.load(tmp_path, target, ITEMS)
    expected = {count: engine(*inputs(count)) for count in range(1, 9)}
    wrong: list[int] = []

    def run(count: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream(gpu)):
            for _ in range(20):
                found = engine(*inputs(count))
                if not all(np.array_equal(a, b) for a, b in zip(found, expected[count], strict=True)):
                    wrong.append(count)

    threads = [threading.Thread(target=run, args=(count,)) for count in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.gpu
def test_a_missing_program_is_not_loaded(gpu: torch.device, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"model\.ep is missing; remove its folder"):
        BACKEND.load(tmp_path, Target("tensorrt", "f16", gpu), ITEMS)
