"""Pictures in folders, found by what they are called: one listing of a folder instead of a look for each picture."""

import os
from collections.abc import Sequence
from pathlib import Path

from train.errors import MediaError
from train.ig3d.labelled import few

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def pictures_in(folder: Path) -> dict[str, Path]:
    """The pictures that lie in a folder by their stems, in order of name. Raises MediaError, also for a stem twice."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES))
    except OSError as error:
        raise MediaError(f"{folder}: cannot be listed ({error.strerror}); give a folder of pictures") from error
    found: dict[str, Path] = {}
    for name in names:
        path = folder / name
        if path.stem in found:
            raise MediaError(f"{folder}: {found[path.stem].name} and {name} are both picture {path.stem}; remove one")
        found[path.stem] = path
    return found


def chosen(folder: Path, stems: Sequence[str]) -> tuple[Path, ...]:
    """The pictures of these stems. Raises MediaError, naming the first three, when some are not there.

    Upstream trains on a white square in place of a picture that is missing.
    """
    there = pictures_in(folder)
    missing = [stem for stem in stems if stem not in there]
    if missing:
        raise MediaError(
            f"{folder}: {len(missing)} of {len(stems)} annotated pictures are missing ({few(missing)}); "
            "get the whole data set, or take their rows out of the annotations"
        )
    return tuple(there[stem] for stem in stems)
