"""What a face may do: the 50 actions of the open basis, and the two eyelids.

Every action but four is the face unit of its name. `tongueOut` is zero, since the head has no tongue; `jawOpen`,
`jawLeft` and `jawRight` are zero because the jaw's rotation does them (models.open_basis). The gaze of the eyeLook
actions is in their columns, eyeballs and lids alike, since FLAME's parameters have no rotation of the eyes.
"""

import numpy as np

from models.geometry import Float64Array
from models.open_basis import EXPRESSION_NAMES, EYELID_NAMES, JAW_NAMES, JAW_OPEN_RADIANS
from train.open_head.assets import Library
from train.open_head.cut import Cut
from train.open_head.rig import Jaw, turned_back

STILL = ("tongueOut", *JAW_NAMES)
"""Actions whose columns are zero."""


def build_expressions(library: Library, cut: Cut, jaw: Jaw) -> Float64Array:
    """What each action adds [V, 3, 50], before the jaw turns.

    `mouthClose` closes a mouth that `jawOpen` opens: it is stretched from the opening of the face unit to that of the
    open basis, and turned back by what the jaw will turn it. On a closed mouth it has no meaning.
    """
    columns = np.zeros((cut.weights.shape[0], 3, len(EXPRESSION_NAMES)))
    for column, name in enumerate(EXPRESSION_NAMES):
        if name not in STILL:
            columns[..., column] = cut.apply(library.face_unit(name))
    column = EXPRESSION_NAMES.index("mouthClose")
    stretched = columns[..., column] * np.sin(JAW_OPEN_RADIANS) / np.sin(jaw.unit_angle)
    columns[..., column] = turned_back(stretched, jaw.shares, JAW_OPEN_RADIANS)
    return columns


def build_eyelids(library: Library, cut: Cut) -> Float64Array:
    """What closing the left and the right lid adds [2, V, 3]."""
    return np.stack([cut.apply(library.face_unit(name)) for name in EYELID_NAMES])
