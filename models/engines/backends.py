"""The runtimes that compile networks, by name; each module is imported when its runtime is first asked for."""

import importlib

from models.engines.engine import Backend, Runtime
from models.errors import EngineError

MODULES: dict[Runtime, str] = {
    "openvino": "models.engines.openvino",
    "inductor": "models.engines.inductor",
    "tensorrt": "models.engines.tensorrt",
    "tensorrt-rtx": "models.engines.tensorrt_rtx",
}
"""Runtime: the module that has its `BACKEND`. The runtime `torch` is missing: it compiles nothing."""


def backend_of(runtime: Runtime) -> Backend:
    """The backend called `runtime`. Raises EngineError for a name that is none."""
    if runtime not in MODULES:
        raise EngineError(f"no runtime that compiles is called {runtime!r}; expected one of {', '.join(MODULES)}")
    backend: Backend = importlib.import_module(MODULES[runtime]).BACKEND
    return backend
