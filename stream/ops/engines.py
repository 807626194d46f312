"""What computes here: PyTorch and each runtime that compiles networks, and what a run would choose of it all."""

import importlib
import importlib.metadata
import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from stream.ops.check import Finding
from stream.ops.nvidia import LEAST_DRIVER, NO_DRIVER, for_gpu, load

GET_TENSORRT = "pip install 'flamestream[gpu]' --extra-index-url https://pypi.nvidia.com"
"""TensorRT's own library is not on PyPI, where its packages only fetch it from there."""
GET_TENSORRT_RTX = "pip install 'flamestream[rtx]'"
GET_COMPILER = "apt-get install g++ (or set CXX to a C++ compiler)"
GET_HEADERS = "apt-get install python3-dev"
GET_TORCH = "pip install --force-reinstall 'torch>=2.11,<2.15' torchvision"
PROGRAM = "#include <Python.h>\n#include <vector>\nint answer() { return std::vector<int>(42).size(); }\n"


def pytorch() -> Finding:
    """Version, the CUDA it is built for, and whether it sees the GPUs of a driver that is there."""
    torch: Any = importlib.import_module("torch")
    built_for: str | None = torch.version.cuda
    facts = {"torch": str(torch.__version__), "cuda": built_for, "gpus": torch.cuda.device_count()}
    detail = f"{torch.__version__}, {f'built for CUDA {built_for}' if built_for else 'built for the CPU only'}"
    if load("libcuda.so.1") is None:
        return Finding("works", detail, facts=facts)
    if built_for is None:
        return Finding("missing", f"{detail}: it cannot use the GPU", GET_TORCH, facts=facts)
    try:
        torch.cuda.init()
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        remedy = f"see NVIDIA driver in this table; CUDA {built_for} needs {LEAST_DRIVER} or newer"
        return Finding("missing", f"{detail}, but sees no GPU ({reason})", remedy, facts=facts)
    return Finding("works", f"{detail}, sees {facts['gpus']} GPU{'s' if facts['gpus'] != 1 else ''}", facts=facts)


def torchvision() -> Finding:
    """Whether its compiled part fits this torch: of another build it does not load, and SMIRK's networks need it."""
    spec = find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return Finding("missing", "not installed", GET_TORCH)
    torch: Any = importlib.import_module("torch")
    version = importlib.metadata.version("torchvision")
    for extension in Path(spec.submodule_search_locations[0]).glob("_C.*"):
        try:
            torch.ops.load_library(str(extension))  # not the package: that would take ten seconds to import
        except OSError as error:
            reason = " ".join(str(error).split())[:160]
            detail = f"{version} does not fit torch {torch.__version__} ({reason}); SMIRK needs it"
            return Finding("broken", detail, GET_TORCH)
    return Finding("works", version, facts={"version": version})


def openvino() -> Finding:
    """Whether it compiles and runs a network here, and the precision it then computes in. Raises EngineError."""
    from models.engines.openvino import library

    module = library()
    opset: Any = importlib.import_module("openvino.opset8")  # after `library`, which keeps its telemetry out
    inputs = opset.parameter([1, 2], module.Type.f32)
    model = module.Model([opset.relu(inputs)], [inputs], "doctor")
    compiled = module.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (result,) = compiled([np.array([[-1, 2]], np.float32)]).values()
    version = importlib.metadata.version("openvino")
    precision = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
    facts = {"version": version, "precision": precision}
    if result.tolist() != [[0.0, 2.0]]:
        return Finding("broken", f"{version} computes wrongly on this CPU", "use --engine torch", facts=facts)
    return Finding("works", f"{version}, computes in {precision}", facts=facts)


def inductor() -> Finding:
    """Whether the C++ compiler works with Python's headers, which generated code needs, and Triton is there."""
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    if shutil.which(compiler[0]) is None:
        return Finding("missing", f"no C++ compiler ({compiler[0]} not found)", GET_COMPILER)
    with tempfile.TemporaryDirectory(prefix="flamestream-doctor-") as folder:
        source = Path(folder, "program.cpp")
        source.write_text(PROGRAM, encoding="utf-8")
        include = f"-I{sysconfig.get_paths()['include']}"
        command = [*compiler, "-std=c++17", include, "-c", str(source), "-o", f"{source}.o"]
        compiled = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if compiled.returncode:
        reason = next((line for line in compiled.stderr.splitlines() if "error" in line), "no message")
        remedy = GET_HEADERS if "Python.h" in reason else GET_COMPILER
        return Finding("broken", f"{compiler[0]} does not compile: {reason.strip()[:160]}", remedy)
    facts: dict[str, Any] = {"compiler": compiler[0], "triton": None}
    if find_spec("triton") is None:
        detail = f"{compiler[0]} compiles; for the CPU only: no Triton"
        return Finding("works", detail, for_gpu("pip install triton"), facts=facts)
    facts["triton"] = str(importlib.import_module("triton").__version__)
    return Finding("works", f"{compiler[0]} compiles, Triton {facts['triton']}", facts=facts)


def tensorrt() -> Finding:
    """Whether torch-tensorrt and NVIDIA's library load, which they do only where there is a driver."""
    if find_spec("torch_tensorrt") is None:
        return Finding("missing", "torch-tensorrt is not installed", for_gpu(GET_TENSORRT))
    version = importlib.metadata.version("torch-tensorrt")
    if find_spec("tensorrt") is None:
        return Finding("missing", f"torch-tensorrt {version}, but not TensorRT itself", for_gpu(GET_TENSORRT))
    if load("libcuda.so.1") is None:
        return Finding("missing", f"torch-tensorrt {version}, but {NO_DRIVER}")
    library: Any = importlib.import_module("tensorrt")
    importlib.import_module("torch_tensorrt")
    library.Builder(library.Logger(library.Logger.ERROR))  # raises when the library does not fit driver or GPU
    facts = {"torch_tensorrt": version, "tensorrt": str(library.__version__)}
    return Finding("works", f"torch-tensorrt {version}, TensorRT {library.__version__}", facts=facts)


def tensorrt_rtx() -> Finding:
    """Whether TensorRT for RTX builds engines, which it does without a GPU too, and for which GPUs."""
    if find_spec("tensorrt_rtx_bindings") is None:
        return Finding("missing", "not installed", f"with a GeForce or RTX card: {GET_TENSORRT_RTX}")
    library: Any = importlib.import_module("tensorrt_rtx_bindings")
    library.Builder(library.Logger(library.Logger.ERROR))
    targets = [name for name in library.ComputeCapability.__members__ if name.startswith("SM")]
    capabilities = [f"{name[2:-1]}.{name[-1]}" for name in targets]
    facts = {"version": str(library.__version__), "capabilities": capabilities}
    detail = f"{library.__version__}, builds for compute {', '.join(capabilities)}"
    return Finding("works", detail, facts=facts)
