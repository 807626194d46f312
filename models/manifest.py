"""What an engine was made from and for: the manifest that lies beside its files, and the key made from it."""

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from models.engines.engine import Target

MANIFEST_VERSION = 2
MANIFEST_FILE = "manifest.json"


def expected_manifest(
    name: str,
    network: torch.nn.Module,
    item_shapes: Sequence[tuple[int, ...]],
    target: Target,
    identity: dict[str, Any],
) -> dict[str, Any]:
    """Every entry of the manifest that is known before building: the key is made of these, and loading checks them.

    `identity`: what the runtime adds, see `Backend.identity`; its `versions` join those of the network's own packages.
    """
    packages = {type(module).__module__.partition(".")[0] for module in network.modules()} | {"torch"}
    versions = {package: version for package in packages if (version := _version(package))}
    return {
        "manifest_version": MANIFEST_VERSION,
        "name": name,
        "model_hash": model_hash(network),
        "structure_hash": structure_hash(network),
        "runtime": target.runtime,
        "precision": target.precision,
        "inputs": [{"shape": [None, *shape], "dtype": "float32"} for shape in item_shapes],
        **identity,
        "versions": versions | identity.get("versions", {}),
    }


def key(expected: dict[str, Any]) -> str:
    """12 hex digits that change with any entry."""
    return hashlib.sha256(json.dumps(expected, sort_keys=True).encode()).hexdigest()[:12]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an engine. Raises OSError, or ValueError for what is none."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ValueError(f"{folder / MANIFEST_FILE} is no manifest of an engine")
    return manifest


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of the files that lie in `folder`."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    hashes = {path.relative_to(folder).as_posix(): _file_hash(path) for path in files}
    text = json.dumps(manifest | {"files": hashes}, indent=1)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def misfit(folder: Path, expected: dict[str, Any]) -> str | None:
    """Why the engine in `folder` cannot be used, or None when it can."""
    try:
        manifest = read_manifest(folder)
        differing = [difference(entry, manifest.get(entry), value) for entry, value in expected.items()]
        if any(differing):
            return "its manifest has another " + ", another ".join(filter(None, differing))
        for file, sha256 in manifest["files"].items():
            if _file_hash(folder / file) != sha256:
                return f"{file} is damaged"
    except OSError as error:
        return f"{Path(error.filename).name}: {error.strerror}"
    except ValueError:
        return "its manifest cannot be read"
    return None


def difference(entry: str, found: object, expected: object) -> str | None:
    """What differs in an entry, as `precision (f16, expected f32)`, or None; of dictionaries only what differs."""
    if found == expected:
        return None
    if isinstance(found, dict) and isinstance(expected, dict):
        names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        return ", another ".join(f"{entry}.{name} ({found.get(name)}, expected {expected.get(name)})" for name in names)
    return f"{entry} ({found}, expected {expected})"


def model_hash(network: torch.nn.Module) -> str:
    """12 hex digits that change with the network's class, or the name, shape, type or any bit of its weights."""
    digest = hashlib.sha256(type(network).__qualname__.encode())
    for name, tensor in _tensors(network):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"\n{name} {array.dtype} {list(array.shape)} ".encode())
        digest.update(array.view(-1).view(torch.uint8).numpy().data if array.numel() else b"")
    return digest.hexdigest()[:12]


def structure_hash(network: torch.nn.Module) -> str:
    """What the weights do not say: the modules' arrangement and settings, and the code that runs them."""
    digest = hashlib.sha256(repr(network).encode())
    modules = {type(module).__module__ for module in network.modules()}
    for module in sorted(modules):
        file = getattr(sys.modules.get(module), "__file__", None)
        if file and _version(module) is None:
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]


def _tensors(network: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers, also those that a state dict leaves out: they decide the result just as well."""
    yield from sorted([*network.named_parameters(), *network.named_buffers()])


def _version(module: str) -> str | None:
    """Version of the package a module belongs to; None for code that changes without one, like flamestream's own."""
    version = getattr(sys.modules.get(module.partition(".")[0]), "__version__", None)
    return None if version is None else str(version)


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
