"""What the networks run on, from what the user asked for."""

import importlib.util
from typing import Literal

import torch

from models.engines.engine import Precision, Runtime, Target
from models.errors import EngineError

RuntimeChoice = Literal["auto", Runtime]
PrecisionChoice = Literal["auto", Precision]

ON_CPU: tuple[Runtime, ...] = ("openvino", "torch", "inductor")
ON_CUDA: tuple[Runtime, ...] = ("tensorrt", "inductor", "torch", "tensorrt-rtx")
PRECISIONS: dict[Runtime, tuple[Precision, ...]] = {
    "openvino": ("f32",),
    "torch": ("f32",),
    "inductor": ("f32", "f16", "bf16"),
    "tensorrt": ("f32", "f16", "bf16", "int8", "fp8"),
    "tensorrt-rtx": ("f32", "f16", "bf16"),
}


def choose_target(runtime: RuntimeChoice, precision: PrecisionChoice, device: torch.device) -> Target:
    """The target for a face model's networks on `device`. Raises EngineError for what does not go together.

    `auto` is OpenVINO in float32 on the CPU; on a GPU TensorRT, or inductor where that is not installed, in half
    precision, which is kept only when it agrees with float32.
    """
    possible = ON_CPU if device.type == "cpu" else ON_CUDA
    if runtime == "auto":
        runtime = "openvino" if device.type == "cpu" else _best_on_cuda()
    if runtime not in possible:
        raise EngineError(f"engine {runtime} does not run on {device.type}; choose one of {', '.join(possible)}")
    if precision == "auto":
        precision = "f16" if device.type == "cuda" and runtime != "torch" else "f32"
    if precision not in PRECISIONS[runtime]:
        raise EngineError(
            f"engine {runtime} does not compute in {precision}; choose one of {', '.join(PRECISIONS[runtime])}"
        )
    return Target(runtime, precision, device)


def _best_on_cuda() -> Runtime:
    # Both: torch-tensorrt installs without TensorRT's own library, which has another index.
    complete = all(importlib.util.find_spec(package) for package in ("torch_tensorrt", "tensorrt"))
    return "tensorrt" if complete else "inductor"
