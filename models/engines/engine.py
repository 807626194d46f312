"""What every engine is, what it is made for, and what a runtime must offer to make one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from models.device import CPU

FloatArray: TypeAlias = npt.NDArray[np.float32]
Batch: TypeAlias = FloatArray | torch.Tensor
"""[B, ...] float32: in the CPU's memory, or on the engine's device, work queued on the current CUDA stream."""

Runtime = Literal["openvino", "torch", "inductor", "tensorrt", "tensorrt-rtx"]
Precision = Literal["f32", "f16", "bf16", "int8", "fp8"]


@dataclass(frozen=True, slots=True)
class Target:
    """What an engine is made for."""

    runtime: Runtime = "openvino"
    precision: Precision = "f32"
    """What the network computes in; its inputs and outputs are float32 all the same."""
    device: torch.device = CPU
    max_batch: int = 128
    """The most items a GPU engine runs at once; larger calls are cut into several."""


class Engine(Protocol):
    """A network ready to run. Thread-safe.

    On the CPU the result for one item never depends on the rest of the batch, bit for bit; on a GPU within the
    tolerance that the engine was built with.
    """

    name: str
    """Its runtime."""

    def __call__(self, *inputs: Batch) -> tuple[FloatArray, ...]:
        """Outputs of the network in the CPU's memory, each [B, ...], for inputs of [B, ...]; B may be 0."""
        ...


class Backend(Protocol):
    """A runtime that compiles networks: one module of this folder each."""

    def identity(self, target: Target) -> dict[str, Any]:
        """What decides the compiled files besides the network: device, library versions, batch sizes; JSON types.

        Raises EngineError, saying what to install, when the runtime cannot be used on this machine.
        """
        ...

    def build(self, network: torch.nn.Module, example: Sequence[torch.Tensor], folder: Path, target: Target) -> None:
        """Write the compiled files into `folder`. `network` is float32 on the CPU and in evaluation mode.

        `example`: one CPU tensor [B, ...] per input, B >= 2, of real values. Raises EngineError.
        """
        ...

    def load(self, folder: Path, target: Target, item_shapes: Sequence[tuple[int, ...]]) -> Engine:
        """The engine of the files in `folder`; inputs are [B, *item_shape]. Raises EngineError."""
        ...
