"""A labelled set of people that nobody is, so that everything runs without licensed pictures.

<folder>/{train,val,test}/ each hold what train.ig3d.affectnet reads as a table:
    images/<number>.jpg    the face as SMIRK's crop; numbers are the set's, not the split's
    annotations.csv        number, exp, val, aro; person; clip, time_s (of clips alone); intensity; true_val, true_aro
`val` and `aro` are the true ones with an annotator's error: a bias of the person (PERSON_BIAS) and noise of spread
`label_noise`, which drifts along a clip. `exp` is always true. A person is in still pictures or in one clip, and in one
split. About.json is written last; until then the set is in <folder>.part, where the same command goes on.
"""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from models.emotion import EMOTIONS
from models.open_head import OPEN_HEAD
from train.errors import TrainingError
from train.ig3d.drawing import COLUMNS, Design, Task, make

FORMAT = 1
SPLITS = {"train": 0.7, "val": 0.15, "test": 0.15}
"""Shares of the people in still pictures, and of those in clips; each gets one of three at the least."""
ABOUT, TABLE = "about.json", "annotations.csv"


def write_labelled(folder: Path, design: Design, processes: int, done: Callable[[int, int], None]) -> dict[str, Any]:
    """Makes a set, and gives what its about.json says; `done` is told how many of how many pictures are.

    A set that is whole is left as it is. Raises TrainingError, also where something else is in the way.
    """
    made_of = {"made_by": "flamestream-train synthetic labelled", "format": FORMAT, "head": _head(), **asdict(design)}
    whole = _found(folder, made_of)
    if whole is not None:
        return whole
    draft = folder.with_name(f"{folder.name}.part")
    try:
        if _found(draft, made_of) is None:
            draft.mkdir(parents=True, exist_ok=True)
            (draft / ABOUT).write_text(json.dumps(made_of, indent=1) + "\n")
        tasks = plan(design, draft)
        for path in {task.rows.parent for task in tasks} | {draft / split / "images" for split in SPLITS}:
            path.mkdir(parents=True, exist_ok=True)
        make(tasks, processes, done)
        about = made_of | {"counts": _tables(draft, tasks), "versions": _versions()}
        (draft / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
        draft.replace(folder)
    except OSError as error:
        raise TrainingError(f"{draft}: cannot be written ({error}); free the disk or give another --out") from error
    return about


def plan(design: Design, draft: Path) -> list[Task]:
    """Who is in which split, and which numbers their pictures have. Raises TrainingError for a set of nothing."""
    if design.people * design.pictures + design.clips * design.frames == 0:
        raise TrainingError("a set without pictures; give --people or --clips")
    random = np.random.default_rng((design.seed, 2**33))
    splits = [*_splits(random, design.people), *_splits(random, design.clips)]
    tasks: list[Task] = []
    first = 0
    for person, split in enumerate(splits):
        clip = person - design.people if person >= design.people else None
        tasks.append(Task(design, draft, person, split, first, clip))
        first += tasks[-1].count
    return tasks


def _splits(random: np.random.Generator, count: int) -> list[str]:
    """The split of each of so many people: the shares of SPLITS exactly, as far as they can be."""
    aside = {name: max(round(share * count), int(count >= len(SPLITS))) for name, share in SPLITS.items()}
    named = ["val"] * aside["val"] + ["test"] * aside["test"]
    named = named[:count] + ["train"] * (count - len(named))
    return [named[place] for place in random.permutation(count)]


def _tables(draft: Path, tasks: list[Task]) -> dict[str, Any]:
    """Writes each split's table, takes the rows away, and counts."""
    counts: dict[str, Any] = {}
    for split in SPLITS:
        mine = [task for task in tasks if task.split == split]
        rows = [line for task in mine for line in task.rows.read_text().splitlines()]
        (draft / split / TABLE).write_text("\n".join((",".join(COLUMNS), *rows)) + "\n")
        shown = np.bincount([int(row.split(",")[1]) for row in rows], minlength=len(EMOTIONS))
        counts[split] = {
            "pictures": len(rows),
            "people": sum(task.clip is None for task in mine),
            "clips": sum(task.clip is not None for task in mine),
            "classes": dict(zip(EMOTIONS, shown.tolist(), strict=True)),
        }
    for task in tasks:
        task.rows.unlink()
    (draft / "rows").rmdir()
    return counts


def _found(folder: Path, made_of: dict[str, Any]) -> dict[str, Any] | None:
    """What a folder's about.json says, when it is of this very set; None for no folder or an empty one."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        about = json.loads((folder / ABOUT).read_text())
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict):
        raise TrainingError(f"{folder}: holds something else than a labelled set; give another --out")
    differing = [
        f"{name} {about.get(name)}, not {value}" for name, value in made_of.items() if about.get(name) != value
    ]
    if differing:
        raise TrainingError(f"{folder}: another set is there ({', '.join(differing)}); remove it or give another --out")
    return about


def _head() -> str:
    return hashlib.sha256(OPEN_HEAD.read_bytes()).hexdigest()[:12]


def _versions() -> dict[str, str]:
    packages = ("flamestream", "numpy", "pillow", "torch")
    return {"python": platform.python_version()} | {package: version(package) for package in packages}
