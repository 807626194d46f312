"""What a run asks of faces: parameters and affect, by a face model and a head in turn or by one network for both."""

from collections.abc import Sequence
from typing import Protocol

from models.face_model import AffectHead, FaceModel
from models.spec import Affect, Basis, FaceBatch, FlameParams

Said = tuple[list[FlameParams], list[Affect]]


class Origin(Protocol):
    """Where values come from: what every event names."""

    @property
    def name(self) -> str: ...

    @property
    def basis(self) -> Basis: ...

    @property
    def model_hash(self) -> str: ...


class FaceReader(Protocol):
    """Stateless and shared by every source."""

    @property
    def face_model(self) -> Origin:
        """Of the parameters."""
        ...

    @property
    def head(self) -> Origin:
        """Of the affect."""
        ...

    @property
    def needs_crops(self) -> bool:
        """Whether `FaceBatch.crops` must be filled in."""
        ...

    def __call__(self, faces: FaceBatch) -> Said:
        """Parameters and affect of each face, in order."""
        ...


class InTurn:
    """A face model, and a head that reads its parameters."""

    def __init__(self, face_model: FaceModel, head: AffectHead, head_model: FaceModel | None = None) -> None:
        """`head_model` supplies parameters in the head's basis when the face model's basis is another one."""
        reader = head_model or face_model
        if reader.basis != head.basis:
            raise ValueError(f"head {head.name} reads basis {head.basis}, but {reader.name} writes {reader.basis}")
        self.face_model = face_model
        self.head = head
        self._head_model = head_model

    @property
    def needs_crops(self) -> bool:
        """As the face model does; those that supply parameters for a head do not."""
        return self.face_model.needs_crops

    def __call__(self, faces: FaceBatch) -> Said:
        """Parameters and affect of each face, in order."""
        params: Sequence[FlameParams] = self.face_model(faces)
        return list(params), self.head(params if self._head_model is None else self._head_model(faces))
