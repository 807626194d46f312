"""Quantised networks: really of few levels, still close, and refused where there is nothing to quantise."""

import importlib.util

import pytest
import torch

from models.engines import quantise
from models.engines.engine import Precision
from models.errors import EngineError

pytest.importorskip("modelopt", reason="ModelOpt has wheels for Linux only")
pytest.importorskip("requests", reason="ModelOpt imports it without declaring it")

pytestmark = pytest.mark.timeout(600)  # importing ModelOpt alone takes 20 s, more on a busy machine


class Tiny(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.linear = torch.nn.Linear(8, 4)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.linear(self.conv(pictures).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    return Tiny().eval()


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize(("precision", "levels", "closeness"), [("int8", 255, 0.02), ("fp8", 253, 0.06)])
def test_layers_have_few_levels_and_the_network_stays_close(
    tiny: torch.nn.Module, precision: Precision, levels: int, closeness: float
) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    quantised = quantise.quantise(tiny, (pictures(16),), precision)
    assert quantise.quantised_layers(quantised) == ["conv", "linear"]
    assert not quantise.quantised_layers(tiny)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny.state_dict().items())

    conv = quantised.get_submodule("conv")
    rounded = conv.input_quantizer(pictures(8)).unique()  # type: ignore[operator]
    assert 20 < len(rounded) <= levels
    assert len(pictures(8).unique()) > 5000
    assert 0 < (conv.weight_quantizer(conv.weight) - conv.weight).abs().max() < 0.02  # type: ignore[operator]

    with torch.inference_mode():
        expected, found = tiny(pictures(8)), quantised(pictures(8))
    error = (found - expected).abs().max()
    assert 0 < error < closeness * expected.abs().max()


def test_a_network_of_nothing_to_quantise_is_refused() -> None:
    with pytest.raises(
        EngineError, match=r"ModelOpt cannot quantise the network .*nothing would be quantized.*; use f16"
    ):
        quantise.quantise(torch.nn.PReLU().eval(), (torch.rand(2, 3),), "int8")


def test_other_precisions_are_no_quantisation(tiny: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match="f16 is not one of int8, fp8"):
        quantise.quantise(tiny, (pictures(2),), "f16")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        EngineError, match=r"int8 and fp8 need ModelOpt; install it with `pip install 'flamestream\[gpu\]'`"
    ):
        quantise.library()
