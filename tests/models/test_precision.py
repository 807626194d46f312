"""A network in another precision takes and gives float32, and leaves the original alone."""

import torch

from models.precision import InPrecision, in_precision


class Two(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.register_buffer("order", torch.tensor([2, 0, 1]))
        self.seen: torch.dtype | None = None

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen = a.dtype
        return self.linear(a).index_select(1, self.order), a + b


def test_it_computes_in_half_and_speaks_float32() -> None:
    torch.manual_seed(0)
    network = Two().eval()
    half = InPrecision(network, torch.float16)
    a, b = torch.rand(5, 4), torch.rand(5, 4)
    with torch.inference_mode():
        found, expected = half(a, b), network(a, b)
    assert half.network.seen is torch.float16
    assert network.seen is torch.float32
    assert network.linear.weight.dtype is torch.float32
    assert half.network.order.dtype is torch.int64
    for x, y in zip(found, expected, strict=True):
        assert x.dtype is torch.float32
        assert 0 < float((x - y).abs().max()) < 2e-3


def test_float32_is_the_network_itself() -> None:
    network = Two().eval()
    assert in_precision(network, "f32") is network
    assert not in_precision(network, "bf16").training
