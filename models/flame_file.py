"""FLAME as its makers give it, and the files SMIRK puts beside it, to a HeadModel.

None of these may be passed on, so the user supplies them: FLAME 2020's generic_model.pkl from flame.is.tue.mpg.de, the
rest from SMIRK's `assets` folder. Shapes and keys were taken from the code that reads them (SMIRK's own).
"""

import hashlib
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.array_pickle import Array, read_pickle
from models.errors import AssetCorrupt, AssetError
from models.head import CONTOUR_ANGLES, JOINTS, Embedding, HeadModel, IntArray
from models.spec import FLAME_LAYOUT, FloatArray

FLAME_2020_SHA256 = "efcd14cc4a69f3a3d9af8ded80146b5b6b50df3bd74cf69108213b144eba725b"
"""Of FLAME 2020's generic_model.pkl, 53 023 716 bytes: the head SMIRK's checkpoint was trained with."""

OTHER_EDITIONS = {
    "e75a0990728ba038c7da2a420ae4396f7ddd7781366c13026066c5b24f127623": "FLAME 2023 Open",
    "8fb1af0db1abb51053ead8fd1f2624a63d01c9602f4a4fb4ea23bd2c82017fa0": "FLAME 2023",
}
"""By sha256 of the .pkl: the same triangles, keys and shapes, but other axes, so that nothing else would tell."""

OPEN_MARK = "supr_expression_metadata"
"""A key of FLAME 2023 Open's pickle that no other edition has; a copy that was saved again keeps it."""

_REMEDY = "give generic_model.pkl of FLAME 2020 (FLAME2020.zip at flame.is.tue.mpg.de, after registration)"
_DAMAGED = (
    ValueError,
    EOFError,
    AttributeError,
    KeyError,
    SyntaxError,
    NotImplementedError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy raises on bytes that are no .npy or .npz, or a damaged one."""
_IDENTITY = 300  # of shapedirs' 400 components; the other 100 are expressions
_COMPONENTS = 400


@dataclass(frozen=True, slots=True)
class _Table:
    """The arrays of one file, checked as they are taken."""

    path: Path
    arrays: Mapping[str, Any]

    def floats(self, key: str, *shape: int) -> FloatArray:
        """float32 in C order, finite; -1 in `shape` is any length."""
        found = self._take(key, shape, "biuf")
        if not np.isfinite(found).all():
            raise AssetCorrupt(f"{self.path}: {key} holds NaN or infinity; get the file again")
        return np.ascontiguousarray(found, np.float32)

    def indices(self, key: str, below: int, *shape: int) -> IntArray:
        """int64 in C order, each 0 .. below - 1."""
        found = np.ascontiguousarray(self._take(key, shape, "iu"), np.int64)
        if found.size and not (found.min() >= 0 and found.max() < below):
            raise AssetCorrupt(
                f"{self.path}: {key} goes from {found.min()} to {found.max()}, expected 0 to {below - 1}; "
                "give files of one head"
            )
        return found

    def _take(self, key: str, shape: tuple[int, ...], kinds: str) -> Array:
        if key not in self.arrays:
            raise AssetCorrupt(f"{self.path} lacks {key!r}; give the file as FLAME's or SMIRK's makers give it")
        found = np.asarray(self.arrays[key])
        fits = len(found.shape) == len(shape) and all(
            n in (-1, side) for n, side in zip(shape, found.shape, strict=True)
        )
        if not fits or found.dtype.kind not in kinds:
            expected = "numbers" if "f" in kinds else "whole numbers"
            raise AssetCorrupt(
                f"{self.path}: {key} is {found.dtype} {list(found.shape)}, expected {expected} "
                f"[{', '.join('any' if n < 0 else str(n) for n in shape)}]; get the file again"
            )
        return found


def open_flame(
    model_file: Path,
    *,
    landmark_embedding: Path,
    mediapipe_embedding: Path,
    eyelids: tuple[Path, Path],
    masks: Path,
    resaved: bool = False,
) -> HeadModel:
    """FLAME 2020 with SMIRK's landmarks and eyelids.

    The files are generic_model.pkl, landmark_embedding.npy, mediapipe_landmark_embedding.npz, l_eyelid.npy and
    r_eyelid.npy, FLAME_masks.pkl. Nothing in them is run. `resaved`: take a FLAME file whose sha256 is unknown as a
    copy of FLAME 2020 that was saved again (without chumpy, say); its axes are then the caller's word.

    Raises AssetError for a file that is missing or of another edition of FLAME, and its AssetCorrupt for one that is
    damaged, holds code or does not fit the others.
    """
    flame = _flame(model_file, resaved)
    template = flame.floats("v_template", -1, 3)
    count = len(template)
    faces = flame.indices("f", count, -1, 3)
    shapes = flame.floats("shapedirs", count, 3, _COMPONENTS)
    correctives = flame.floats("posedirs", count, 3, 9 * (len(JOINTS) - 1))

    points = _Table(landmark_embedding, read_pickle(landmark_embedding))
    mediapipe = _read_arrays(mediapipe_embedding)
    triangles = len(faces)
    return HeadModel(
        basis="flame2020",
        name=f"FLAME 2020 ({model_file.name})",
        licence="FLAME model licence, Max Planck Society; supplied by the user, not to be passed on",
        template=template,
        faces=faces,
        shape_basis=np.ascontiguousarray(shapes[:, :, :_IDENTITY]),
        expression_basis=np.ascontiguousarray(shapes[:, :, _IDENTITY : _IDENTITY + FLAME_LAYOUT["expression"]]),
        pose_basis=np.ascontiguousarray(correctives.reshape(-1, correctives.shape[2]).T),
        joint_regressor=flame.floats("J_regressor", len(JOINTS), count),
        parents=_parents(flame),
        skinning=flame.floats("weights", count, len(JOINTS)),
        eyelids=np.stack([_read_array(path).floats("offsets", count, 3) for path in eyelids]),
        contour=_embedding(points, "dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords", triangles, CONTOUR_ANGLES, 17),
        static=_embedding(points, "static_lmk_faces_idx", "static_lmk_bary_coords", triangles, 51),
        full=_first(_embedding(points, "full_lmk_faces_idx", "full_lmk_bary_coords", triangles, 1, 68)),
        mediapipe=_embedding(mediapipe, "lmk_face_idx", "lmk_b_coords", triangles, 105),
        mediapipe_indices=mediapipe.indices("landmark_indices", 478, 105),
        regions=_regions(masks, count),
    )


def _flame(path: Path, resaved: bool) -> _Table:
    """FLAME 2020's arrays. The hash goes first, so that another edition is named whatever it holds."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AssetError(f"cannot read FLAME file {path} ({error.strerror or error}); {_REMEDY}") from error
    edition = OTHER_EDITIONS.get(sha256)
    content: Mapping[str, Any] = {} if edition else read_pickle(path)
    if OPEN_MARK in content:
        edition = "FLAME 2023 Open"
    if edition:
        raise AssetError(
            f"{path} is {edition}: its shape and expression axes are turned against those of FLAME 2020, with which "
            f"SMIRK's checkpoint was trained, so the same coefficients give another face; {_REMEDY}"
        )
    if sha256 != FLAME_2020_SHA256 and not resaved:
        raise AssetError(
            f"{path} has sha256 {sha256[:12]}..., FLAME 2020 has {FLAME_2020_SHA256[:12]}..., and editions of FLAME "
            f"differ in nothing but their numbers; {_REMEDY}, or say resaved=True of a copy of it that was saved again"
        )
    return _Table(path, content)


def _parents(flame: _Table) -> tuple[int, ...]:
    # The root's parent is written as 2**32 - 1, so only the others are checked.
    tree = flame.floats("kintree_table", 2, len(JOINTS))[0, 1:].astype(int)
    if any(not 0 <= parent <= joint for joint, parent in enumerate(tree)):
        raise AssetCorrupt(f"{flame.path}: kintree_table names a parent after its joint; get the file again")
    return (-1, *tree.tolist())


def _embedding(table: _Table, triangles: str, weights: str, below: int, *shape: int) -> Embedding:
    return Embedding(triangles=table.indices(triangles, below, *shape), weights=table.floats(weights, *shape, 3))


def _first(points: Embedding) -> Embedding:
    return Embedding(triangles=points.triangles[0], weights=points.weights[0])


def _regions(path: Path, count: int) -> dict[str, IntArray]:
    table = _Table(path, read_pickle(path))
    if "face" not in table.arrays:
        raise AssetCorrupt(f"{path} lacks the region 'face'; give FLAME_masks.pkl as SMIRK has it")
    return {name: np.sort(table.indices(name, count, -1)) for name in table.arrays}


def _read_array(path: Path) -> _Table:
    """An .npy of numbers, by the name `offsets`."""
    return _Table(path, {"offsets": _loaded(path, lambda file: file)})


def _read_arrays(path: Path) -> _Table:
    """An .npz of numbers."""
    return _Table(path, _loaded(path, lambda file: {name: file[name] for name in file.files}))


def _loaded(path: Path, taken: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    try:
        with path.open("rb") as file:
            return taken(np.load(file, allow_pickle=False))
    except OSError as error:
        reason = error.strerror or str(error)
        raise AssetError(f"cannot read {path} ({reason}); give the file of SMIRK's assets folder") from error
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:200]
        raise AssetCorrupt(f"{path} is truncated or no file of arrays ({reason}); get it again") from error
