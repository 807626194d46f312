"""What every engine is: a compiled network that is called with a batch."""

from typing import Protocol

import numpy as np
import numpy.typing as npt


class Engine(Protocol):
    """A network ready to run. Thread-safe; the result for one item never depends on the rest of the batch."""

    name: str
    """Runtime: `torch` (eager float32, the reference) or `openvino`."""

    def __call__(self, *inputs: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], ...]:
        """Outputs of the network, each [B, ...], for inputs of [B, ...]; B may be 0."""
        ...
