"""From a torch network to an engine: exported once, checked against eager float32, kept on disk, loaded ever after.

An engine is a folder under the cache, `engines/<name>-<key>/`: the compiled files and `manifest.json`. The key covers
everything that decides the result, so another network, library or input shape is another folder.
"""

import contextlib
import hashlib
import json
import logging
import platform
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from models.assets import cache_dir
from models.engines import openvino
from models.engines.engine import Engine
from models.engines.openvino import OpenVINOEngine
from models.engines.torch import TorchEngine, as_tuple
from models.errors import EngineError
from models.parity import FLOAT32, FloatArray, OutputParity, Tolerance, check_parity

log = logging.getLogger(__name__)

Runtime = Literal["openvino", "torch"]

MANIFEST_VERSION = 1
MODEL_FILE = "model.xml"

_build_lock = threading.Lock()  # torch.export and the conversion of its result keep global state


def load_or_build(
    name: str,
    network: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    *,
    runtime: Runtime = "openvino",
    tolerance: Tolerance = FLOAT32,
) -> Engine:
    """An engine for `network`, from the cache when one fits, else exported and checked now (seconds).

    `network` is float32 and in evaluation mode; `example` holds one tensor [B, ...] per input, B >= 2, with values like
    those it will see, since parity is checked on them. Raises ParityError (nothing is kept) or EngineError.
    """
    if network.training:
        raise EngineError(f"network {name} is in training mode; call .eval() before making an engine of it")
    if runtime == "torch":
        return TorchEngine(network, example)
    if any(len(tensor) < 2 for tensor in example):
        raise EngineError(f"network {name}: the example needs two items or more, so that the batch can be left open")
    expected = _expected_manifest(name, network, example)
    folder = cache_dir() / "engines" / f"{name}-{_digest(json.dumps(expected, sort_keys=True).encode())}"
    with _build_lock:
        misfit = _misfit(folder, expected)
        if misfit is not None:
            if folder.exists():
                log.warning("engine %s is not used (%s) and built again", folder, misfit)
                _remove(folder)
            return _build(folder, network, example, expected, tolerance)
    return OpenVINOEngine(folder / MODEL_FILE)


def model_hash(network: torch.nn.Module) -> str:
    """12 hex digits that change with the network's class, or the name, shape, type or any bit of its weights."""
    digest = hashlib.sha256(type(network).__qualname__.encode())
    for name, tensor in _tensors(network):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"\n{name} {array.dtype} {list(array.shape)} ".encode())
        digest.update(array.view(-1).view(torch.uint8).numpy().data if array.numel() else b"")
    return digest.hexdigest()[:12]


def _tensors(network: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers, also those that a state dict leaves out: they decide the result just as well."""
    yield from sorted([*network.named_parameters(), *network.named_buffers()])


def _structure_hash(network: torch.nn.Module) -> str:
    """What the weights do not say: the modules' arrangement and settings, and the code that runs them."""
    digest = hashlib.sha256(repr(network).encode())
    modules = {type(module).__module__ for module in network.modules()}
    for module in sorted(modules):
        file = getattr(sys.modules.get(module), "__file__", None)
        if file and _version(module) is None:
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]


def _version(module: str) -> str | None:
    """Version of the package a module belongs to; None for code that changes without one, like flamestream's own."""
    version = getattr(sys.modules.get(module.partition(".")[0]), "__version__", None)
    return None if version is None else str(version)


def _expected_manifest(name: str, network: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> dict[str, Any]:
    """Every entry of the manifest that is known before building: the key is made of these, and loading checks them."""
    packages = {type(module).__module__.partition(".")[0] for module in network.modules()} | {"torch"}
    versions = {package: version for package in packages if (version := _version(package))}
    return {
        "manifest_version": MANIFEST_VERSION,
        "name": name,
        "model_hash": model_hash(network),
        "structure_hash": _structure_hash(network),
        "runtime": OpenVINOEngine.name,
        "precision": "f32",
        "device": f"CPU {platform.machine()}",
        "versions": versions | {"openvino": openvino.version()},
        "inputs": [{"shape": [None, *tensor.shape[1:]], "dtype": "float32"} for tensor in example],
        "batch": {"min": 0, "max": None, "items_per_request": 1},
    }


def _misfit(folder: Path, expected: dict[str, Any]) -> str | None:
    """Why the engine in `folder` cannot be used, or None when it can."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        differing = [key for key, value in expected.items() if manifest.get(key) != value]
        if differing:
            return f"its manifest has another {', '.join(differing)}"
        for file, sha256 in manifest["files"].items():
            if _file_hash(folder / file) != sha256:
                return f"{file} is damaged"
    except OSError as error:
        return f"{Path(error.filename).name}: {error.strerror}"
    except (ValueError, AttributeError, KeyError):
        return "its manifest cannot be read"
    return None


def _build(
    folder: Path,
    network: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    manifest: dict[str, Any],
    tolerance: Tolerance,
) -> Engine:
    name = manifest["name"]
    log.info("building engine %s (once; some seconds)", folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise _not_writable(folder, error) from error
    try:
        openvino.save(_export(name, network, example), draft / MODEL_FILE, [tensor.shape[1:] for tensor in example])
        engine = OpenVINOEngine(draft / MODEL_FILE)
        parity = _check(name, network, engine, example, tolerance)
        built = {
            "outputs": [{"shape": [None, *shape], "dtype": "float32"} for shape in engine.output_shapes],
            "parity": [asdict(figures) for figures in parity],
            "tolerance": asdict(tolerance),
            "files": {file.name: _file_hash(file) for file in sorted(draft.iterdir())},
        }
        (draft / "manifest.json").write_text(json.dumps(manifest | built, indent=1) + "\n", encoding="utf-8")
        _publish(draft, folder)
    except OSError as error:
        raise _not_writable(folder, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return engine


def _export(name: str, network: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch")
    try:
        with torch.no_grad():
            return torch.export.export(network, example, dynamic_shapes=tuple({0: batch} for _ in example))
    except (RuntimeError, ValueError) as error:  # torch's own classes of both: operators, shapes, control flow
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise EngineError(
            f"network {name} cannot be exported with an open batch ({reason}); use the torch engine"
        ) from error


def _check(
    name: str, network: torch.nn.Module, engine: OpenVINOEngine, example: tuple[torch.Tensor, ...], tolerance: Tolerance
) -> list[OutputParity]:
    with torch.inference_mode():
        reference: list[FloatArray] = [output.numpy() for output in as_tuple(network(*example))]
    candidate = engine(*(np.ascontiguousarray(tensor.numpy()) for tensor in example))
    return check_parity(f"engine {name} ({engine.name})", reference, candidate, tolerance)


def _remove(folder: Path) -> None:
    """Take the name away in one step, so that nobody reads a folder half removed."""
    doomed = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    with contextlib.suppress(FileNotFoundError):  # another process has just done the same
        folder.replace(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _publish(draft: Path, folder: Path) -> None:
    """Give the finished draft its name in one step, unless another process was first: its engine is the same."""
    draft.chmod(0o755)
    try:
        draft.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _not_writable(folder: Path, error: OSError) -> EngineError:
    return EngineError(
        f"cannot write {folder} ({error.strerror}); set FLAMESTREAM_CACHE to a folder that can be written"
    )


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
