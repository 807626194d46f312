"""TensorRT for data-centre GPUs, through torch-tensorrt: a program whose whole graph is one TensorRT engine.

Compiled for the very GPU it runs on, for any batch up to a largest one. TensorRT follows the types of the network
("strong typing"), so a precision is what the network was converted to. torch-tensorrt cannot be imported without
TensorRT's own libraries, nor without NVIDIA's driver: nothing here imports it before it is asked for.
"""

import copy
import importlib
import importlib.util
import inspect
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch

from models.device import open_device
from models.engines import quantise
from models.engines.batch import batch_size
from models.engines.buckets import Buckets, Run, bucket_sizes
from models.engines.engine import Batch, Engine, FloatArray, Target
from models.engines.failure import as_engine_error
from models.engines.identity import device_identity
from models.engines.program import export_program
from models.engines.torch import as_tuple
from models.errors import EngineError
from models.precision import in_precision

PROGRAM_FILE = "model.ep"

TYPICAL_BATCH = 32
"""TensorRT chooses its kernels for a batch of this size, and they run all others: several streams' faces at once."""

STRONG_TYPING_ONLY = (2, 13)
"""From this release torch-tensorrt always follows the network's types, and its switches for it are gone."""

# torch_tensorrt is not installed where types are checked: this name says which module an `Any` is.
TorchTensorRT: TypeAlias = Any
Shapes: TypeAlias = dict[str, tuple[int, ...]]

_FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, NotImplementedError, AttributeError)
"""What torch-tensorrt raises for a network it cannot compile: converters use all of these."""


class PlannedEngine:
    """A network that a member of the TensorRT family runs; see `models.engines.engine.Engine`."""

    def __init__(
        self, name: str, run: Run, device: torch.device, item_shapes: Sequence[tuple[int, ...]], max_batch: int
    ) -> None:
        """`run` takes batches of 1 to `max_batch` items. It needs not be thread-safe: one call runs at a time."""
        self.name = name
        self._item_shapes = item_shapes
        # Few sizes: TensorRT plans its memory anew, and TensorRT-RTX compiles kernels, when the size changes.
        self._buckets = Buckets(bucket_sizes(max_batch), item_shapes, device, run)

    def __call__(self, *inputs: Batch) -> tuple[FloatArray, ...]:
        """Outputs, each [B, ...], for inputs of [B, ...]; B may be 0. Raises ValueError for another shape or type."""
        count = batch_size(inputs, self._item_shapes)
        with as_engine_error(f"the {self.name} engine failed while running the network", remedy="report it"):
            return self._buckets(inputs, count)


class TensorRTBackend:
    """The runtime `tensorrt`: f32, f16, bf16, int8 and fp8 on data-centre GPUs."""

    def identity(self, target: Target) -> dict[str, Any]:
        """See `Backend`."""
        trt = library(target.device)
        # By what they say themselves: TensorRT's distributions are named after the CUDA release.
        versions = {"torch-tensorrt": trt.__version__, "tensorrt": importlib.import_module("tensorrt").__version__}
        if target.precision in quantise.PRECISIONS:
            versions |= {"nvidia-modelopt": quantise.version()}
        return {
            "device": device_identity(target.device),
            "versions": versions | {"cuda": torch.version.cuda},
            "batch": {"min": 0, "max": None, "profile": list(batch_profile(target.max_batch))},
        }

    def build(self, network: torch.nn.Module, example: Sequence[torch.Tensor], folder: Path, target: Target) -> None:
        """See `Backend`."""
        trt = library(target.device)
        program = _program(network, example, target)
        inputs = [trt.Input(**shapes, dtype=torch.float32) for shapes in profile_shapes(example, target.max_batch)]
        with (
            torch.cuda.device(target.device),
            tempfile.TemporaryDirectory() as scratch,
            as_engine_error("TensorRT cannot compile the network", remedy="use the inductor engine", kinds=_FAILURES),
        ):
            compiled = trt.dynamo.compile(
                program,
                arg_inputs=inputs,
                device=target.device,
                # All of it or nothing: what PyTorch ran instead would be slow, and nobody would be told.
                require_full_compilation=True,
                min_block_size=1,
                disable_tf32=True,
                # By default timings are kept in a file of the same name for everybody in /tmp.
                timing_cache_path=str(Path(scratch) / "timing.bin"),
                **typing_options(trt.__version__),
            )
            trt.save(
                compiled,
                str(folder / PROGRAM_FILE),
                arg_inputs=[tensor.to(target.device) for tensor in example],
                dynamic_shapes=_open_batch(compiled, len(example), target.max_batch),
            )

    def load(self, folder: Path, target: Target, item_shapes: Sequence[tuple[int, ...]]) -> Engine:
        """See `Backend`."""
        trt = library(target.device)
        path = folder / PROGRAM_FILE
        remedy = "remove its folder to have it built again"
        if not path.is_file():  # torch_tensorrt prints a stack of calls before it says so
            raise EngineError(f"{path} is missing; {remedy}")
        with (
            torch.cuda.device(target.device),
            as_engine_error(f"TensorRT cannot load {path}", remedy=remedy, kinds=_FAILURES),
        ):
            module = trt.load(str(path)).module()

        def run(inputs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
            return as_tuple(module(*inputs))

        return PlannedEngine("tensorrt", run, target.device, item_shapes, target.max_batch)


BACKEND = TensorRTBackend()


def library(device: torch.device) -> TorchTensorRT:
    """The `torch_tensorrt` module. Raises EngineError, saying what to install, where it cannot be used on `device`."""
    missing = [package for package in ("torch_tensorrt", "tensorrt") if importlib.util.find_spec(package) is None]
    if missing:
        raise EngineError(
            f"the tensorrt engine needs the package {' and the package '.join(missing)}; install it with "
            "`pip install 'flamestream[gpu]'`, giving pip NVIDIA's own package index as well (--extra-index-url), "
            "which alone has TensorRT's libraries, or choose the inductor engine"
        )
    if device.type != "cuda" or not torch.cuda.is_available():
        raise EngineError(
            f"the tensorrt engine needs an NVIDIA GPU and its driver, but device {device} is to be used and torch sees "
            f"{torch.cuda.device_count()} GPUs; `flamestream doctor` tells why, and --engine openvino runs on the CPU"
        )
    open_device(str(device))  # refuses a GPU that is not there
    with as_engine_error(
        "torch-tensorrt cannot be imported",
        remedy="install torch, torch-tensorrt and TensorRT of releases that belong together, or use inductor",
        kinds=(ImportError, OSError, RuntimeError, AttributeError),
    ):
        # First TensorRT alone: it says what it misses, where torch_tensorrt raises a bare Exception.
        importlib.import_module("tensorrt")
        return importlib.import_module("torch_tensorrt")


def batch_profile(max_batch: int) -> tuple[int, int, int]:
    """The smallest batch an engine runs, the one it is fastest for, and the largest."""
    return 1, min(TYPICAL_BATCH, max_batch), max_batch


def profile_shapes(example: Sequence[torch.Tensor], max_batch: int) -> list[Shapes]:
    """For each input [B, ...] of `example`, its shape at the three batches of the profile."""
    names = ("min_shape", "opt_shape", "max_shape")
    return [
        {name: (count, *tensor.shape[1:]) for name, count in zip(names, batch_profile(max_batch), strict=True)}
        for tensor in example
    ]


def typing_options(version: str) -> dict[str, bool]:
    """What makes a release of torch-tensorrt follow the network's types.

    Only what that release knows: it swallows other names without a word and then computes in float32.
    """
    release = tuple(int(part) for part in version.split(".")[:2])
    return {} if release >= STRONG_TYPING_ONLY else {"use_explicit_typing": True}


def _program(network: torch.nn.Module, example: Sequence[torch.Tensor], target: Target) -> torch.export.ExportedProgram:
    """The network in the target's precision, exported on the GPU: TensorRT folds its constants there."""
    if target.precision in quantise.PRECISIONS:
        # What is not quantised computes in half precision, like the activations between quantised layers.
        network = in_precision(quantise.quantise(network, example, target.precision), "f16")
    else:
        network = in_precision(network, target.precision)
    with quantise.exporting(network):
        return export_program(
            copy.deepcopy(network).to(target.device),
            [tensor.to(target.device) for tensor in example],
            max_batch=target.max_batch,
        )


def _open_batch(compiled: torch.nn.Module, inputs: int, max_batch: int) -> tuple[object, ...]:
    """The dynamic shapes of a compiled network, which may take its inputs one by one or as `*inputs`."""
    batch = torch.export.Dim("batch", min=1, max=max_batch)
    shapes = tuple({0: batch} for _ in range(inputs))
    kinds = {parameter.kind for parameter in inspect.signature(compiled.forward).parameters.values()}
    return (shapes,) if inspect.Parameter.VAR_POSITIONAL in kinds else shapes
