"""Makes the examples that the default model learns from, in several processes, the same ones every time."""

import functools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from models.open_head import load_open_head
from models.spec import CROP_SIZE
from train.default.examples import KINDS, Examples, write_examples
from train.errors import MediaError, TrainingError
from train.real.gather import Gatherer
from train.real.media import CLIPS, STILLS, Split, portraits
from train.synthetic.faces import SyntheticBatch, SyntheticFaces
from train.synthetic.parameters import PLACES
from train.workers import start_worker

SEEDS: dict[Split, int] = {"train": 1, "held_out": 2}
"""Of synthetic people, and of what real ones do, where the seed that is asked for is 0."""
STILLS_AT_ONCE, SYNTHETIC_AT_ONCE = 32, 64
CLIP_PICTURES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is made of what."""

    synthetic: int = 4_096
    of_portrait: int = 16
    """Reenactments of a portrait, and as many of it mirrored."""
    of_frame: int = 6
    """Reenactments of a face in a clip."""
    portraits: int | None = None
    """At most so many portraits, and then no clips: for trying things out."""


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work for one process; what it makes follows from these alone."""

    kind: Literal["synthetic", "stills", "clip"]
    number: int
    split: Split
    seed: int = 0
    again: int = 0
    """Reenactments of each face."""
    paths: tuple[Path, ...] = ()
    first: int = 0
    count: int = 0

    @property
    def own_seed(self) -> int:
        """Of the split too: no synthetic person is in both."""
        return SEEDS[self.split] + len(SEEDS) * self.seed


def plan(media: Path, split: Split, amounts: Amounts, seed: int = 0) -> list[Task]:
    """The work that makes a split; each `seed` from 0 on gives other synthetic people, and real ones other roles.

    Raises MediaError when a picture or clip of it is not there.
    """
    paths = [still.path for still in portraits(media, split)][: amounts.portraits]
    tasks: list[Task] = []
    if split == "train" and amounts.portraits is None:
        paths += [media / name for name in STILLS]
        for name in (name for names in CLIPS.values() for name in names):
            tasks.append(Task("clip", len(tasks), split, seed, amounts.of_frame, (media / name,)))
    for start in range(0, len(paths), STILLS_AT_ONCE):
        some = tuple(paths[start : start + STILLS_AT_ONCE])
        tasks.append(Task("stills", len(tasks), split, seed, amounts.of_portrait, some))
    for path in (path for task in tasks for path in task.paths):
        if not path.is_file():
            raise MediaError(f"{path}: no such file; give --media a folder with the pictures of the MANIFEST")
    for first in range(0, amounts.synthetic, SYNTHETIC_AT_ONCE):
        count = min(SYNTHETIC_AT_ONCE, amounts.synthetic - first)
        tasks.append(Task("synthetic", len(tasks), split, seed, first=first, count=count))
    return tasks


def make_examples(folder: Path, tasks: Sequence[Task], processes: int, done: Callable[[int], None]) -> int:
    """Writes the examples of a plan to `folder` and gives their number; `done` is told how many tasks are.

    Raises MediaError or TrainingError.
    """
    about = {"tasks": len(tasks), "kinds": KINDS, "seed": tasks[0].seed}
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start)

    def made() -> Iterator[Examples]:
        for number, parts in enumerate(pool.map(_work, tasks)):
            yield from parts
            done(number + 1)

    try:
        return write_examples(folder, made(), about)
    except BrokenProcessPool as error:
        raise TrainingError(f"{folder}: a process that made examples was killed; try fewer --processes") from error
    finally:
        pool.shutdown(cancel_futures=True)


_gatherer: Gatherer


def _start() -> None:
    """Each process works on one core: there are as many processes as cores."""
    global _gatherer
    import torch

    start_worker()
    torch.set_num_threads(1)
    _gatherer = Gatherer(load_open_head())


def from_synthetic(batch: SyntheticBatch) -> Examples:
    """Examples of synthetic faces: their -1 is a crop's edge, where SMIRK's is the middle of its first pixel."""
    half = 1 / CROP_SIZE  # a pixel, in normalised units, is twice that
    parameters = batch.parameters.copy()
    camera = parameters[:, PLACES["camera"]]
    camera[:, 1:] += half / camera[:, :1] * np.array([-1, 1], np.float32)
    kinds = np.full(len(batch), KINDS.index("synthetic"), np.uint8)
    return Examples(batch.images, parameters, batch.landmarks - half, batch.outline[:, :17] - half, kinds)


@functools.cache
def _faces(seed: int) -> SyntheticFaces:
    return SyntheticFaces(load_open_head(), size=CROP_SIZE, seed=seed)


def _work(task: Task) -> list[Examples]:
    random = np.random.default_rng((task.own_seed, task.number))
    if task.kind == "synthetic":
        batch = _faces(task.own_seed).batch(range(task.first, task.first + task.count))
        return [from_synthetic(batch)]
    if task.kind == "stills":
        seen = list(_gatherer.stills(task.paths))
        return list(_gatherer.examples(seen, task.again, random)) if seen else []
    made: list[Examples] = []
    for path in task.paths:
        seen = list(_gatherer.clip(path))
        for start in range(0, len(seen), CLIP_PICTURES_AT_ONCE):
            made += _gatherer.examples(seen[start : start + CLIP_PICTURES_AT_ONCE], task.again, random)
    return made
