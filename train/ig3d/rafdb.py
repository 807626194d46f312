"""RAF-DB, basic emotions (S. Li, W. Deng, J. Du, CVPR 2017), as it is released and as Ig3D rearranges it.

    official    basic/EmoLabel/list_patition_label.txt with lines `train_00001.jpg 5`, labels 1 to 7, and
                basic/Image/aligned/train_00001_aligned.jpg; <root> may also be the folder basic itself
    classes     <root>/{train,val}/<label - 1>/*.jpg, or the same below <root>/DATASET; its val is the official test set
Labels: 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral. There is no valence and arousal, no
contempt, and nobody says who is in a picture.
"""

from pathlib import Path

import numpy as np

from models.emotion import EMOTIONS, RAF_DB, places
from train.errors import MediaError
from train.ig3d.folders import chosen, pictures_in
from train.ig3d.labelled import LabelledSet

NAME = "raf-db"
LABELS = Path("EmoLabel", "list_patition_label.txt")  # the release spells it so
ALIGNED = Path("Image", "aligned")
_EMOTION = places(RAF_DB, EMOTIONS)
"""Place in EMOTIONS by official label - 1."""


def read_raf_db(root: Path, split: str) -> LabelledSet:
    """A split, `train` or `test`, of RAF-DB. For a validation set split some off the training set.

    Raises MediaError for a layout that is not known, labels that cannot be read and pictures that are missing.
    """
    if split not in ("train", "test"):
        raise MediaError(f"RAF-DB has no split {split}; expected train or test (for a validation set, split train)")
    for folder in (root / "basic", root):
        if (folder / LABELS).is_file():
            return _official(split, folder)
    name = "val" if split == "test" else split
    for folder in (root / "DATASET" / name, root / name):
        if any((folder / str(label)).is_dir() for label in range(len(RAF_DB))):
            return _sorted_by_class(split, folder)
    raise MediaError(f"{root}: no RAF-DB; expected basic/{LABELS.as_posix()}, or folders {name}/0 to {name}/6")


def _official(split: str, folder: Path) -> LabelledSet:
    labels = {name: label for name, label in _labels(folder / LABELS).items() if name.startswith(f"{split}_")}
    if not labels:
        raise MediaError(f"{folder / LABELS}: no picture of the split {split}; get the whole file")
    paths = chosen(folder / ALIGNED, [f"{name}_aligned" for name in labels])
    return _set(split, paths, tuple(labels), list(labels.values()))


def _labels(path: Path) -> dict[str, int]:
    """Label 0 to 6 of each picture, by its stem. Raises MediaError, naming file and line."""
    found: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise MediaError(f"{path}: no labels can be read from it ({error}); get it again") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        stem = Path(words[0]).stem
        if len(words) != 2 or words[1] not in map(str, range(1, len(RAF_DB) + 1)):
            raise MediaError(f"{path}, line {number}: {line!r}, expected a picture's name and a label 1 to 7")
        if stem in found:
            raise MediaError(f"{path}, line {number}: {stem} has a label already; remove one of them")
        found[stem] = int(words[1]) - 1
    return found


def _sorted_by_class(split: str, folder: Path) -> LabelledSet:
    seen: dict[str, Path] = {}
    labels: list[int] = []
    for label in range(len(RAF_DB)):
        if not (folder / str(label)).is_dir():
            continue
        for stem, path in pictures_in(folder / str(label)).items():
            name = stem.removesuffix("_aligned")
            if name in seen:
                raise MediaError(f"{path}: picture {name} is also {seen[name]}; a picture has one class: remove one")
            seen[name] = path
            labels.append(label)
    if not seen:
        raise MediaError(f"{folder}: no pictures in its folders 0 to 6; expected some")
    return _set(split, tuple(seen.values()), tuple(seen), labels)


def _set(split: str, paths: tuple[Path, ...], names: tuple[str, ...], labels: list[int]) -> LabelledSet:
    return LabelledSet(
        name=NAME,
        split=split,
        paths=paths,
        ids=names,
        emotion=np.array([_EMOTION[label] for label in labels], np.int64),
        affect=np.full((len(paths), 2), np.nan, np.float32),
        group=names,
        time_s=np.full(len(paths), np.nan),
    )
