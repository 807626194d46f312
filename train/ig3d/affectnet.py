"""AffectNet (A. Mollahosseini, B. Hasani, M. Mahoor, arXiv 1708.03985), as it is released and as others rearrange it.

What lies in the folder of a split, <root>/<split> or <root>/<split>_set, tells which layout it is:
    table       images/<number>.jpg and a .csv of number,exp,val,aro, beside images/ or <root>/<split>*.csv
    official    images/<number>.jpg and annotations/<number>_{exp,val,aro}.npy
    classes     <exp>/<number>.jpg, without valence and arousal
exp: 0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear, 5 disgust, 6 anger, 7 contempt, 8 none, 9 uncertain,
10 no face; the last three are left out. Valence or arousal -2: not annotated. A table may also have the columns person,
clip and time_s, as that of `flamestream-train synthetic labelled` does. AffectNet does not say who a picture is of.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.emotion import EMOTIONS
from train.errors import MediaError
from train.ig3d.folders import chosen, pictures_in
from train.ig3d.labelled import Classes, LabelledSet

NAME = "affectnet"
COLUMNS = ("number", "exp", "val", "aro")
NOT_AN_EMOTION = {8: "none", 9: "uncertain", 10: "no face"}
NOT_ANNOTATED = -2.0
_LAYOUTS = "a .csv of number,exp,val,aro beside images/, annotations/*_exp.npy beside images/, or folders 0 to 7"


@dataclass(frozen=True, slots=True)
class _Row:
    number: str
    exp: int
    valence: float
    arousal: float
    group: str = ""
    time_s: float = float("nan")


def read_affectnet(root: Path, split: str, classes: Classes = 8) -> LabelledSet:
    """A split, `train` or `val`, of AffectNet; also `test` where there is one.

    With 7 classes the pictures of contempt are left out. Raises MediaError for a layout that is not known, annotations
    that cannot be read and pictures that are missing.
    """
    folder = next((path for path in (root / split, root / f"{split}_set") if path.is_dir()), None)
    if folder is None:
        raise MediaError(f"{root}: neither a folder {split} nor {split}_set; give the folder that AffectNet lies in")
    tables = sorted(folder.glob("*.csv")) or sorted(root.glob(f"{split}*.csv"))
    if tables and (folder / "images").is_dir():
        if len(tables) > 1:
            names = " and ".join(path.name for path in tables[:2])
            raise MediaError(f"{tables[0].parent}: {names} could both be the annotations of {split}; leave one")
        return _labelled(split, folder / "images", list(_table(tables[0]))).with_classes(classes)
    if (folder / "annotations").is_dir():
        return _labelled(split, folder / "images", list(_arrays(folder / "annotations"))).with_classes(classes)
    if any((folder / str(exp)).is_dir() for exp in range(len(EMOTIONS))):
        return _sorted_by_class(split, folder).with_classes(classes)
    raise MediaError(f"{folder}: no annotations; expected {_LAYOUTS}")


def _labelled(split: str, images: Path, rows: Sequence[_Row]) -> LabelledSet:
    rejected = Counter(NOT_AN_EMOTION[row.exp] for row in rows if row.exp in NOT_AN_EMOTION)
    kept = [row for row in rows if row.exp not in NOT_AN_EMOTION]
    if not kept:
        raise MediaError(f"{images.parent}: no picture with an emotion is annotated; expected some")
    affect = np.array([(row.valence, row.arousal) for row in kept], np.float32)
    affect[(affect == NOT_ANNOTATED).any(axis=1)] = np.nan
    numbers = tuple(row.number for row in kept)
    return LabelledSet(
        name=NAME,
        split=split,
        paths=chosen(images, numbers),
        ids=numbers,
        emotion=np.array([row.exp for row in kept], np.int64),
        affect=affect,
        group=tuple(row.group or row.number for row in kept),
        time_s=np.array([row.time_s for row in kept], np.float64),
        left_out=dict(rejected),
    )


def _table(path: Path) -> Iterator[_Row]:
    """The rows of a .csv. Raises MediaError, naming file and line."""
    seen: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            names = next(lines, [])
            if not set(COLUMNS) <= set(names):
                raise MediaError(f"{path}: the first line is {','.join(names)!r}, expected {','.join(COLUMNS)}")
            for values in filter(None, lines):
                try:
                    row = _row(dict(zip(names, values, strict=True)))
                    if row.number in seen:
                        raise ValueError(f"picture {row.number} is on line {seen[row.number]} already")
                except ValueError as error:
                    raise MediaError(f"{path}, line {lines.line_num}: {error}; mend the line or remove it") from error
                seen[row.number] = lines.line_num
                yield row
    except (OSError, UnicodeError, csv.Error) as error:
        raise MediaError(f"{path}: no table can be read from it ({error}); get it again") from error


def _row(cells: dict[str, str]) -> _Row:
    """A row from its cells, by column. Raises ValueError."""
    number = cells["number"].strip()
    if not number:
        raise ValueError("the number of the picture is missing")
    time_s = cells.get("time_s", "").strip()
    row = _Row(
        number=number,
        exp=_whole(cells["exp"]),
        valence=float(cells["val"]),
        arousal=float(cells["aro"]),
        group=cells.get("person", "").strip() or cells.get("clip", "").strip(),
        time_s=float(time_s) if time_s else float("nan"),
    )
    return _checked(row)


def _whole(text: str) -> int:
    """A whole number, which tables that went through pandas may have as 3.0."""
    value = float(text)
    if not value.is_integer():
        raise ValueError(f"exp {text}, expected a whole number")
    return int(value)


def _checked(row: _Row) -> _Row:
    if not 0 <= row.exp < len(EMOTIONS) + len(NOT_AN_EMOTION):
        raise ValueError(f"exp {row.exp}, expected 0 to {len(EMOTIONS) + len(NOT_AN_EMOTION) - 1}")
    for name, value in (("val", row.valence), ("aro", row.arousal)):
        if not (abs(value) <= 1 or value == NOT_ANNOTATED):
            raise ValueError(f"{name} {value}, expected -1 to 1, or {NOT_ANNOTATED:g} where not annotated")
    return row


def _arrays(folder: Path) -> Iterator[_Row]:
    """The rows of the official annotations, three files a picture, by number."""
    with os.scandir(folder) as entries:
        numbers = [name.removesuffix("_exp.npy") for name in _names(entries) if name.endswith("_exp.npy")]
    for number in sorted(numbers, key=lambda name: (len(name), name)):
        exp, valence, arousal = (_scalar(folder / f"{number}_{part}.npy") for part in ("exp", "val", "aro"))
        try:
            yield _checked(_Row(number, _whole(str(exp)), valence, arousal))
        except ValueError as error:
            raise MediaError(f"{folder}, picture {number}: {error}; get its annotations again") from error


def _names(entries: Iterator[os.DirEntry[str]]) -> Iterator[str]:
    return (entry.name for entry in entries)


def _scalar(path: Path) -> float:
    """The number in a .npy, also where it is kept as text; nothing in the file is run. Raises MediaError."""
    try:
        array = np.load(path, allow_pickle=False)
        if array.size != 1:
            raise ValueError(f"{array.size} values, expected one")
        return float(array.reshape(-1)[0])
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror or 'cannot be read'}; get the annotations again") from error
    except (ValueError, EOFError) as error:
        raise MediaError(f"{path}: no number can be read from it ({error}); get the annotations again") from error


def _sorted_by_class(split: str, folder: Path) -> LabelledSet:
    """Pictures in a folder for each class; a number must be there once."""
    paths: list[Path] = []
    emotion: list[int] = []
    seen: dict[str, Path] = {}
    for exp in range(len(EMOTIONS)):
        found = pictures_in(folder / str(exp)) if (folder / str(exp)).is_dir() else {}
        for number, path in found.items():
            if number in seen:
                raise MediaError(
                    f"{path}: picture {number} is also {seen[number]}; a picture has one class: remove one"
                )
            seen[number] = path
            paths.append(path)
            emotion.append(exp)
    if not paths:
        raise MediaError(f"{folder}: no pictures in its folders 0 to 7; expected some")
    return LabelledSet(
        name=NAME,
        split=split,
        paths=tuple(paths),
        ids=tuple(seen),
        emotion=np.array(emotion, np.int64),
        affect=np.full((len(paths), 2), np.nan, np.float32),
        group=tuple(seen),
        time_s=np.full(len(paths), np.nan),
    )
