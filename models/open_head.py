"""The open head: FLAME's interface over CC0 data, shipped with the package and built by `train.open_head`.

One `.npz` holds it. The big arrays are whole multiples of QUANTUM, kept as two planes of bytes, which halves the file
against float16 and leaves an error of 1 micrometre everywhere; `about` is a JSON text with the licence, where every
part comes from, the builder's version and the figures it measured.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import AssetCorrupt, AssetUnavailable
from models.head import CONTOUR_ANGLES, JOINTS, Embedding, HeadModel, IntArray
from models.open_basis import EXPRESSION_NAMES
from models.spec import FLAME_LAYOUT, FloatArray

OPEN_HEAD = Path(__file__).with_name("weights") / "open_head.npz"
FORMAT = 1
QUANTUM = 2e-6
"""Metres: the step of the stored bases."""
EMBEDDINGS = {"contour": (CONTOUR_ANGLES, 17), "static": (51,), "full": (68,), "mediapipe": (105,)}
REGIONS = ("face", "skin", "lips", "left_eyeball", "right_eyeball", "boundary")
"""Regions that every open head has; there may be more."""
_CORRECTIVES = 9 * (len(JOINTS) - 1)

Arrays = Mapping[str, npt.NDArray[Any]]


def load_open_head(path: Path = OPEN_HEAD) -> HeadModel:
    """The open head of a file, checked. Raises AssetUnavailable (cannot be read) or AssetCorrupt (is wrong)."""
    arrays = _read(path)
    try:
        about = _about(arrays)
        return _checked(path, _decode(arrays, about))
    except (KeyError, ValueError, IndexError) as error:
        raise AssetCorrupt(
            f"{path}: not a whole open head ({error}); build it again or reinstall flamestream"
        ) from error


def read_about(path: Path = OPEN_HEAD) -> dict[str, Any]:
    """What the file tells of itself: licence, provenance, builder, figures. Raises as `load_open_head`."""
    arrays = _read(path)
    try:
        return _about(arrays)
    except (KeyError, ValueError) as error:
        raise AssetCorrupt(f"{path}: tells nothing of itself ({error}); build it again") from error


def pack(name: str, values: npt.NDArray[np.floating[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Metres of any shape as two planes of bytes. Raises ValueError beyond 6.5 cm, which 16 bits cannot hold."""
    steps = np.round(values / QUANTUM)
    if np.abs(steps).max(initial=0) > 32767:
        raise ValueError(f"{name} reaches {np.abs(values).max():.3f} m, at most {32767 * QUANTUM:.3f} can be kept")
    whole = steps.astype(np.int16).view(np.uint16)
    return {f"{name}.high": (whole >> 8).astype(np.uint8), f"{name}.low": (whole & 255).astype(np.uint8)}


def unpack(arrays: Arrays, name: str) -> FloatArray:
    """Undoes `pack`. Raises KeyError or ValueError when the planes are not there or not alike."""
    high, low = arrays[f"{name}.high"], arrays[f"{name}.low"]
    _require(high.shape == low.shape, f"the planes of {name} have shapes {high.shape} and {low.shape}")
    whole = (high.astype(np.uint16) << 8) | low
    return whole.view(np.int16).astype(np.float32) * np.float32(QUANTUM)


def _read(path: Path) -> Arrays:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise AssetUnavailable(
            f"{path}: the open head cannot be read ({error.strerror}); reinstall flamestream"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise AssetCorrupt(f"{path}: not an intact open head ({error}); reinstall flamestream") from error


def _about(arrays: Arrays) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(arrays["about"].tobytes())
    if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']}, expected {FORMAT}")
    return about


def _decode(arrays: Arrays, about: Mapping[str, Any]) -> HeadModel:
    vertices = len(arrays["template"])
    pose_basis = np.zeros((_CORRECTIVES, vertices * 3), np.float32)
    pose_basis[arrays["pose_basis.rows"]] = unpack(arrays, "pose_basis")
    return HeadModel(
        basis="open",
        name=about["name"],
        licence=about["licence"],
        template=arrays["template"],
        faces=arrays["faces"].astype(np.int64),
        shape_basis=_axes_last(unpack(arrays, "shape_basis")),
        expression_basis=_axes_last(unpack(arrays, "expression_basis")),
        pose_basis=pose_basis,
        joint_regressor=arrays["joint_regressor"],
        parents=tuple(arrays["parents"].tolist()),
        skinning=arrays["skinning"],
        eyelids=unpack(arrays, "eyelids"),
        **{name: _embedding(arrays, name) for name in EMBEDDINGS},
        mediapipe_indices=arrays["mediapipe_indices"].astype(np.int64),
        regions={
            name.removeprefix("region."): ids.astype(np.int64)
            for name, ids in arrays.items()
            if name.startswith("region.")
        },
        uv=arrays["uv"],
        uv_faces=arrays["uv_faces"].astype(np.int64),
    )


def _axes_last(basis: FloatArray) -> FloatArray:
    """[K, V, 3], as it packs best, to [V, 3, K]."""
    return np.ascontiguousarray(basis.transpose(1, 2, 0))


def _embedding(arrays: Arrays, name: str) -> Embedding:
    return Embedding(arrays[f"{name}.triangles"].astype(np.int64), arrays[f"{name}.weights"])


def _checked(path: Path, head: HeadModel) -> HeadModel:
    """The head, if it is one. Raises ValueError."""
    vertices, faces = len(head.template), len(head.faces)
    shapes = {
        "template": (vertices, 3),
        "faces": (faces, 3),
        "shape_basis": (vertices, 3, FLAME_LAYOUT["shape"]),
        "expression_basis": (vertices, 3, len(EXPRESSION_NAMES)),
        "pose_basis": (_CORRECTIVES, vertices * 3),
        "joint_regressor": (len(JOINTS), vertices),
        "skinning": (vertices, len(JOINTS)),
        "eyelids": (2, vertices, 3),
        "mediapipe_indices": (105,),
        "uv_faces": (faces, 3),
    }
    for name, shape in shapes.items():
        array = getattr(head, name)
        _require(array.shape == shape, f"{name} has shape {array.shape}, expected {shape}")
        _require(bool(np.isfinite(array).all()), f"{name} holds numbers that are not finite")
    assert head.uv is not None
    assert head.uv_faces is not None
    _require(_below(head.faces, vertices), "faces name vertices that are not there")
    _require(_below(head.uv_faces, len(head.uv)), "uv_faces name coordinates that are not there")
    _require(_below(head.mediapipe_indices, 478), "mediapipe_indices are not of 478 points")
    _require(head.parents == (-1, 0, 1, 1, 1), f"parents {head.parents}, expected FLAME's (-1, 0, 1, 1, 1)")
    for name, rows in (("skinning", head.skinning), ("joint_regressor", head.joint_regressor)):
        _require(np.allclose(rows.sum(axis=1, dtype=np.float64), 1, atol=1e-5), f"rows of {name} do not sum to 1")
    for name, shape in EMBEDDINGS.items():
        points: Embedding = getattr(head, name)
        _require(points.triangles.shape == shape, f"{name} has shape {points.triangles.shape}, expected {shape}")
        _require(points.weights.shape == (*shape, 3), f"weights of {name} have shape {points.weights.shape}")
        _require(_below(points.triangles, faces), f"{name} names triangles that are not there")
        _require(np.allclose(points.weights.sum(axis=-1), 1, atol=1e-5), f"weights of {name} do not sum to 1")
    for name in REGIONS:
        _require(name in head.regions, f"region {name} is missing")
    for name, ids in head.regions.items():
        _require(_below(ids, vertices) and bool((np.diff(ids) > 0).all()), f"region {name} is not ascending vertices")
    return head


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _below(indices: IntArray, count: int) -> bool:
    return indices.size > 0 and int(indices.min()) >= 0 and int(indices.max()) < count
