"""Batches of few sizes, since a GPU captures and plans per batch size: a call is padded to the smallest that fits."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

import torch

from models.engines.batch import copy_into, to_memory
from models.engines.engine import Batch, FloatArray
from models.engines.failure import reason

log = logging.getLogger(__name__)

Run = Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]
"""Outputs of a network, each [b, ...], for inputs [b, ...], b being one of the bucket sizes. May be asynchronous."""

WARM_UPS = 3
"""Runs before a capture: libraries load kernels and reserve memory in the first ones, which no capture may hold."""

_recording = threading.Lock()
"""A recording begins by waiting for the whole GPU, which CUDA refuses while another thread records."""


def bucket_sizes(max_batch: int) -> tuple[int, ...]:
    """1, 2, 4 and so on, and `max_batch` last. Raises ValueError below 1."""
    if max_batch < 1:
        raise ValueError(f"max_batch is {max_batch}, expected 1 or more")
    powers = (1 << exponent for exponent in range(max_batch.bit_length()))
    return (*(size for size in powers if size < max_batch), max_batch)


def cut(count: int, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """How `count` items are run: start, stop and bucket size of each piece, for bucket sizes that ascend.

    Full pieces of the largest bucket, then the rest in the smallest that holds it.
    """
    pieces = []
    for start in range(0, count, sizes[-1]):
        stop = min(start + sizes[-1], count)
        pieces.append((start, stop, next(size for size in sizes if size >= stop - start)))
    return pieces


class Buckets:
    """Runs a network on batches of any size through buckets. Thread-safe: one call runs at a time.

    Inputs lie in the same memory in every run of a size, so that a CUDA graph can be replayed on them. What pads a
    bucket is whatever was there before: items do not see each other.
    """

    def __init__(
        self, sizes: Sequence[int], item_shapes: Sequence[tuple[int, ...]], device: torch.device, run: Run
    ) -> None:
        """`run` may give the same output memory every time; it is read before the next run."""
        self._sizes = tuple(sizes)
        self._item_shapes = item_shapes
        self._device = device
        self._run = run
        self._lock = threading.Lock()
        self._buffers: list[torch.Tensor] = []  # one per input, as long as the largest bucket; others are its start

    def __call__(self, inputs: Sequence[Batch], count: int) -> tuple[FloatArray, ...]:
        """Outputs [count, ...] in the CPU's memory, for inputs [count, ...]; `count` may be 0."""
        with self._lock, on(self._device), torch.inference_mode():
            self._buffers = self._buffers or [
                torch.zeros(self._sizes[-1], *shape, device=self._device) for shape in self._item_shapes
            ]
            # Of none as well one bucket is run, of zeros or old items, since only outputs tell their shapes.
            found = [self._run_piece(inputs, *piece) for piece in cut(count, self._sizes) or [(0, 0, self._sizes[0])]]
            if len(found) == 1:
                return to_memory(found[0])
            return to_memory([torch.cat(column) for column in zip(*found, strict=True)])

    def _run_piece(self, inputs: Sequence[Batch], start: int, stop: int, size: int) -> list[torch.Tensor]:
        bucket = [buffer[:size] for buffer in self._buffers]
        for buffer, batch in zip(bucket, inputs, strict=True):
            copy_into(buffer[: stop - start], batch[start:stop])
        outputs = [output[: stop - start] for output in self._run(bucket)]
        # Only what is read before the next run may stay where the run has put it.
        return outputs if stop - start == len(inputs[0]) else [output.clone() for output in outputs]


class CudaGraphs:
    """A `Run` that records the work of `run` once per batch size, as a CUDA graph, and replays it from then on.

    Launching the hundreds of kernels of a network takes the CPU longer than small batches take the GPU. A graph reads
    its inputs where they lay when it was recorded. What cannot be recorded runs as it is, and the log says why, once.
    """

    def __init__(self, name: str, run: Run) -> None:
        self._name = name
        self._run = run
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Sequence[torch.Tensor]]] = {}
        # Graphs never run at once and their outputs are read before the next replay, so they may share their memory.
        self._pool = torch.cuda.graph_pool_handle()
        self._aside: torch.cuda.Stream | None = None
        self._refused = False

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Outputs in memory that the next run of any size may overwrite."""
        size = len(inputs[0])
        if size not in self._graphs and not self._refused:
            try:
                self._graphs[size] = self._record(inputs)
            except RuntimeError as error:
                self._refused = True
                # Ending a recording that has failed fails as well: what came first says why.
                first = error.__context__ if isinstance(error.__context__, RuntimeError) else error
                log.warning("%s runs without CUDA graphs, slower in small batches: %s", self._name, reason(first))
        if size not in self._graphs:
            return self._run(inputs)
        graph, outputs = self._graphs[size]
        graph.replay()
        return outputs

    def _record(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.cuda.CUDAGraph, Sequence[torch.Tensor]]:
        device = inputs[0].device
        # Of a priority that no stage's stream has (`own_stream`): what another thread queued on the same stream would
        # be recorded instead of done.
        aside = self._aside = self._aside or torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        here = torch.cuda.current_stream(device)
        graph = torch.cuda.CUDAGraph()
        with _recording, torch.cuda.stream(aside):
            aside.wait_stream(here)
            for _ in range(WARM_UPS):
                self._run(inputs)
            try:
                # Other threads decode and copy meanwhile: only what this one does is recorded, or forbidden.
                with torch.cuda.graph(graph, pool=self._pool, stream=aside, capture_error_mode="thread_local"):
                    outputs = self._run(inputs)
            except RuntimeError:
                # PyTorch 2.11 would go on as if it still recorded, and keep the memory of every picture from now on.
                with suppress(RuntimeError):  # newer ones have ended it already
                    torch._C._cuda_endAllocateToPool(device.index, self._pool)
                raise
        here.wait_stream(aside)
        return graph, outputs


def on(device: torch.device) -> AbstractContextManager[object]:
    """Makes a GPU the calling thread's current one; does nothing for the CPU."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
