"""The CPU engine: OpenVINO, one thread and one face per request, as many requests at once as there are cores.

On the networks of flamestream a batch is best spread over the cores face by face: it is as fast as one wide batch, and
each face's result is bitwise the same whatever else is in the batch, which a wide batch does not promise.
This module owns the `openvino` library: nothing else imports it.
"""

import collections
import contextlib
import functools
import os
import platform
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from models.engines.batch import batch_size, in_memory
from models.engines.engine import Batch, Engine, FloatArray, Target
from models.engines.program import export_program
from models.errors import EngineError

# openvino ships no types: these names say which of its objects an `Any` is.
OpenVINO: TypeAlias = Any
Core: TypeAlias = Any
Model: TypeAlias = Any
Port: TypeAlias = Any
InferRequest: TypeAlias = Any

MODEL_FILE = "model.xml"

_import_lock = threading.Lock()


def library() -> OpenVINO:
    """The `openvino` module, imported without its telemetry. Raises EngineError when it is not installed."""
    with _import_lock:
        if "openvino" in sys.modules:
            return sys.modules["openvino"]
        # `import openvino` starts a process that reports to its vendor and writes to the home folder, unless its
        # telemetry package cannot be imported: then it falls back on a stub of its own. So let it not be importable.
        known = sys.modules.get("openvino_telemetry")
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        try:
            import openvino
        except ImportError as error:
            raise EngineError(
                f"the openvino engine cannot be imported ({error}); "
                "install it with `pip install 'openvino>=2026.4'` or choose the torch engine"
            ) from error
        finally:
            del sys.modules["openvino_telemetry"]
            if known is not None:
                sys.modules["openvino_telemetry"] = known
        return openvino


def version() -> str:
    """Version of the library, as it reports itself."""
    return str(library().__version__)


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


@functools.cache
def _core() -> Core:
    return library().Core()


def save(program: torch.export.ExportedProgram, path: Path, item_shapes: Sequence[Sequence[int]]) -> None:
    """Convert a torch.export.ExportedProgram and write `path` (.xml) with its .bin, weights in float32.

    Each input is [B, *item_shape] with B open. Raises EngineError for an operator that OpenVINO does not know.
    """
    openvino = library()
    with _as_engine_error("OpenVINO cannot convert the network", remedy="use the torch engine"):
        model = openvino.convert_model(program)
        model.reshape({port: [-1, *shape] for port, shape in zip(model.inputs, item_shapes, strict=True)})
        openvino.save_model(model, path, compress_to_fp16=False)


class OpenVINOEngine:
    """A compiled network on the CPU; see `models.engines.engine.Engine`."""

    name = "openvino"

    def __init__(self, path: Path, *, streams: int | None = None, precision: str = "f32") -> None:
        """Compile the model at `path` (.xml). `streams`: requests that run at once, by default one per available core.

        Raises EngineError when the file is damaged or this machine cannot run it.
        """
        self.streams = streams or available_cores()
        with _as_engine_error(f"OpenVINO cannot load {path}", remedy="remove its folder to have it built again"):
            model = _core().read_model(path)
            model.reshape({port: [1, *list(port.partial_shape)[1:]] for port in model.inputs})
            self._several = _Pool(model, self.streams, precision)
            # One item alone is 10 % quicker in a pipeline on a network of one stream, and gives the same bits.
            self._single = _Pool(model, 1, precision) if self.streams > 1 else self._several
        self.input_shapes = [_item_shape(port, path) for port in self._several.compiled.inputs]
        self.output_shapes = [_item_shape(port, path) for port in self._several.compiled.outputs]
        self._tensor = library().Tensor

    def __call__(self, *inputs: Batch) -> tuple[FloatArray, ...]:
        """Outputs, each [B, ...], for inputs of [B, ...]; B may be 0. Raises ValueError for another shape or type."""
        count = batch_size(inputs, self.input_shapes)
        # Requests read these arrays in place, which OpenVINO only does with writeable memory.
        arrays = [np.require(in_memory(batch), requirements=["C", "A", "W"]) for batch in inputs]
        outputs = tuple(np.empty((count, *shape), np.float32) for shape in self.output_shapes)
        with _as_engine_error("OpenVINO failed while running the network", remedy="report it with the input"):
            if count == 1:
                self._run_one(arrays, outputs)
            elif count > 1:
                self._run_side_by_side(arrays, outputs, count)
        return outputs

    def _run_one(self, arrays: list[FloatArray], outputs: tuple[FloatArray, ...]) -> None:
        request = self._single.take()
        self._fill(request, arrays, 0)
        request.infer()  # in this thread: no hand-over to another one
        self._read(request, outputs, 0)
        self._single.give_back([request])

    def _run_side_by_side(self, arrays: list[FloatArray], outputs: tuple[FloatArray, ...], count: int) -> None:
        # Two requests per stream: one runs while Python reads the other's result and hands it the next item.
        requests = [self._several.take() for _ in range(min(count, 2 * self.streams))]
        try:
            for item in range(count + len(requests)):
                request = requests[item % len(requests)]
                if item >= len(requests):
                    request.wait()
                    self._read(request, outputs, item - len(requests))
                if item < count:
                    self._fill(request, arrays, item)
                    request.start_async()
        except BaseException:
            for request in requests:  # they still read `arrays`, which end with this call
                with contextlib.suppress(RuntimeError):
                    request.wait()
            raise
        self._several.give_back(requests)

    def _fill(self, request: InferRequest, arrays: list[FloatArray], item: int) -> None:
        for port, array in enumerate(arrays):
            request.set_input_tensor(port, self._tensor(array[item : item + 1], shared_memory=True))

    def _read(self, request: InferRequest, outputs: tuple[FloatArray, ...], item: int) -> None:
        for port, output in enumerate(outputs):
            output[item] = request.get_output_tensor(port).data[0]


class _Pool:
    """A network compiled for some streams, with its idle requests: threads share no request, so never wait here."""

    def __init__(self, model: Model, streams: int, precision: str) -> None:
        options = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,  # one thread per stream
            "ENABLE_CPU_PINNING": False,  # several engines run at once, and each would pin itself to the same cores
        }
        self.compiled = _core().compile_model(model, "CPU", options)
        self._idle: collections.deque[InferRequest] = collections.deque()

    def take(self) -> InferRequest:
        """A request nobody else uses."""
        try:
            return self._idle.pop()
        except IndexError:
            return self.compiled.create_infer_request()

    def give_back(self, requests: list[InferRequest]) -> None:
        """For the next call to use."""
        self._idle.extend(requests)


def _item_shape(port: Port, path: Path) -> tuple[int, ...]:
    shape = port.partial_shape
    if not shape.is_static or str(port.element_type.to_string()) != "f32" or shape[0].get_length() != 1:
        raise EngineError(f"{path}: {port} is not float32 [1, ...] of fixed shape; engines run one item per request")
    return tuple(dimension.get_length() for dimension in list(shape)[1:])


@contextlib.contextmanager
def _as_engine_error(what: str, *, remedy: str) -> Iterator[None]:
    """Turn OpenVINO's only exception type into one line that ends with a remedy."""
    try:
        yield
    except RuntimeError as error:
        # Its messages are a stack of source locations with the reason last.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise EngineError(f"{what} ({lines[-1] if lines else type(error).__name__}); {remedy}") from error


class OpenVINOBackend:
    """The runtime `openvino`: float32 on the CPU."""

    def identity(self, target: Target) -> dict[str, Any]:
        """See `Backend`."""
        return {
            "device": f"CPU {platform.machine()}",
            "versions": {"openvino": version()},
            "batch": {"min": 0, "max": None, "items_per_request": 1},
        }

    def build(self, network: torch.nn.Module, example: Sequence[torch.Tensor], folder: Path, target: Target) -> None:
        """See `Backend`."""
        save(export_program(network, example), folder / MODEL_FILE, [tensor.shape[1:] for tensor in example])

    def load(self, folder: Path, target: Target, item_shapes: Sequence[tuple[int, ...]]) -> Engine:
        """See `Backend`."""
        return OpenVINOEngine(folder / MODEL_FILE)


BACKEND = OpenVINOBackend()
