"""Makes the features of a folder of pictures, some at a time, and goes on where it stopped.

Features of the same pictures by the same encoder are the same bytes, in however many pieces they were made.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.assets import fetch
from models.engines.engine import Target
from models.face_engines import open_face_engines
from models.geometry import Image, crop_faces
from models.spec import FloatArray
from train.errors import MediaError
from train.ig3d.encoders import Encoder, Kind
from train.ig3d.features import CONTENT, Features, content_of, write_features
from train.ig3d.folders import SUFFIXES
from train.ig3d.part_file import Job, PartFile, Records, finished
from train.real.media import read_picture
from train.real.teacher import Teacher

WHOLE = "the whole picture"
NO_FACE, FOUND, UNREADABLE = range(3)
"""States of a record."""
Finder = Callable[[Image], FloatArray | None]
"""The square [3] (centre x, centre y, side) to cut out of a picture, or None when no face is there."""


def list_pictures(folder: Path) -> tuple[str, ...]:
    """The pictures in a folder and the folders in it, in order, by their names from there. Raises MediaError."""
    if not folder.is_dir():
        raise MediaError(f"{folder}: no such folder; give one with pictures")
    found = [
        (Path(above) / name).relative_to(folder).as_posix()
        for above, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES)
    ]
    if not found:
        raise MediaError(f"{folder}: no pictures in it ({', '.join(SUFFIXES)}); give a folder that has some")
    return tuple(sorted(found))


def whole_picture(rgb: Image) -> FloatArray:
    """The square around all of a picture: one of 224 pixels is then cut as it is."""
    height, width = rgb.shape[:2]
    return np.array([(width - 1) / 2, (height - 1) / 2, max(width, height, 2) - 1], np.float32)


def face_finder(kind: Kind, target: Target) -> Finder:
    """`largest_face` by MediaPipe's networks, fetched first if need be. Raises AssetError or EngineError."""
    return largest_face(Teacher(open_face_engines(fetch("face_landmarker"), target)), kind)


def largest_face(teacher: Teacher, kind: Kind) -> Finder:
    """Finds the square around the largest of the faces in a picture, of equal ones the best."""

    def find(rgb: Image) -> FloatArray | None:
        faces = teacher.look(rgb)
        if len(faces) == 0:
            return None
        boxes = kind.boxes(faces.landmarks)
        return np.asarray(boxes[int(boxes[:, 2].argmax())])

    return find


@dataclass(frozen=True, slots=True)
class Extraction:
    """A job, and what does it."""

    job: Job
    encoder: Encoder
    find: Finder

    def run(
        self,
        *,
        batch: int,
        strict: bool = False,
        report: Callable[[int], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Features | None:
        """Makes the features and writes them to the job's output; None when it was stopped before the end.

        Features that are there already are left as they are. A picture that cannot be read counts as one without a
        face, and ends the work only when `strict`. `report` is told how many are done. Raises TrainingError.
        """
        there = finished(self.job)
        if there is not None:
            report(len(there))
            return there
        part, names = PartFile(self.job), self.job.names
        while part.count < len(names):
            report(part.count)
            if stop():
                return None
            part.append(self._records(names[part.count : part.count + batch], strict))
        report(part.count)
        features = _whole(self.job, part.read())
        write_features(features, self.job.out)
        part.path.unlink()
        return features

    def _records(self, names: Sequence[str], strict: bool) -> dict[str, npt.NDArray[Any]]:
        """State, content and vector of some pictures."""
        origin = self.job.origin
        state = np.zeros(len(names), np.uint8)
        content = np.zeros((len(names), CONTENT), np.uint8)
        vector = np.zeros((len(names), sum(origin.parts.values())), np.float32)
        crops: list[FloatArray] = []
        for row, name in enumerate(names):
            path = self.job.folder / name
            try:
                rgb = read_picture(path)
            except MediaError:
                if strict:
                    raise
                state[row] = UNREADABLE
                continue
            content[row] = np.frombuffer(content_of(path.read_bytes()), np.uint8)
            box = self.find(rgb)
            if box is not None:
                state[row] = FOUND
                crops.append(crop_faces(rgb, box[None])[0])
        if crops:
            parts = self.encoder(np.stack(crops))
            vector[state == FOUND] = np.concatenate([parts[name] for name in origin.parts], axis=1)
        return {"state": state, "content": content, "vector": vector}


def _whole(job: Job, records: Records) -> Features:
    unreadable = np.flatnonzero(records["state"] == UNREADABLE).tolist()
    return Features(
        origin=job.origin,
        names=job.names,
        vectors=np.ascontiguousarray(records["vector"]),
        found=records["state"] == FOUND,
        content=np.ascontiguousarray(records["content"]),
        unreadable=tuple(job.names[row] for row in unreadable),
    )
