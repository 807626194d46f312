"""What a device is, as far as compiled code depends on it; drivers may change without a new engine."""

import platform
from pathlib import Path
from typing import Any

import torch


def device_identity(device: torch.device) -> dict[str, Any]:
    """What code compiled on this machine for `device` needs: JSON types, part of the engine's key.

    A GPU's name and compute capability; the CPU's name and its vector instructions, which compilers use to the full.
    """
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return {"name": torch.cuda.get_device_name(device), "compute_capability": f"{major}.{minor}"}
    return {"name": _cpu_name(), "instructions": torch.backends.cpu.get_cpu_capability()}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.machine()} {names[0] if names else platform.processor()}".strip()
