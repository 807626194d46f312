"""Examples on disk: crops with the parameters and landmarks to learn from, in plain arrays that are read as they lie.

A folder holds `images.raw` [N, 224, 224, 3] uint8, `parameters.raw` [N, 361], `points.raw` [N, 105, 2] and
`outline.raw` [N, 17, 2] (both normalised -1..1 over the crop), `kinds.raw` [N] and `about.json`, which is written last:
a folder without it is not whole.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.spec import CROP_SIZE, FLAME_LAYOUT, FloatArray
from train.errors import TrainingError

KINDS = ("synthetic", "real", "reenacted")
SHAPES: dict[str, tuple[int, ...]] = {
    "images": (CROP_SIZE, CROP_SIZE, 3),
    "parameters": (sum(FLAME_LAYOUT.values()),),
    "points": (105, 2),
    "outline": (17, 2),
    "kinds": (),
}
TYPES: dict[str, str] = {"images": "|u1", "parameters": "<f4", "points": "<f4", "outline": "<f4", "kinds": "|u1"}


@dataclass(frozen=True, slots=True)
class Examples:
    """N examples, in memory or on disk."""

    images: npt.NDArray[np.uint8]  # [N, 224, 224, 3] RGB
    parameters: FloatArray  # [N, 361] in the order of FLAME_LAYOUT
    points: FloatArray  # [N, 105, 2]
    outline: FloatArray  # [N, 17, 2]
    kinds: npt.NDArray[np.uint8]  # [N] places in KINDS

    def __len__(self) -> int:
        return len(self.images)

    def pick(self, indices: npt.NDArray[np.int64]) -> "Examples":
        """Some of them, in memory."""
        return Examples(**{name: np.asarray(getattr(self, name)[indices]) for name in SHAPES})


def write_examples(folder: Path, parts: Iterable[Examples], about: dict[str, Any]) -> int:
    """Writes examples as they come; gives their number. What was in the folder is gone. Raises TrainingError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "about.json").unlink(missing_ok=True)
    count = 0
    try:
        files = {name: (folder / f"{name}.raw").open("wb") for name in SHAPES}
        try:
            for part in parts:
                count += len(part)
                for name, file in files.items():
                    file.write(np.ascontiguousarray(getattr(part, name), TYPES[name]).tobytes())
        finally:
            for file in files.values():
                file.close()
        (folder / "about.json").write_text(json.dumps(about | {"count": count}, indent=1))
    except OSError as error:
        raise TrainingError(
            f"{folder}: examples cannot be written ({error.strerror}); free the disk or give another folder"
        ) from error
    return count


def read_examples(folder: Path, seed: int = 0) -> Examples:
    """The examples of a folder, mapped rather than read. Raises TrainingError, also when they are of another seed."""
    try:
        about = json.loads((folder / "about.json").read_text())
        count, made_with = int(about["count"]), int(about.get("seed", 0))
        arrays = {
            name: np.memmap(folder / f"{name}.raw", TYPES[name], "r", shape=(count, *shape))
            for name, shape in SHAPES.items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{folder}: no whole set of examples ({error}); make it with `flamestream-train default`"
        ) from error
    if made_with != seed:
        raise TrainingError(
            f"{folder}: examples of seed {made_with}, not {seed}; give --seed {made_with} or another --work"
        )
    return Examples(**arrays)


def join(parts: Sequence[Examples]) -> Examples:
    """Several sets, one after another, in memory."""
    return Examples(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in SHAPES})


def batches(examples: Examples, size: int) -> Iterator[Examples]:
    """All examples in order, `size` at a time."""
    for start in range(0, len(examples), size):
        yield examples.pick(np.arange(start, min(start + size, len(examples))))
