"""Real faces as everyone sees them: the teacher, the model that is judged, and the blendshape default beside it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.face_model import FaceModel
from models.geometry import Image, crop_faces
from models.head import HeadModel, IntArray
from models.head_pose import CanonicalFace, DoubleArray
from models.spec import CROP_SIZE, FaceBatch, FlameParams, FloatArray
from train.errors import TrainingError
from train.evaluate.package import Package, off_axis
from train.real.teacher import Faces, Teacher

AT_ONCE = 32
"""Faces that a model is given together."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement uses."""

    head: HeadModel
    canonical: CanonicalFace
    teacher: Teacher
    model: FaceModel
    baseline: FaceModel
    package: Package | None = None

    def ask(self, batch: FaceBatch) -> tuple[list[FlameParams], list[FlameParams]]:
        """What the model and the baseline say of the same faces."""
        said = self.model(batch)
        return said, said if self.baseline is self.model else self.baseline(batch)


@dataclass(frozen=True, slots=True)
class Watched:
    """F faces of several pictures."""

    pictures: IntArray  # [F] number of the picture
    faces: Faces  # what the teacher sees
    mirrored: FloatArray  # [F, 52] the teacher's blendshapes of the mirrored pictures
    model: list[FlameParams]
    baseline: list[FlameParams]
    rotations: DoubleArray | None  # [F, 3, 3] of the mediapipe package, NaN where it sees no face; None without it
    away: DoubleArray  # [F, 2] as train.evaluate.package.off_axis says

    def __len__(self) -> int:
        return len(self.pictures)

    def those(self, chosen: npt.NDArray[np.bool_]) -> "Watched":
        """The chosen ones of the faces [F]."""
        places = chosen.nonzero()[0]
        faces = Faces(*(getattr(self.faces, name)[chosen] for name in Faces.__dataclass_fields__))
        rotations = None if self.rotations is None else self.rotations[chosen]
        model, baseline = ([params[place] for place in places] for params in (self.model, self.baseline))
        return Watched(
            self.pictures[chosen], faces, self.mirrored[chosen], model, baseline, rotations, self.away[chosen]
        )


@dataclass(frozen=True, slots=True)
class _Look:
    """The faces of one picture."""

    number: int
    faces: Faces
    mirrored: FloatArray  # [F, 52]
    crops: FloatArray  # [F, 3, 224, 224]
    rotations: list[DoubleArray]
    away: DoubleArray  # [F, 2]


def watch_clip(bench: Bench, frames: Iterable[Image], what: str) -> Watched:
    """The faces of a clip's frames, followed. Raises TrainingError when there is none."""
    bench.teacher.forget()
    return _watched(bench, ((number, rgb, bench.teacher.follow(rgb)) for number, rgb in enumerate(frames)), what)


def watch_pictures(bench: Bench, pictures: Iterable[Image], what: str) -> Watched:
    """The faces of pictures that have nothing to do with each other. Raises TrainingError when there is none."""
    return _watched(bench, ((number, rgb, bench.teacher.look(rgb)) for number, rgb in enumerate(pictures)), what)


def no_crops() -> FloatArray:
    """Crops of a batch for models that need none."""
    return np.zeros((0, 3, CROP_SIZE, CROP_SIZE), np.float32)


def _watched(bench: Bench, seen: Iterable[tuple[int, Image, Faces]], what: str) -> Watched:
    looks: list[_Look] = []
    model: list[FlameParams] = []
    baseline: list[FlameParams] = []
    for chunk in _chunks(_look(bench, *one) for one in seen):
        said = bench.ask(_batch(chunk))
        model += said[0]
        baseline += said[1]
        looks += [replace(look, crops=no_crops()) for look in chunk]
    if not model:
        raise TrainingError(f"{what}: no face is seen in it, expected one or more; give --media the MANIFEST's files")
    rotations = None if bench.package is None else np.stack([turn for look in looks for turn in look.rotations])
    numbers = np.repeat([look.number for look in looks], [len(look.faces) for look in looks])
    mirrored = np.concatenate([look.mirrored for look in looks])
    away = np.concatenate([look.away for look in looks])
    return Watched(numbers, _joined([look.faces for look in looks]), mirrored, model, baseline, rotations, away)


def _look(bench: Bench, number: int, rgb: Image, faces: Faces) -> _Look:
    crops = crop_faces(rgb, faces.boxes) if bench.model.needs_crops else no_crops()
    turns = [] if bench.package is None else [bench.package.rotation(rgb, box) for box in faces.boxes]
    return _Look(number, faces, bench.teacher.mirrored(rgb, faces.landmarks), crops, turns, off_axis(faces.boxes, rgb))


def _chunks(looks: Iterable[_Look]) -> Iterator[list[_Look]]:
    """Looks with at least one face, until there are AT_ONCE faces: a clip's crops would not all fit in memory."""
    chunk: list[_Look] = []
    for look in looks:
        if len(look.faces):
            chunk.append(look)
        if sum(len(each.faces) for each in chunk) >= AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _batch(looks: list[_Look]) -> FaceBatch:
    faces = _joined([look.faces for look in looks])
    return FaceBatch(np.concatenate([look.crops for look in looks]), faces.boxes, faces.landmarks, faces.blendshapes)


def _joined(parts: list[Faces]) -> Faces:
    return Faces(*(np.concatenate([getattr(part, name) for part in parts]) for name in Faces.__dataclass_fields__))
