"""From a torch network to an engine: compiled once, checked against eager float32, kept on disk, loaded ever after.

An engine is a folder under the cache, `engines/<name>-<key>/`: the compiled files and `manifest.json`. The key covers
everything that decides the result, so another network, device, library or input shape is another folder.
"""

import contextlib
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from models.assets import cache_dir
from models.engines.backends import backend_of
from models.engines.choose import choose_target
from models.engines.engine import Engine, FloatArray, Target
from models.engines.torch import TorchEngine, as_tuple
from models.errors import EngineError
from models.manifest import expected_manifest, key, misfit, write_manifest
from models.parity import OutputParity, Tolerance, check_parity, tolerance_for

log = logging.getLogger(__name__)

Example = tuple[torch.Tensor, ...]

_build_lock = threading.Lock()  # torch.export and the compilers behind it keep global state


DEFAULT = Target()


def load_or_build(
    name: str,
    network: torch.nn.Module,
    example: Example,
    target: Target = DEFAULT,
    tolerance: Tolerance | None = None,
    *,
    real_example: Callable[[], Example] | None = None,
    parts: Mapping[str, int] | None = None,
) -> Engine:
    """An engine for `network`, from the cache when one fits, else compiled and checked now (seconds to minutes).

    `network` is float32, on the CPU and in evaluation mode; `example` holds one float32 tensor [B, ...] per input,
    B >= 2, with values like those it will see. Float32 on the CPU is checked on them. Anything else is made for and
    checked on `real_example()` where given: random values say little about half precision. It is called only to build.
    `tolerance` is by default that of the target's precision; `parts` names what `check_parity` looks at one by one.
    Raises ParityError (nothing is kept) or EngineError, and what `real_example` does.
    """
    choose_target(target.runtime, target.precision, target.device)  # refuses what does not go together
    if network.training:
        raise EngineError(f"network {name} is in training mode; call .eval() before making an engine of it")
    if target.runtime == "torch":
        return TorchEngine(network, example, target.device, target.max_batch)
    _check_example(name, example, example)
    backend = backend_of(target.runtime)
    item_shapes = [tuple(tensor.shape[1:]) for tensor in example]
    expected = expected_manifest(name, network, item_shapes, target, backend.identity(target))
    folder = engines_dir() / f"{name}-{key(expected)}"
    with _build_lock:
        problem = misfit(folder, expected)
        if problem is None:
            with contextlib.suppress(OSError):  # a cache may be read-only
                os.utime(folder)  # says when it was last used
            return backend.load(folder, target, item_shapes)
        if folder.exists():
            log.warning("engine %s is not used (%s) and built again", folder, problem)
            remove_engine(folder)
        if real_example is not None and not is_exact(target):
            _check_example(name, real := real_example(), example)
            return _build(folder, expected | {"checked_on": "real faces"}, network, real, target, tolerance, parts)
        return _build(folder, expected | {"checked_on": "its example"}, network, example, target, tolerance, parts)


def engines_dir() -> Path:
    """Where engines are kept."""
    return cache_dir() / "engines"


def remove_engine(folder: Path) -> None:
    """Take the name away in one step, so that nobody reads a folder half removed."""
    doomed = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    with contextlib.suppress(FileNotFoundError):  # another process has just done the same
        folder.replace(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def is_exact(target: Target) -> bool:
    """Whether the target computes what the reference does: float32 on the CPU."""
    return target.precision == "f32" and target.device.type == "cpu"


def _check_example(name: str, example: Example, like: Example) -> None:
    if any(len(tensor) < 2 for tensor in example):
        raise EngineError(f"network {name}: the example needs two items or more, so that the batch can be left open")
    found, expected = ([list(tensor.shape[1:]) for tensor in tensors] for tensors in (example, like))
    if found != expected:
        raise EngineError(f"network {name}: its real example has items of {found}, expected {expected}")


def _build(
    folder: Path,
    manifest: dict[str, Any],
    network: torch.nn.Module,
    example: Example,
    target: Target,
    tolerance: Tolerance | None,
    parts: Mapping[str, int] | None,
) -> Engine:
    log.info("building engine %s (%s in %s, once)", folder, target.runtime, target.precision)
    started_s = time.monotonic()
    backend, tolerance = backend_of(target.runtime), tolerance or tolerance_for(target)
    draft = _new_draft(folder)
    try:
        # A quantised network is calibrated on every other face, so that it is checked on faces it has not seen too.
        shown = (
            [tensor[::2] for tensor in example]
            if target.precision in ("int8", "fp8") and len(example[0]) >= 4
            else example
        )
        backend.build(network, shown, draft, target)
        engine = backend.load(draft, target, [tuple(tensor.shape[1:]) for tensor in example])
        reference = _reference(network, example)
        parity = _check(
            f"engine {manifest['name']} ({_describe(target)})", reference, engine, example, tolerance, parts
        )
        built = {
            "outputs": [{"shape": [None, *output.shape[1:]], "dtype": "float32"} for output in reference],
            "parity": [asdict(figures) for figures in parity],
            "tolerance": asdict(tolerance),
            "built_in_s": round(time.monotonic() - started_s, 1),
        }
        write_manifest(draft, manifest | built)
        _publish(draft, folder)
    except OSError as error:
        raise _not_writable(folder, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return engine


def _describe(target: Target) -> str:
    """`openvino`, or `inductor in f16 on cuda:0` where that is not plain."""
    return target.runtime if is_exact(target) else f"{target.runtime} in {target.precision} on {target.device}"


def _reference(network: torch.nn.Module, example: Example) -> list[FloatArray]:
    with torch.inference_mode():
        return [output.numpy() for output in as_tuple(network(*example))]


def _check(
    what: str,
    reference: list[FloatArray],
    engine: Engine,
    example: Example,
    tolerance: Tolerance,
    parts: Mapping[str, int] | None,
) -> list[OutputParity]:
    """The figures of the whole example; its first item alone must fit too, since a GPU may run it quite differently."""
    inputs = [tensor.contiguous().numpy() for tensor in example]
    figures = check_parity(what, reference, engine(*inputs), tolerance, parts)
    alone = engine(*(array[:1] for array in inputs))
    check_parity(f"{what}, one item", [output[:1] for output in reference], alone, tolerance, parts)
    return figures


def _new_draft(folder: Path) -> Path:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise _not_writable(folder, error) from error


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
