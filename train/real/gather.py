"""Examples from real faces: photographs and clips as they are, and the same people doing something else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.assets import fetch
from models.face_engines import open_face_engines
from models.geometry import Image, crop_faces
from models.head import HeadModel
from models.head_pose import read_canonical_face
from models.spec import CROP_SIZE, FloatArray
from train.default.examples import KINDS, Examples
from train.real.fit import Fitter, targets_of
from train.real.media import in_view, read_clip, read_picture
from train.real.reenact import CANVAS, Actor, Stage
from train.real.roles import draw_features, draw_role
from train.real.teacher import Faces, Teacher
from train.synthetic.parameters import PLACES

WORST = 0.06
"""Mean error of a fit, in distances of the eyes' outer corners, beyond which a face is left out."""
AT_ONCE = 64
"""Faces fitted together."""
MIN_SIDE = 40.0
"""Pixels: smaller faces of clips are left out."""
BLENDED = 0.4
"""Share of reenacted faces that are mixed with another one: of another person, or of a clip's other frame."""
SHARE_OF_OTHER = (0.25, 0.7)
"""How much of a blend is the second face."""
LOOKING = 0.8
"""Share of reenacted faces whose eyes are made to look to some side, if they are open."""
STEPS_AGAIN = 60
"""Of a fit that starts at the parameters that were drawn."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A real face and where it comes from."""

    rgb: Image
    landmarks: FloatArray  # [478, 3]
    blendshapes: FloatArray  # [52]
    box: FloatArray  # [3]


class Gatherer:
    """Makes examples of real faces. Holds the teacher, the fitter and the stage; used by one process."""

    def __init__(self, head: HeadModel) -> None:
        task = fetch("face_landmarker")
        self._head = head
        self._teacher = Teacher(open_face_engines(task))
        self._fit = Fitter(head, read_canonical_face(task))
        self._stage = Stage(head)

    def stills(self, paths: Sequence[Path]) -> Iterator[Seen]:
        """The faces of photographs, and of each mirrored."""
        for path in paths:
            picture = read_picture(path)
            for rgb in (picture, np.ascontiguousarray(picture[:, ::-1])):
                yield from _each(rgb, self._teacher.look(rgb))

    def clip(self, path: Path, every: int = 1) -> Iterator[Seen]:
        """The faces of a clip's frames, or of one in `every`, if in full view; every other frame mirrored."""
        self._teacher.forget()
        for number, rgb in enumerate(read_clip(path)):
            faces = self._teacher.follow(rgb)
            if number % every or not in_view(path, number):
                continue
            if number // every % 2:
                rgb = np.ascontiguousarray(rgb[:, ::-1])
                faces = self._teacher.look(rgb)
            yield from _each(rgb, faces)

    def examples(self, seen: Sequence[Seen], again: int, random: np.random.Generator) -> Iterator[Examples]:
        """Those of some faces as they are, and `again` of each one reenacted."""
        faces = _faces(seen)
        fitted = self._fit(faces)
        good = fitted.errors < WORST
        crops = [crop_faces(face.rgb, face.box[None])[0] for face in seen]
        yield self._made(np.stack(crops), faces, fitted.parameters, good, "real")
        actors = [
            self._stage.actor(face.rgb, face.box, face.landmarks, fitted.parameters[i])
            for i, face in enumerate(seen)
            if good[i]
        ]
        for _ in range(again):
            yield from self._reenacted(actors, random)

    def _reenacted(self, actors: Sequence[Actor], random: np.random.Generator) -> Iterator[Examples]:
        found, drawn = [], []
        for actor in actors:
            parameters, picture = self._performance(actor, actors, random)
            for face in _each(picture, self._teacher.look_near(picture, actor.landmarks[None])):
                found.append(face)
                drawn.append(recropped(parameters, face.box))
        if not found:
            return
        faces = _faces(found)
        fitted = self._fit(faces, start=np.stack(drawn), steps=STEPS_AGAIN)
        crops = np.stack([crop_faces(face.rgb, face.box[None])[0] for face in found])
        yield self._made(crops, faces, fitted.parameters, fitted.errors < WORST, "reenacted")

    def _performance(
        self, actor: Actor, actors: Sequence[Actor], random: np.random.Generator
    ) -> tuple[FloatArray, Image]:
        """Parameters [361] and picture of an actor, or of a blend with another one."""
        stage = self._stage
        parameters = draw_role(actor.parameters, random)
        shape = PLACES["shape"]
        parameters[shape] = draw_features(actor.parameters[shape], random)
        aside = random.uniform(-1, 1) if random.random() < LOOKING else None
        if random.random() >= BLENDED:
            return parameters, stage.perform(actor, parameters, random, aside)
        other, share = actors[int(random.integers(len(actors)))], random.uniform(*SHARE_OF_OTHER)
        parameters[shape] += share * (other.parameters[shape] - actor.parameters[shape])
        return parameters, stage.perform_blended(actor, other, share, parameters, random, aside)

    def _made(self, crops: FloatArray, faces: Faces, parameters: FloatArray, good: np.ndarray, kind: str) -> Examples:
        targets = targets_of(self._head, faces)
        images = np.round(crops * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        kinds = np.full(len(faces), KINDS.index(kind), np.uint8)
        return Examples(images[good], parameters[good], targets.points[good], targets.outline[good], kinds[good])


def recropped(parameters: FloatArray, box: FloatArray) -> FloatArray:
    """Parameters [361] of a face in the middle of a canvas, for a crop [3] of the canvas."""
    new = parameters.copy()
    scale, tx, ty = parameters[PLACES["camera"]].tolist()
    middle = CANVAS / 2  # where SMIRK's 0 is: half a pixel beyond the middle
    to_new = 2 * (CROP_SIZE - 1) / CROP_SIZE / box[2]  # normalised units of the new crop a pixel
    scale_new = scale * (CROP_SIZE - 1) / box[2]
    dx, dy = ((middle - centre) * to_new - 1 / CROP_SIZE for centre in box[:2])
    new[PLACES["camera"]] = scale_new, tx + dx / scale_new, ty - dy / scale_new
    return new


def _each(rgb: Image, faces: Faces) -> Iterator[Seen]:
    for i in range(len(faces)):
        if faces.boxes[i, 2] >= MIN_SIDE:
            yield Seen(rgb, faces.landmarks[i], faces.blendshapes[i], faces.boxes[i])


def _faces(seen: Sequence[Seen]) -> Faces:
    return Faces(*(np.stack([getattr(face, name) for face in seen]) for name in ("landmarks", "blendshapes", "box")))
