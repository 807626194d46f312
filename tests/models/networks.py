"""What every network's test needs: upstream's tensors made up, weights as if trained, exports compared."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch

from models.engines.program import export_program

Network = TypeVar("Network", bound=torch.nn.Module)
Layout = Mapping[str, tuple[list[int], str]]
"""Shape and type of each tensor of a checkpoint, by its name."""


def layout_of(network: torch.nn.Module) -> Layout:
    return {
        name: (list(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in network.state_dict().items()
    }


def blank(make: Callable[[], Network]) -> Network:
    """A network whose tensors are all zero: quick to make where they are filled from a file anyway."""
    with torch.device("meta"):
        network = make()
    network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.zero_()
    return network


def made_up(layout: Layout, seed: int = 0) -> dict[str, torch.Tensor]:
    """A checkpoint of a layout, of tensors that no initialisation gives."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.full(shape, seed + 7) if kind == "int64" else torch.rand(shape, generator=generator) * 0.1 + 0.01
        for name, (shape, kind) in layout.items()
    }


def conv(name: str, *shape: int, bias: bool = False) -> dict[str, tuple[list[int], str]]:
    layout = {f"{name}.weight": (list(shape), "float32")}
    return layout | ({f"{name}.bias": ([shape[0]], "float32")} if bias else {})


def norm(name: str, size: int) -> dict[str, tuple[list[int], str]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": ([size], "float32") for part in parts} | {f"{name}.num_batches_tracked": ([], "int64")}


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def without_gradient(network: torch.nn.Module, say: Callable[[], Sequence[torch.Tensor | None]]) -> list[str]:
    """Names of parameters that ask for a gradient and get none, or nothing but zeros."""
    network.zero_grad()
    torch.manual_seed(0)
    losses = [(output * torch.rand_like(output)).sum() for output in say() if output is not None]
    torch.stack(losses).sum().backward()
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]


@torch.no_grad()
def check_export(network: torch.nn.Module, *item: Sequence[int]) -> None:
    """The network exports with an open batch, and says the same of another number of items."""
    generator = torch.Generator().manual_seed(1)
    network.eval()
    program = export_program(network, [torch.rand(2, *shape, generator=generator) for shape in item]).module()
    inputs = [torch.rand(3, *shape, generator=generator) for shape in item]
    for found, expected in zip(program(*inputs), network(*inputs), strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            assert len(found) == 3
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
