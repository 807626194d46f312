"""The reference engine: PyTorch eager, float32, one item at a time."""

import threading

import numpy as np
import numpy.typing as npt
import torch

from models.engines.batch import batch_size

FloatArray = npt.NDArray[np.float32]


class TorchEngine:
    """A network run by PyTorch eager on the CPU: slow, and what every other engine is compared with.

    Items run one by one, because a convolution over a batch may add up in another order than over a single item.
    """

    name = "torch"

    def __init__(self, network: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> None:
        """`network` is in evaluation mode; `example` gives the shape of each input, [B, ...] with any B >= 1."""
        if network.training:
            raise ValueError("the network is in training mode; call .eval() before making an engine of it")
        self._network = network
        self._item_shapes = [tuple(tensor.shape[1:]) for tensor in example]
        self._lock = threading.Lock()
        self._empty: tuple[FloatArray, ...] | None = None

    def __call__(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Outputs, each [B, ...], for inputs of [B, ...]; B may be 0. Raises ValueError for another shape or type."""
        count = batch_size(inputs, self._item_shapes)
        if count == 0:
            return self._no_items()
        items = [self._run([array[i : i + 1] for array in inputs]) for i in range(count)]
        return tuple(np.concatenate(column) for column in zip(*items, strict=True))

    def _run(self, inputs: list[FloatArray]) -> tuple[FloatArray, ...]:
        with torch.inference_mode():
            outputs = self._network(*(torch.from_numpy(array.copy()) for array in inputs))
        # Copied, since a network may return one of its inputs or a view into it.
        return tuple(output.numpy().copy() for output in as_tuple(outputs))

    def _no_items(self) -> tuple[FloatArray, ...]:
        """Empty outputs; their shapes are read off one run over zeros, since a network may refuse a batch of none."""
        with self._lock:
            if self._empty is None:
                outputs = self._run([np.zeros((1, *shape), np.float32) for shape in self._item_shapes])
                self._empty = tuple(np.empty((0, *output.shape[1:]), output.dtype) for output in outputs)
            return self._empty


def as_tuple(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """A network's outputs as a tuple, whether it returns one tensor or several."""
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
