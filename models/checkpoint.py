"""Weights from a file into a network: exactly the tensors it needs, or one line that says what is wrong.

Nothing in the file is ever run: a .pt is read by torch's weights-only unpickler, a .safetensors holds no code.
"""

import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from models.errors import CheckpointError


def load_strict(
    network: torch.nn.Module,
    path: Path,
    *,
    prefix: str = "",
    ignored: Sequence[str] = (),
    halved: bool = False,
    nested: str | None = None,
) -> None:
    """Fill `network` from a flat file of tensors (.pt as torch.save writes it, or .safetensors).

    `prefix` is taken off every name; names that start with one of `ignored` are left alone. With `halved` the file may
    keep in float16 what the network has in float32; `nested` as for `read_tensors`. Raises CheckpointError for a file
    that cannot be read, a name too many or too few, another shape or type, or a number that is not finite.
    """
    fill_strict(network, read_tensors(path, nested=nested), path, prefix=prefix, ignored=ignored, halved=halved)


def fill_strict(
    network: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    path: Path,
    *,
    prefix: str = "",
    ignored: Sequence[str] = (),
    halved: bool = False,
) -> None:
    """Fill `network` from tensors that were read from `path`, which errors name; the rest as `load_strict`."""
    found: dict[str, torch.Tensor] = {}
    unexpected: list[str] = []
    for name, tensor in tensors.items():
        if name.startswith(tuple(ignored)):
            continue
        if halved and tensor.dtype == torch.float16:
            tensor = tensor.float()
        if name.startswith(prefix):
            found[name.removeprefix(prefix)] = tensor
        else:
            unexpected.append(name)
    expected = network.state_dict()
    what = f"{path} does not fit {type(network).__name__}"
    remedy = "give a checkpoint of this very architecture"
    unexpected += [prefix + name for name in found if name not in expected]
    missing = [prefix + name for name in expected if name not in found]
    if missing or unexpected:
        kinds = (("missing", missing), ("unexpected", unexpected))
        counts = [f"{len(names)} tensors {kind} ({_few(names)})" for kind, names in kinds if names]
        raise CheckpointError(f"{what}: {' and '.join(counts)}; {remedy}")
    misfits = [
        f"{prefix}{name} is {_form(found[name])}, expected {_form(tensor)}"
        for name, tensor in expected.items()
        if _form(found[name]) != _form(tensor)
    ]
    if misfits:
        raise CheckpointError(f"{what}: {_few(misfits)}; {remedy}")
    broken = [prefix + name for name, tensor in found.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(
            f"{path}: {len(broken)} tensors hold NaN or infinity ({_few(broken)}); train or get it again"
        )
    network.load_state_dict(found)


def read_tensors(path: Path, *, nested: str | None = None) -> dict[str, torch.Tensor]:
    """Every tensor of the file by name, on the CPU. Raises CheckpointError when it is no flat file of tensors.

    `nested`: where a training's file keeps them, beside its optimiser and the like; one without that name is flat.
    """
    try:
        content = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path} ({error.strerror or error}); check the path") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds code or objects beside tensors and was not run; save its state_dict instead"
        ) from error
    except (safetensors.SafetensorError, RuntimeError, EOFError, LookupError, ValueError) as error:
        raise CheckpointError(f"{path} is truncated or damaged ({_first_line(error)}); get it again") from error
    if nested is not None and isinstance(content, dict) and nested in content:
        content = content[nested]
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected tensors by name; save the state_dict")
    others = [
        f"{key} is a {type(value).__name__}" for key, value in content.items() if not isinstance(value, torch.Tensor)
    ]
    if others:
        raise CheckpointError(f"{path} is not flat: {_few(others)}, expected tensors only; save the inner state_dict")
    return {str(name): tensor for name, tensor in content.items()}


def _unpickle(path: Path) -> Any:  # noqa: ANN401 -- whatever the file holds
    with path.open("rb") as file:
        start = file.read(4)
    if start != b"PK\x03\x04":  # torch.save has written zip archives since 1.6
        raise CheckpointError(f"{path} is no torch checkpoint: it starts with {start!r}, not as a zip; get it again")
    with warnings.catch_warnings():
        # Both tell a developer how to call torch.load; such a file is either fine or refused in words of its own.
        warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
        warnings.filterwarnings("ignore", "'torch.load' received a zip file that looks like a TorchScript", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def _form(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _first_line(error: BaseException) -> str:
    text = str(error).partition("\n")[0].partition(". ")[0].strip()
    return text or "unexpected end"
