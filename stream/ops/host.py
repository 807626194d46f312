"""The machine itself, and what a run needs of it whatever it computes on."""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from models.asset_sources import Register
from models.assets import Asset, cache_dir, catalogue, obtain
from stream.emit.connection import open_client
from stream.emit.embedded import EmbeddedServer
from stream.emit.schema import DEFAULT_PREFIX
from stream.emit.stream_writer import StreamWriter
from stream.ops.check import Finding
from stream.redact import redact

REDIS_VARIABLE = "FLAMESTREAM_REDIS"
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")
LEAST_MEMORY_GIB = 1.0
"""A run of one clip with the default networks was measured to take 0.8 GiB at its peak."""
LEAST_DISK_GIB = 1.0
"""Assets and the networks compiled for one CPU take 50 MB; engines for a GPU take more."""
GIB = 2**30
CGROUP = Path("/sys/fs/cgroup")
"""Where a container finds its own limits (cgroup v2)."""


def python() -> Finding:
    """Versions of Python and flamestream, and where they are."""
    version = importlib.metadata.version("flamestream")
    detail = f"{platform.python_version()}, flamestream {version} ({sys.executable})"
    return Finding("works", detail, facts={"python": platform.python_version(), "flamestream": version})


def processor() -> Finding:
    """Its name, what this process may use of it, and the instructions that make networks fast."""
    described = _read_fields("/proc/cpuinfo")
    name = described.get("model name", platform.processor() or platform.machine())
    flags = set(described.get("flags", "").split())
    features = [feature for feature in CPU_FEATURES if feature in flags]
    cores = len(os.sched_getaffinity(0))
    facts: dict[str, object] = {"processor": name, "cores": cores, "features": features}
    usable = f"{cores} core{'s' if cores > 1 else ''}"
    quota = _cgroup("cpu.max")
    if quota and int(quota[0]) < cores * int(quota[1]):
        facts["quota"] = int(quota[0]) / int(quota[1])
        usable += f", of which the container may use {facts['quota']:.1f}"
    return Finding("works", f"{name}; {usable}; {', '.join(features) or 'no AVX2'}", facts=facts)


def memory() -> Finding:
    """What there is and what is free, the container's limit included."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = int(_read_fields("/proc/meminfo").get("MemAvailable", f"{total // 1024} kB").split()[0]) * 1024
    if limit := _cgroup("memory.max"):
        total = min(total, int(limit[0]))
        free = min(free, total - int(_cgroup("memory.current")[0]))
    detail = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    facts = {"total_bytes": total, "free_bytes": free}
    if free < LEAST_MEMORY_GIB * GIB:
        remedy = f"free some, or give the container more: a run needs about {LEAST_MEMORY_GIB:.0f} GiB on the CPU"
        return Finding("broken", detail, remedy, facts=facts)
    return Finding("works", detail, facts=facts)


def cache() -> Finding:
    """Whether downloads and compiled networks can be kept."""
    folder = cache_dir()
    facts: dict[str, object] = {"folder": str(folder)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"flamestream doctor")
    except OSError as error:
        remedy = "export FLAMESTREAM_CACHE=/a/folder/that/can/be/written"
        return Finding("broken", f"{folder} cannot be written ({error.strerror})", remedy, blocks=True, facts=facts)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free
    facts |= {"bytes": size, "free_bytes": free}
    detail = f"{folder}: {size / 2**20:.0f} MiB, {free / GIB:.1f} GiB free"
    if free < LEAST_DISK_GIB * GIB:
        remedy = "free disk space, or export FLAMESTREAM_CACHE=/a/folder/on/another/disk"
        return Finding("broken", detail, remedy, facts=facts)
    return Finding("works", detail, facts=facts)


def assets() -> Finding:
    """Whether the files a run reads are here, and are the ones that were meant. Fetches nothing."""
    found = {name: _state(asset) for name, asset in catalogue().items()}
    states = dict.fromkeys(found.values())
    detail = "\n".join(f"{state}: {', '.join(name for name in found if found[name] == state)}" for state in states)
    if found["face_landmarker"].startswith("here"):
        return Finding("works", detail, facts=found)
    remedy = (
        "the first run fetches what it needs, or fetch it now: flamestream demo; "
        f"without a network: export {catalogue()['face_landmarker'].variable}=/path/to/face_landmarker.task"
    )
    return Finding("missing", detail, remedy, facts=found)


def redis_server() -> Finding:
    """Whether the server that a run would publish to answers: the user's own, else the embedded one.

    Writes nothing. Raises SinkError, ConfigError.
    """
    url = os.environ.get(REDIS_VARIABLE)
    if url:
        elapsed_s = _ask(url)
        return Finding("works", f"{redact(url)} answers in {elapsed_s * 1000:.1f} ms", facts={"embedded": False})
    with EmbeddedServer() as server:
        elapsed_s = _ask(server.url)
    detail = f"no URL given; the embedded Valkey starts, and answers in {elapsed_s * 1000:.1f} ms"
    return Finding("works", detail, facts={"embedded": True})


def _ask(url: str) -> float:
    """Seconds that it takes to do what a run does first. Raises SinkError, ConfigError."""
    client = open_client(url, connect_timeout_s=5.0, reply_timeout_s=5.0)
    started_s = time.perf_counter()
    try:
        StreamWriter(client, url, prefix=DEFAULT_PREFIX, max_length=0).open(())
    finally:
        client.close()
    return time.perf_counter() - started_s


def _state(asset: Asset) -> str:
    """Raises AssetError for a file that the user named and that is not the one that was meant."""
    if os.environ.get(asset.variable):
        obtain(asset)  # which looks at no other place
        return f"here, by {asset.variable}"
    if not asset.cached.is_file():
        registered = all(isinstance(source, Register) for source in asset.sources)
        return "to be registered for" if registered else "not fetched yet"
    data = asset.cached.read_bytes()
    if asset.sha256 is not None and hashlib.sha256(data).hexdigest() != asset.sha256:
        return "damaged, to be fetched again"
    return "here"


def _read_fields(path: str) -> dict[str, str]:
    """`name: value` lines of a file of /proc; the last value of each name. Empty where there is no such file."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _cgroup(file: str) -> list[str]:
    """Words of a file about this container; none outside of one, or where nothing is limited."""
    try:
        words = (CGROUP / file).read_text(encoding="utf-8").split()
    except OSError:
        return []
    return [] if "max" in words else words
