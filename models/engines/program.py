"""The network as a graph: torch.export with the batch left open, which every compiling runtime starts from."""

import inspect
from collections.abc import Sequence

import torch

from models.engines.failure import reason
from models.errors import EngineError


def export_program(
    network: torch.nn.Module, example: Sequence[torch.Tensor], *, max_batch: int | None = None
) -> torch.export.ExportedProgram:
    """`network` exported for inputs [B, ...] like those of `example`, B from 1 to `max_batch`.

    B of the example is 2 or more: torch.export takes a batch of one for a constant. Raises EngineError for what cannot
    be exported: values that decide the control flow, a batch that is fixed inside.
    """
    batch = torch.export.Dim("batch", min=1, max=max_batch)
    shapes: tuple[object, ...] = tuple({0: batch} for _ in example)
    kinds = [parameter.kind for parameter in inspect.signature(network.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        shapes = (shapes,)  # torch.export wants one entry per parameter, and `*inputs` is one parameter
    try:
        with torch.no_grad():
            return torch.export.export(network, tuple(example), dynamic_shapes=shapes)
    except (RuntimeError, ValueError) as error:  # torch's own classes of both: operators, shapes, control flow
        raise EngineError(
            f"network {type(network).__name__} cannot be exported with an open batch ({reason(error)}); "
            "use the torch engine"
        ) from error
