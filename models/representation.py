"""3D representations: which parameters of a face an Ig3D head reads, and in which order (arXiv 2408.16907, section 3).

Upstream keeps a representation as whatever order its files happen to have; here the order is part of the name, and a
feature file or a head says it part by part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Name = Literal["smirk-full", "smirk-short", "emoca-full", "emoca-short"]


@dataclass(frozen=True, slots=True)
class Representation:
    """A vector made of named parts, end to end."""

    name: Name
    parts: Mapping[str, int]
    """Length of each part, in order."""

    @property
    def size(self) -> int:
        """Length of the whole vector."""
        return sum(self.parts.values())

    @property
    def places(self) -> dict[str, slice]:
        """Where each part lies in the vector."""
        places, start = {}, 0
        for part, size in self.parts.items():
            places[part] = slice(start, start + size)
            start += size
        return places


_SMIRK = {"pose": 3, "shape": 300, "expression": 50, "eyelids": 2, "jaw": 3}
_EMOCA = {"expression": 50, "pose": 3, "jaw": 3, "shape": 100, "texture": 50, "detail": 128}

REPRESENTATIONS: dict[Name, Representation] = {
    # 358: SMIRK's output order without the camera. The short one has neither lids nor jaw.
    "smirk-full": Representation("smirk-full", _SMIRK),
    "smirk-short": Representation("smirk-short", {part: _SMIRK[part] for part in ("pose", "shape", "expression")}),
    # 334: the columns of upstream's valence-arousal files; EMOCA's pose 6 is the head's rotation, then the jaw's.
    "emoca-full": Representation("emoca-full", _EMOCA),
    "emoca-short": Representation(
        "emoca-short", {part: _EMOCA[part] for part in ("expression", "pose", "jaw", "shape")}
    ),
}
"""Each by its name: 358, 353, 334 and 156 numbers. A short one's parts are all in its full one, by name."""
