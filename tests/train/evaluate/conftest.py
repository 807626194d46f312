"""A bench without networks: a teacher who knows the faces, and models that say what they are told to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from models.face_model import FaceModel
from models.geometry import crop_box
from models.head import HeadModel
from models.head_pose import CanonicalFace
from models.open_basis import from_blendshapes
from models.open_head import load_open_head
from models.spec import Basis, FaceBatch, FlameParams
from train.evaluate.figures import turns
from train.evaluate.watch import Bench
from train.real.teacher import Faces


class Told:
    """A teacher who finds in each picture the faces it is told, in turn, and the same in a mirror."""

    def __init__(self, faces: Sequence[Faces]) -> None:
        self._faces = list(faces)
        self.forgotten = 0

    def forget(self) -> None:
        self.forgotten += 1

    def follow(self, rgb: object) -> Faces:
        self._last = self._faces.pop(0)
        return self._last

    def mirrored(self, rgb: object, landmarks: np.ndarray) -> np.ndarray:
        return self._last.blendshapes

    look = follow


@dataclass
class Saying:
    """A face model that says a function of what it is given."""

    say: Callable[[FaceBatch], list[FlameParams]]
    needs_crops: bool = True
    name: str = "saying"
    basis: Basis = "open"
    model_hash: str = "0" * 12
    given: list[FaceBatch] = field(default_factory=list)

    def __call__(self, faces: FaceBatch) -> list[FlameParams]:
        self.given.append(faces)
        return self.say(faces)


@pytest.fixture(scope="session")
def head() -> HeadModel:
    return load_open_head()


@pytest.fixture(scope="session")
def canonical() -> CanonicalFace:
    points = np.random.default_rng(0).normal(scale=0.04, size=(468, 3))
    return CanonicalFace(points, np.full(468, 1 / 468))


@pytest.fixture(scope="session")
def faces_of(canonical: CanonicalFace) -> Callable[..., Faces]:
    """`faces_of(poses, blendshapes)`: faces as the teacher sees them, turned so."""

    def made(poses: np.ndarray, blendshapes: np.ndarray) -> Faces:
        turned = np.einsum("bij,nj->bni", turns(poses), canonical.points)
        points = turned * [1000, -1000, -1000] + [100, 80, 0]
        landmarks = np.concatenate([points, points[:, :10]], axis=1).astype(np.float32)
        return Faces(landmarks, blendshapes.astype(np.float32), crop_box(landmarks))

    return made


@pytest.fixture(scope="session")
def params_of() -> Callable[..., list[FlameParams]]:
    """`params_of(poses, blendshapes)`: the same as parameters of the open head, without shape or camera."""

    def made(poses: np.ndarray, blendshapes: np.ndarray) -> list[FlameParams]:
        zeros = np.zeros(300, np.float32)
        parts = zip(*from_blendshapes(blendshapes.astype(np.float32)), poses.astype(np.float32), strict=True)
        return [FlameParams(zeros, x, pose, jaw, lids, np.array([7, 0, 0], np.float32)) for x, lids, jaw, pose in parts]

    return made


@pytest.fixture(scope="session")
def saying() -> type[Saying]:
    return Saying


@pytest.fixture
def bench_of(head: HeadModel, canonical: CanonicalFace) -> Callable[..., Bench]:
    """`bench_of(faces, model, baseline=model)`: a bench whose teacher sees these faces in turn."""

    def made(faces: Sequence[Faces], model: FaceModel, baseline: FaceModel | None = None) -> Bench:
        teacher: Any = Told(faces)
        return Bench(head, canonical, teacher, model, model if baseline is None else baseline)

    return made
