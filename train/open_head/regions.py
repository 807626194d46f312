"""Names of the head's parts that a texture or a mask wants, told by what MakeHuman's targets move."""

import numpy as np

from models.geometry import Float64Array
from train.open_head.assets import IntArray, Library
from train.open_head.cut import Cut

MOVED_BY = {
    "nose": ("nose/nose-scale-vert-incr",),
    "left_eye_region": ("eyes/l-eye-scale-incr",),
    "right_eye_region": ("eyes/r-eye-scale-incr",),
    "left_ear": ("ears/l-ear-scale-incr",),
    "right_ear": ("ears/r-ear-scale-incr",),
    "forehead": ("forehead/forehead-trans-forward",),
}
SHARE = 0.15
"""Least share of a target's farthest move that counts as being part of the feature."""


def name_regions(library: Library, cut: Cut) -> dict[str, IntArray]:
    """The cut's regions and, of the skin, `nose`, `..._eye_region`, `..._ear`, `forehead`, `scalp`. Ascending."""
    regions = dict(cut.regions)
    for name, targets in MOVED_BY.items():
        moved = np.concatenate([supports(cut.apply(library.target(target)), SHARE) for target in targets])
        within = regions["skin"] if name.endswith("_ear") else regions["face"]
        regions[name] = np.intersect1d(moved, within)
    rest = np.setdiff1d(regions["skin"], np.concatenate([regions["face"], regions["neck"]]))
    regions["scalp"] = np.setdiff1d(rest, np.concatenate([regions["left_ear"], regions["right_ear"]]))
    return regions


def supports(offsets: Float64Array, share: float) -> IntArray:
    """Vertices that offsets [V, 3] move by more than a share of the farthest move."""
    lengths = np.linalg.norm(offsets, axis=1)
    return np.flatnonzero(lengths > share * lengths.max())
