"""What an engine checks before it runs: all inputs hold the same number of items, of the right shape and type."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def batch_size(inputs: Sequence[npt.NDArray[np.float32]], item_shapes: Sequence[tuple[int, ...]]) -> int:
    """B of inputs [B, *item_shape]. Raises ValueError that says what came and what was expected."""
    if len(inputs) != len(item_shapes):
        raise ValueError(f"the network takes {len(item_shapes)} inputs, got {len(inputs)}")
    for number, (array, shape) in enumerate(zip(inputs, item_shapes, strict=True)):
        if array.dtype != np.float32 or array.ndim == 0 or array.shape[1:] != shape:
            expected = ", ".join(["B", *map(str, shape)])
            raise ValueError(f"input {number} is {array.dtype} {list(array.shape)}, expected float32 [{expected}]")
    counts = {len(array) for array in inputs}
    if len(counts) != 1:
        raise ValueError(f"inputs differ in batch size: {[len(array) for array in inputs]}")
    return counts.pop()
