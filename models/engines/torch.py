"""The reference engine: PyTorch eager in float32; one item at a time on the CPU, whole batches on a GPU."""

import copy
import threading

import numpy as np
import torch

from models.device import CPU
from models.engines.batch import batch_size, copy_into, to_memory
from models.engines.engine import Batch, FloatArray
from models.engines.failure import as_engine_error


class TorchEngine:
    """A network run by PyTorch eager: slow, and what every other engine is compared with.

    On the CPU items run one by one, because a convolution over a batch may add up in another order than over a single
    item. On a GPU at most `max_batch` run at once, in float32 without TensorFloat-32.
    """

    name = "torch"

    def __init__(
        self,
        network: torch.nn.Module,
        example: tuple[torch.Tensor, ...],
        device: torch.device = CPU,
        max_batch: int = 128,
    ) -> None:
        """`network` is in evaluation mode; `example` gives the shape of each input, [B, ...] with any B >= 1."""
        if network.training:
            raise ValueError("the network is in training mode; call .eval() before making an engine of it")
        self._network = network
        if device.type == "cuda":
            forbid_tf32()
            with as_engine_error("PyTorch cannot put the network there", remedy="free memory or use another device"):
                self._network = copy.deepcopy(network).to(device)
        self._device = device
        self._at_once = 1 if device.type == "cpu" else max_batch
        self._item_shapes = [tuple(tensor.shape[1:]) for tensor in example]
        self._lock = threading.Lock()
        self._empty: tuple[FloatArray, ...] | None = None

    def __call__(self, *inputs: Batch) -> tuple[FloatArray, ...]:
        """Outputs, each [B, ...], for inputs of [B, ...]; B may be 0. Raises ValueError for another shape or type."""
        count = batch_size(inputs, self._item_shapes)
        if count == 0:
            return self._no_items()
        pieces = [
            self._run([batch[start : start + self._at_once] for batch in inputs])
            for start in range(0, count, self._at_once)
        ]
        return to_memory([torch.cat(column) for column in zip(*pieces, strict=True)])

    def _run(self, inputs: list[Batch]) -> tuple[torch.Tensor, ...]:
        tensors = [torch.empty(batch.shape, device=self._device) for batch in inputs]  # a network may return an input
        for tensor, batch in zip(tensors, inputs, strict=True):
            copy_into(tensor, batch)
        with torch.inference_mode(), as_engine_error("PyTorch cannot run the network", remedy="report it"):
            return as_tuple(self._network(*tensors))

    def _no_items(self) -> tuple[FloatArray, ...]:
        """Empty outputs; their shapes are read off one run over zeros, since a network may refuse a batch of none."""
        with self._lock:
            if self._empty is None:
                outputs = to_memory(self._run([np.zeros((1, *shape), np.float32) for shape in self._item_shapes]))
                self._empty = tuple(output[:0] for output in outputs)
            return self._empty


def as_tuple(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """A network's outputs as a tuple, whether it returns one tensor or several."""
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)


def forbid_tf32() -> None:
    """Makes float32 on a GPU mean float32, for the whole process.

    PyTorch lets convolutions round their inputs to TensorFloat-32 (10 bits, as half precision has) unless told not to.
    These two switches are the ones that every PyTorch from 2.11 to 2.14 still reads without mixing old and new names.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
