"""What goes into an engine and comes out: checked, on the engine's device, and back in the CPU's memory."""

from collections.abc import Sequence

import numpy as np
import torch

from models.engines.engine import Batch, FloatArray


def batch_size(inputs: Sequence[Batch], item_shapes: Sequence[tuple[int, ...]]) -> int:
    """B of inputs [B, *item_shape]. Raises ValueError that says what came and what was expected."""
    if len(inputs) != len(item_shapes):
        raise ValueError(f"the network takes {len(item_shapes)} inputs, got {len(inputs)}")
    for number, (batch, shape) in enumerate(zip(inputs, item_shapes, strict=True)):
        dtype = str(batch.dtype).removeprefix("torch.")
        if dtype != "float32" or batch.ndim == 0 or tuple(batch.shape[1:]) != shape:
            expected = ", ".join(["B", *map(str, shape)])
            raise ValueError(f"input {number} is {dtype} {list(batch.shape)}, expected float32 [{expected}]")
    counts = {len(batch) for batch in inputs}
    if len(counts) != 1:
        raise ValueError(f"inputs differ in batch size: {[len(batch) for batch in inputs]}")
    return counts.pop()


def in_memory(batch: Batch) -> FloatArray:
    """An input of an engine on the CPU. Raises ValueError when it lies on a GPU: such copies are not made silently."""
    if isinstance(batch, np.ndarray):
        return batch
    if batch.device.type != "cpu":
        raise ValueError(f"an input lies on {batch.device}, but this engine runs on the CPU; open both for one device")
    return batch.detach().numpy()


def copy_into(target: torch.Tensor, batch: Batch) -> None:
    """Copy an input into a tensor of the same shape on the engine's device, on a GPU as work on the current stream.

    Raises ValueError when the input lies on another GPU.
    """
    if isinstance(batch, torch.Tensor) and batch.device.type != "cpu":
        if batch.device != target.device:
            raise ValueError(
                f"an input lies on {batch.device}, but this engine runs on {target.device}; use one device"
            )
        target.copy_(batch, non_blocking=True)
    elif target.is_cuda:
        # Page-locked memory is what the GPU reads by itself; PyTorch keeps it until the copy has been made.
        staged = torch.empty(target.shape, dtype=torch.float32, pin_memory=True)
        np.copyto(staged.numpy(), in_memory(batch))
        target.copy_(staged, non_blocking=True)
    else:
        np.copyto(target.numpy(), in_memory(batch))


def to_memory(outputs: Sequence[torch.Tensor]) -> tuple[FloatArray, ...]:
    """Outputs of one device as arrays of their own, after everything queued on the current stream: one copy, one wait.

    Each is float32 and contiguous.
    """
    flat = torch.cat([output.reshape(-1) for output in outputs])
    if flat.is_cuda:
        host = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True)
        host.copy_(flat, non_blocking=True)
        torch.cuda.current_stream(flat.device).synchronize()
        flat = host
    parts = np.split(flat.numpy(), np.cumsum([output.numel() for output in outputs])[:-1])
    return tuple(part.reshape(output.shape) for part, output in zip(parts, outputs, strict=True))
