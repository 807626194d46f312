"""The compiler that comes with PyTorch: an AOTInductor package, on a GPU replayed as CUDA graphs over batch buckets.

Building needs a C++ compiler; loading needs none.
"""

import contextlib
import copy
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from models.device import open_device
from models.engines.batch import batch_size
from models.engines.buckets import Buckets, CudaGraphs, Run, bucket_sizes
from models.engines.engine import Batch, Engine, FloatArray, Target
from models.engines.failure import as_engine_error
from models.engines.identity import device_identity
from models.engines.program import export_program
from models.engines.torch import as_tuple, forbid_tf32
from models.errors import EngineError
from models.precision import in_precision

MODEL_FILE = "model.pt2"


class InductorEngine:
    """A package of AOTInductor; see `models.engines.engine.Engine`."""

    name = "inductor"

    def __init__(
        self, path: Path, device: torch.device, item_shapes: Sequence[tuple[int, ...]], sizes: Sequence[int]
    ) -> None:
        """Load the package at `path`, to run batches of `sizes`. Raises EngineError when this machine cannot."""
        self._item_shapes = item_shapes
        run = _load(path, device)
        if device.type == "cuda":
            forbid_tf32()
            run = CudaGraphs(f"engine {path.parent.name}", run)
        self._buckets = Buckets(sizes, item_shapes, device, run)
        if device.type == "cuda":
            # Recorded now, the largest first, whose memory the others share: later it would hold up running streams.
            for size in reversed(sizes):
                self(*(torch.zeros(size, *shape, device=device) for shape in item_shapes))

    def __call__(self, *inputs: Batch) -> tuple[FloatArray, ...]:
        """Outputs, each [B, ...], for inputs of [B, ...]; B may be 0. Raises ValueError for another shape or type."""
        count = batch_size(inputs, self._item_shapes)
        with as_engine_error("the inductor engine failed while running the network", remedy="report it with the input"):
            return self._buckets(inputs, count)


class InductorBackend:
    """The runtime `inductor`: f32, f16 and bf16, on the CPU and on NVIDIA GPUs."""

    def identity(self, target: Target) -> dict[str, Any]:
        """See `Backend`."""
        device = open_device(str(target.device))
        return {
            "device": device_identity(device),
            "versions": {"cuda": torch.version.cuda} if device.type == "cuda" else {},
            "batch": {"min": 0, "max": None, "buckets": list(_sizes(target))},
        }

    def build(self, network: torch.nn.Module, example: Sequence[torch.Tensor], folder: Path, target: Target) -> None:
        """See `Backend`."""
        _require_compiler()
        device = open_device(str(target.device))
        converted = copy.deepcopy(in_precision(network, target.precision)).to(device)
        if device.type == "cuda":
            forbid_tf32()
            converted = converted.to(memory_format=torch.channels_last)  # the layout tensor cores read
        inputs = [_repeated(tensor, target.max_batch).to(device) for tensor in example]
        program = export_program(converted, inputs, max_batch=target.max_batch)
        with (
            _cuda_toolkit(device, folder),
            torch.no_grad(),
            warnings.catch_warnings(),
            as_engine_error(
                "inductor cannot compile the network",
                remedy="use another engine and report it",
                kinds=(RuntimeError, OSError),
            ),
        ):
            warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores")  # which are not used on purpose
            torch._inductor.aoti_compile_and_package(program, package_path=str(folder / MODEL_FILE))

    def load(self, folder: Path, target: Target, item_shapes: Sequence[tuple[int, ...]]) -> Engine:
        """See `Backend`."""
        return InductorEngine(folder / MODEL_FILE, open_device(str(target.device)), item_shapes, _sizes(target))


BACKEND = InductorBackend()


def _sizes(target: Target) -> tuple[int, ...]:
    """On the CPU items run one by one: their results may not depend on the batch around them, bit for bit."""
    return (1,) if target.device.type == "cpu" else bucket_sizes(target.max_batch)


def _repeated(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """`count` items, 2 or more: kernels are chosen for a batch of the size of the example's."""
    times = -(-max(count, 2) // len(tensor))
    return tensor.repeat(times, *[1] * (tensor.ndim - 1))[: max(count, 2)].contiguous()


def _load(path: Path, device: torch.device) -> Run:
    with as_engine_error(f"inductor cannot load {path}", remedy="remove its folder to have it built again"):
        # Without the package's own locks, which a CUDA graph cannot record: `Buckets` runs one call at a time.
        package = torch._inductor.aoti_load_package(
            str(path), run_single_threaded=True, device_index=-1 if device.index is None else device.index
        )
    return lambda inputs: as_tuple(package(*inputs))


def _require_compiler() -> None:
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise EngineError(
            f"the inductor engine needs a C++ compiler to build, and {compiler} is not found; install one "
            "(Debian, Ubuntu: `apt install g++`) or set CXX to yours"
        )


@contextlib.contextmanager
def _cuda_toolkit(device: torch.device, folder: Path) -> Iterator[None]:
    """Lets the compiler find CUDA's headers and driver library in PyTorch's own packages, where no toolkit is."""
    if device.type != "cuda":
        yield
        return
    from torch.utils import cpp_extension

    changed = {"LIBRARY_PATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("LIBRARY_PATH")])])}
    packaged = Path(torch.__file__).parents[1] / "nvidia" / f"cu{str(torch.version.cuda).partition('.')[0]}"
    if cpp_extension.CUDA_HOME is None and (packaged / "include" / "cuda.h").is_file():
        changed["CUDA_HOME"] = str(packaged)
        cpp_extension.CUDA_HOME = str(packaged)  # PyTorch 2.11 looks at the variable only when it imports this module
    stub = folder / "libcuda.so"  # the name the linker looks for; drivers in containers often come without it
    stub.symlink_to(_driver_library())
    kept = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        stub.unlink()
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _driver_library() -> str:
    """Path of the libcuda that this process runs on."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if "/libcuda.so" in line:
            return line.split(maxsplit=5)[5]
    raise EngineError("the inductor engine builds for a GPU only where NVIDIA's driver is loaded, and it is not")
