"""Networks alone: every target has figures with parity beside them, or a reason."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks import engines
from benchmarks.engines import Subject, measure_engines, random_checkpoint, random_smirk, targets_on
from benchmarks.figures import Section
from models.device import CPU
from models.engines.choose import PRECISIONS
from models.engines.engine import Target
from models.export import load_or_build
from models.smirk import SmirkEncoder


class Small(nn.Module):
    """A convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        numbers: Tensor = self.conv(pixels).mean(dim=(2, 3))
        return numbers


class Undecided(Small):
    """Its values decide what it does, which no graph can hold."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels) if pixels.sum() > 0 else super().forward(-pixels)


@pytest.fixture
def subjects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Networks that are built in a second, in a cache of their own."""
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path))
    real = torch.rand(3, 3, 16, 16)
    for name, network in {"small": Small().eval(), "undecided": Undecided().eval()}.items():
        monkeypatch.setitem(engines.SUBJECTS, name, lambda n=name, net=network: Subject(n, net, real))


@pytest.mark.usefixtures("subjects")
def test_an_engine_is_measured_at_every_batch_with_parity_and_floor() -> None:
    section = Section("engines")
    measure_engines(section, CPU, subjects=["small"], batches=(1, 8), repeats=2, only=("openvino", "torch"), quick=True)
    assert [(row.details["runtime"], row.details["batch"]) for row in section.rows] == [
        ("openvino", 1), ("openvino", 8), ("torch", 1), ("torch", 8),
    ]  # fmt: skip
    for row in section.rows:
        assert row.figure.minimum <= row.figure.median <= row.figure.maximum
        assert row.floor is not None
        assert row.bottleneck
        assert row.details["parity"]["of_allowed"] <= 1
        assert set(row.details["floor_ms_a_call"]) == {"memory", "arithmetic"}
    assert set(section.not_measured) == {f"small, inductor {precision}" for precision in PRECISIONS["inductor"]}
    assert section.details["ceilings"]["matrix_product_tflops"]["f32"] > 0


@pytest.mark.usefixtures("subjects")
def test_an_engine_that_cannot_be_built_says_why() -> None:
    section = Section("engines")
    measure_engines(section, CPU, subjects=["undecided"], batches=(1,), repeats=1, only=("openvino",), quick=True)
    assert section.rows == []
    assert "cannot be exported" in section.not_measured["undecided, openvino f32"]


@pytest.mark.usefixtures("subjects")
def test_what_is_built_already_is_known() -> None:
    subject, target = engines.SUBJECTS["small"](), Target("openvino")
    assert not engines.is_built(subject, target)
    load_or_build(subject.engine_name, subject.network, (subject.real,), target)
    assert engines.is_built(subject, target)
    assert engines.is_built(subject, Target("torch")), "it needs no building"


@pytest.mark.usefixtures("subjects")
def test_without_time_every_target_is_still_listed() -> None:
    section = Section("engines", limit_s=-1)
    measure_engines(section, CPU, subjects=["small"], batches=(1,), repeats=1, quick=True)
    assert len(section.not_measured) == len(targets_on(CPU))


def test_every_precision_of_every_runtime_of_a_device_is_listed() -> None:
    listed = {(target.runtime, target.precision) for target in targets_on(torch.device("cuda", 0))}
    assert {("tensorrt", "fp8"), ("inductor", "bf16"), ("torch", "f32"), ("tensorrt-rtx", "f16")} < listed


@pytest.mark.usefixtures("subjects")
def test_random_weights_are_the_same_every_time() -> None:
    saved = torch.load(random_checkpoint(), weights_only=True)
    again = random_smirk().state_dict()
    assert set(saved) == {f"smirk_encoder.{name}" for name in again}
    assert all(torch.equal(saved[f"smirk_encoder.{name}"], tensor) for name, tensor in again.items())
    SmirkEncoder().load_state_dict({name.removeprefix("smirk_encoder."): tensor for name, tensor in saved.items()})


@pytest.mark.gpu
@pytest.mark.usefixtures("subjects")
def test_on_a_gpu_inputs_come_from_the_host_too() -> None:
    section, device = Section("engines"), torch.device("cuda", 0)
    measure_engines(section, device, subjects=["small"], batches=(8,), repeats=1, only=("torch",), quick=True)
    assert [row.details["inputs"] for row in section.rows] == ["inputs on the GPU", "inputs from the host"]
