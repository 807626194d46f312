"""Which engine, precision and device go together, and what `auto` means."""

import importlib.util
from importlib.machinery import ModuleSpec
from typing import get_args

import pytest
import torch

from models.engines.choose import PRECISIONS, choose_target
from models.engines.engine import Precision, Runtime, Target
from models.errors import EngineError
from stream.config import RunSettings

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def find(name: str) -> ModuleSpec | None:
        return ModuleSpec(name, None) if name in names else None

    monkeypatch.setattr(importlib.util, "find_spec", find)


def test_auto_on_the_cpu_is_openvino_in_float32() -> None:
    assert choose_target("auto", "auto", CPU) == Target("openvino", "f32", CPU)


@pytest.mark.parametrize(("packages", "runtime"), [(("torch_tensorrt", "tensorrt"), "tensorrt"), ((), "inductor")])
def test_auto_on_a_gpu_is_tensorrt_where_installed_in_half_precision(
    packages: tuple[str, ...], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, *packages)
    assert choose_target("auto", "auto", GPU) == Target(runtime, "f16", GPU)


def test_eager_is_the_float32_reference_on_a_gpu_too() -> None:
    assert choose_target("torch", "auto", GPU) == Target("torch", "f32", GPU)


def test_what_the_user_names_is_taken() -> None:
    assert choose_target("tensorrt", "int8", GPU) == Target("tensorrt", "int8", GPU)


@pytest.mark.parametrize(
    ("runtime", "precision", "device", "message"),
    [
        ("openvino", "f32", GPU, "openvino does not run on cuda; choose one of tensorrt, inductor"),
        ("tensorrt", "f32", CPU, "tensorrt does not run on cpu; choose one of openvino"),
        ("openvino", "f16", CPU, "openvino does not compute in f16; choose one of f32"),
        ("inductor", "int8", GPU, "inductor does not compute in int8; choose one of f32, f16, bf16"),
        ("torch", "bf16", GPU, "torch does not compute in bf16"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_choices(
    runtime: Runtime, precision: Precision, device: torch.device, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        choose_target(runtime, precision, device)


def test_the_settings_offer_every_runtime_and_precision() -> None:
    # Spelled out in stream.config, so that reading a configuration need not load torch.
    fields = RunSettings.model_fields
    assert set(get_args(fields["engine"].annotation)) == {"auto", *get_args(Runtime)}
    assert set(get_args(fields["precision"].annotation)) == {"auto", *get_args(Precision)}
    assert set(PRECISIONS) == set(get_args(Runtime))
