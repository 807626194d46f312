"""A network computing in another precision than its inputs and outputs."""

import copy

import torch
from torch import Tensor, nn

from models.engines.engine import Precision
from models.engines.torch import as_tuple

DTYPES: dict[Precision, torch.dtype] = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
"""The precisions that are a matter of converting the network; int8 and fp8 also need calibration."""


class InPrecision(nn.Module):
    """A copy of a float32 network that computes in `dtype`: float32 in, float32 out."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(dtype)
        self.dtype = dtype
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs, always as a tuple, for its inputs."""
        outputs = self.network(*(tensor.to(self.dtype) for tensor in inputs))
        return tuple(output.float() for output in as_tuple(outputs))


def in_precision(network: nn.Module, precision: Precision) -> nn.Module:
    """`network` computing in `precision`, one of DTYPES; the network itself for f32."""
    return network if precision == "f32" else InPrecision(network, DTYPES[precision])
