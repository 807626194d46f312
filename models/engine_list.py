"""The engines in the cache: what each is, how well it agrees, when it was last used, whether it can be used again."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.device import open_device
from models.engines.backends import MODULES, backend_of
from models.engines.engine import Target
from models.errors import EngineError
from models.export import engines_dir
from models.manifest import MANIFEST_VERSION, difference, read_manifest


@dataclass(frozen=True, slots=True)
class KeptEngine:
    """One folder of the cache."""

    folder: Path
    manifest: dict[str, Any]
    size_bytes: int
    used_s: float
    """When it was last built or loaded, seconds since 1970."""
    outdated: str | None
    """Why nothing on this machine will load it again; None when something may, or when that cannot be told here."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        worst = self.worst
        return {
            "folder": str(self.folder),
            **{fact: self.manifest.get(fact) for fact in ("name", "runtime", "precision", "device", "versions")},
            "model_hash": self.manifest.get("model_hash"),
            "batch": self.manifest.get("batch"),
            "checked_on": self.manifest.get("checked_on"),
            "max_abs_error": worst and worst[0],
            "allowed": worst and worst[1],
            "built_in_s": self.manifest.get("built_in_s"),
            "size_bytes": self.size_bytes,
            "unused_s": round(time.time() - self.used_s, 1),
            "outdated": self.outdated,
        }

    @property
    def device_name(self) -> str:
        """The GPU's name, or the CPU's."""
        device = self.manifest.get("device", "")
        return str(device.get("name", "")) if isinstance(device, dict) else str(device)

    @property
    def worst(self) -> tuple[float, float] | None:
        """Largest error, and what was allowed, of the output that came closest to being refused."""
        figures, tolerance = self.manifest.get("parity") or [], self.manifest.get("tolerance") or {}
        pairs = [
            (each["max_abs_error"], tolerance["atol"] + tolerance["rtol"] * each["max_abs_reference"])
            for each in figures
        ]
        return max(pairs, key=lambda pair: pair[0] / max(pair[1], 1e-30), default=None)


def kept_engines() -> list[KeptEngine]:
    """Every engine in the cache, by name, the last used first."""
    folders = [path for path in engines_dir().glob("*") if path.is_dir() and not path.name.startswith(".")]
    return sorted((_describe(folder) for folder in folders), key=lambda kept: (kept.folder.name[:-12], -kept.used_s))


def _describe(folder: Path) -> KeptEngine:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    used_s = folder.stat().st_mtime
    try:
        manifest = read_manifest(folder)
    except (OSError, ValueError):
        return KeptEngine(folder, {}, size, used_s, "its manifest cannot be read")
    return KeptEngine(folder, manifest, size, used_s, _outdated(manifest))


def _outdated(manifest: dict[str, Any]) -> str | None:
    """What of the manifest differs from what its runtime would write today."""
    if manifest.get("manifest_version") != MANIFEST_VERSION:
        return f"made by another flamestream (manifest {manifest.get('manifest_version')}, now {MANIFEST_VERSION})"
    runtime, device = manifest.get("runtime"), manifest.get("device")
    if runtime not in MODULES:
        return f"no runtime is called {runtime}"
    on_gpu = isinstance(device, dict) and "compute_capability" in device
    try:
        here = open_device("cuda" if on_gpu else "cpu")
        now = backend_of(runtime).identity(Target(runtime, manifest["precision"], here))
    except EngineError:
        return None  # for a GPU, or a library, that is not here today
    versions = {"torch": torch.__version__, **now["versions"]}
    recorded = {name: manifest.get("versions", {}).get(name) for name in versions}
    return difference("versions", recorded, versions) or difference("device", device, now["device"])
