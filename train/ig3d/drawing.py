"""Draws the pictures of a labelled set, a person at a time, in one process or several: the same ones either way."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from models.open_head import load_open_head
from models.spec import CROP_SIZE
from train.errors import TrainingError
from train.ig3d.people import Person, Truth
from train.synthetic.faces import SyntheticFaces
from train.workers import start_worker

COLUMNS = ("number", "exp", "val", "aro", "person", "clip", "time_s", "intensity", "true_val", "true_aro")
JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Design:
    """What a set is made of; the same design is the same set."""

    people: int = 200
    """In still pictures."""
    pictures: int = 8
    """Of each of them: the emotions in turn."""
    clips: int = 20
    """Each of another person."""
    frames: int = 100
    """Of each clip, 25 a second."""
    seed: int = 0
    size: int = CROP_SIZE
    """Side of the pictures, pixels."""
    occluders: bool = True
    """Whether glasses, hands and other things are before some faces."""
    label_noise: float = 0.05
    """Spread of the annotators' error in valence and in arousal; 0 leaves the person's bias out, too."""


@dataclass(frozen=True, slots=True)
class Task:
    """One person's part of a set."""

    design: Design
    draft: Path
    person: int
    split: str
    first: int
    """The number of its first picture."""
    clip: int | None = None

    @property
    def count(self) -> int:
        """How many pictures it has."""
        return self.design.pictures if self.clip is None else self.design.frames

    @property
    def rows(self) -> Path:
        """Where its rows are until the set is whole. Written last: a task whose rows are there is done."""
        return self.draft / "rows" / f"{self.person}.csv"


def make(tasks: list[Task], processes: int, done: Callable[[int, int], None]) -> None:
    """Writes the pictures and rows that are not there yet; `done` is told how many of how many pictures are."""
    total = sum(task.count for task in tasks)
    to_do = [task for task in tasks if not task.rows.exists()]
    made = total - sum(task.count for task in to_do)
    done(made, total)
    for count in _in_processes(to_do, processes) if processes > 1 and len(to_do) > 1 else _here(to_do):
        made += count
        done(made, total)


def _here(tasks: list[Task]) -> Iterator[int]:
    for task in tasks:
        with _one_thread():
            count = _work(task)
        yield count


def _in_processes(tasks: list[Task], processes: int) -> Iterator[int]:
    pool = ProcessPoolExecutor(min(processes, len(tasks)), multiprocessing.get_context("spawn"), _start)
    try:
        yield from pool.map(_work, tasks)
    except BrokenProcessPool as error:
        raise TrainingError(
            f"{tasks[0].draft}: a process that drew pictures was killed; try fewer --processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    """Each process works on one core: there are as many processes as cores."""
    start_worker()
    torch.set_num_threads(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in a process of its own: sums of several threads could differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_opened: dict[tuple[int, int, bool], SyntheticFaces] = {}
"""One set's camera in each process: making its skins and walls takes a second."""


def _work(task: Task) -> int:
    """Writes a person's pictures, and then their rows."""
    design = task.design
    kind = (design.seed, design.size, design.occluders)
    if kind not in _opened:
        _opened.clear()
        _opened[kind] = SyntheticFaces(load_open_head(), size=design.size, seed=design.seed, occluders=design.occluders)
    person = Person(_opened[kind], task.person, design.label_noise)
    if task.clip is None:
        truth, pictures = person.stills(task.person * design.pictures, design.pictures)
    else:
        truth, pictures = person.clip(design.frames)
    for number, pixels in enumerate(pictures, task.first):
        Image.fromarray(pixels).save(
            task.draft / task.split / "images" / f"{number}.jpg", quality=JPEG_QUALITY, subsampling=0
        )
    draft = task.rows.with_suffix(".draft")
    draft.write_text("".join(_lines(task, truth)))
    draft.replace(task.rows)
    return task.count


def _lines(task: Task, truth: Truth) -> Iterator[str]:
    clip = "" if task.clip is None else f"c{task.clip}"
    for row in range(len(truth.emotion)):
        valence, arousal = truth.affect[row].tolist()
        true_valence, true_arousal = truth.exact[row].tolist()
        time_s = "" if task.clip is None else f"{truth.time_s[row]:.3f}"
        yield (
            f"{task.first + row},{truth.emotion[row]},{valence:.4f},{arousal:.4f},p{task.person},{clip},{time_s},"
            f"{truth.intensity[row]:.4f},{true_valence:.4f},{true_arousal:.4f}\n"
        )
