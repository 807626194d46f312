"""What every data set becomes before anything is trained on it: pictures with a class, valence and arousal, or either.

Upstream reads each data set in its own way and chooses its models on the pictures that it reports on. Here a set knows
who is in its pictures, so that a part can be held out of a training set without a person on both sides.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.emotion import EMOTIONS
from models.spec import FloatArray

IntArray = npt.NDArray[np.int64]
Classes = Literal[7, 8]
UNLABELLED = -1
"""In place of an emotion, where nobody has said which it is."""
CONTEMPT = EMOTIONS.index("contempt")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSet:
    """N pictures, or frames of clips, and what people said about them."""

    name: str
    """Of the data set: `affectnet`, `raf-db`."""
    split: str
    """`train`, `val`, `test`."""
    paths: tuple[Path, ...]
    ids: tuple[str, ...]
    """What a picture is called in other files, such as one of features; each once."""
    emotion: IntArray  # [N] places in models.emotion.EMOTIONS, or UNLABELLED
    affect: FloatArray  # [N, 2] valence, arousal, -1..1; both NaN where not annotated
    group: tuple[str, ...]
    """The person or the clip a picture is of; where that is not known, the picture itself."""
    time_s: npt.NDArray[np.float64]  # [N] since the beginning of its clip; NaN for pictures
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many pictures of the data set's split are not here, by reason."""

    def __post_init__(self) -> None:
        count, what = len(self.paths), f"{self.name} {self.split}"
        shapes = {"emotion": (count,), "affect": (count, 2), "time_s": (count,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{what}: {name} has shape {getattr(self, name).shape}, expected {shape}")
        types = {"emotion": np.int64, "affect": np.float32, "time_s": np.float64}
        for name, kind in types.items():
            if getattr(self, name).dtype != kind:
                raise ValueError(f"{what}: {name} is {getattr(self, name).dtype}, expected {np.dtype(kind)}")
        for name in ("ids", "group"):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{what}: {len(getattr(self, name))} {name} for {count} pictures")
        repeated = [picture for picture, times in Counter(self.ids).items() if times > 1]
        if repeated:
            raise ValueError(f"{what}: {len(repeated)} ids are there more than once ({few(repeated)})")
        self._check_labels(what)

    def _check_labels(self, what: str) -> None:
        wrong = self.emotion[(self.emotion < UNLABELLED) | (self.emotion >= len(EMOTIONS))]
        if len(wrong):
            raise ValueError(f"{what}: emotion {wrong[0]}, expected {UNLABELLED} to {len(EMOTIONS) - 1}")
        missing = np.isnan(self.affect)
        if (missing[:, 0] != missing[:, 1]).any():
            raise ValueError(f"{what}: a picture has only one of valence and arousal; give both, or NaN for both")
        if not (np.abs(self.affect[~missing]) <= 1).all():
            raise ValueError(f"{what}: a valence or arousal beyond -1..1; give NaN where there is none")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def class_counts(self) -> dict[str, int]:
        """How many pictures show each emotion, in the order of EMOTIONS; unlabelled ones are not counted."""
        counts = np.bincount(self.emotion[self.emotion >= 0], minlength=len(EMOTIONS))
        return dict(zip(EMOTIONS, counts.tolist(), strict=True))

    def subset(self, indices: Sequence[int] | IntArray) -> "LabelledSet":
        """Some of the pictures, in the order of `indices`, each at most once."""
        chosen = np.asarray(indices, np.int64)
        rows = chosen.tolist()
        return LabelledSet(
            name=self.name,
            split=self.split,
            paths=tuple(self.paths[row] for row in rows),
            ids=tuple(self.ids[row] for row in rows),
            emotion=self.emotion[chosen],
            affect=self.affect[chosen],
            group=tuple(self.group[row] for row in rows),
            time_s=self.time_s[chosen],
            left_out=self.left_out,
        )

    def with_classes(self, count: Classes) -> "LabelledSet":
        """Without the pictures of contempt for 7 classes; the whole set for 8. Raises ValueError for another count."""
        if count not in (7, 8):
            raise ValueError(f"{count} classes; expected 7 (without contempt) or 8")
        return self if count == 8 else self.subset(np.flatnonzero(self.emotion != CONTEMPT))

    def split_off(self, share: float, seed: int = 0) -> tuple["LabelledSet", "LabelledSet"]:
        """What remains, and about a `share` of the groups, 0..1: no group is in both.

        On which side a group is follows from its name and the seed alone, whatever other pictures there are. Raises
        ValueError for another share.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share {share}; expected 0 to 1")
        sides = {group: _place(group, seed) < share for group in set(self.group)}
        aside = np.array([sides[group] for group in self.group], bool)
        return self.subset(np.flatnonzero(~aside)), self.subset(np.flatnonzero(aside))


def few(names: Sequence[str]) -> str:
    """The first three names, for a message."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _place(group: str, seed: int) -> float:
    """Somewhere in 0..1, always the same."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8]) / 2**64
