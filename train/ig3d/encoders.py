"""The encoders that give 3D features, by name. Each is opened when it is asked for, and no other is imported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from models.engines.engine import Engine, Target
from models.geometry import crop_box
from models.representation import REPRESENTATIONS, Name, Representation
from models.spec import CROP_SCALE, CROP_SIZE, FaceBatch, FloatArray
from train.errors import TrainingError

if TYPE_CHECKING:
    from models.smirk import SmirkFaceModel


class Encoder(Protocol):
    """A network that reads 3D parameters off face crops."""

    model_hash: str
    basis: str

    def __call__(self, crops: FloatArray) -> Mapping[str, FloatArray]:
        """Parts [B, n] by the names of models.representation, of crops [B, 3, 224, 224], RGB 0..1."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """What an encoder needs and gives."""

    open: Callable[[Path | None, Name, Target], Encoder]
    """Of a checkpoint, or of the weights that come with flamestream where there are any."""
    representations: tuple[Name, ...]
    boxes: Callable[[FloatArray], FloatArray]
    """The squares [B, 3] (centre x, centre y, side) that it looks at, from MediaPipe's landmarks [B, 478, 3]."""
    crop: str
    """What `boxes` does, in words."""


class _Smirk:
    def __init__(self, model: "SmirkFaceModel") -> None:
        self._model = model
        self.model_hash, self.basis = model.model_hash, str(model.basis)

    def __call__(self, crops: FloatArray) -> dict[str, FloatArray]:
        count = len(crops)
        nothing = (np.zeros((count, size), np.float32) for size in (3, 52))
        boxes, blendshapes = nothing  # SMIRK looks at the crops alone
        faces = FaceBatch(crops, boxes, np.zeros((count, 478, 3), np.float32), blendshapes)
        found = self._model(faces)
        parts = ("pose", "shape", "expression", "eyelids", "jaw")
        return {part: np.stack([getattr(face, part) for face in found]) for part in parts}


class _Emoca:
    basis = "flame2020"

    def __init__(self, engine: Engine, model_hash: str, representation: Representation) -> None:
        self._engine, self.model_hash, self._places = engine, model_hash, representation.places

    def __call__(self, crops: FloatArray) -> dict[str, FloatArray]:
        (vectors,) = self._engine(crops)
        return {part: vectors[:, place] for part, place in self._places.items()}


def _open_smirk_open(checkpoint: Path | None, representation: Name, target: Target) -> Encoder:
    from models.open_smirk import WEIGHTS, open_open_smirk

    return _Smirk(open_open_smirk(checkpoint or WEIGHTS, target))


def _open_smirk(checkpoint: Path | None, representation: Name, target: Target) -> Encoder:
    from models.smirk import open_smirk

    if checkpoint is None:
        raise TrainingError("encoder smirk: its weights do not come with flamestream; give --checkpoint SMIRK_em1.pt")
    return _Smirk(open_smirk(checkpoint, target))


def _open_emoca(checkpoint: Path | None, representation: Name, target: Target) -> Encoder:
    import torch

    from models.emoca import EmocaEncoder, load_emoca
    from models.export import load_or_build
    from models.manifest import model_hash
    from models.real_faces import real_inputs

    if checkpoint is None:
        raise TrainingError("encoder emoca: its weights do not come with flamestream; give --checkpoint")
    network = EmocaEncoder(representation).eval()
    load_emoca(network, checkpoint)
    form = REPRESENTATIONS[representation]
    example = torch.rand(2, 3, CROP_SIZE, CROP_SIZE, generator=torch.Generator().manual_seed(0))
    engine = load_or_build(
        "emoca", network, (example,), target, real_example=lambda: (real_inputs().crops,), parts=form.parts
    )
    return _Emoca(engine, model_hash(network), form)


def _emoca_boxes(landmarks: FloatArray) -> FloatArray:
    from models.emoca import emoca_boxes

    return emoca_boxes(landmarks)


_SMIRK_CROP = f"a square of {CROP_SCALE:g} times the mean side of the largest face's landmarks"
_EMOCA_CROP = "a square of 1.25 * 1.1 times the mean side of the largest face's 68 landmarks"
ENCODERS: dict[str, Kind] = {
    "smirk-open": Kind(_open_smirk_open, ("smirk-full", "smirk-short"), crop_box, _SMIRK_CROP),
    "smirk": Kind(_open_smirk, ("smirk-full", "smirk-short"), crop_box, _SMIRK_CROP),
    "emoca": Kind(_open_emoca, ("emoca-full", "emoca-short"), _emoca_boxes, _EMOCA_CROP),
}


def kind_of(encoder: str, representation: str) -> tuple[Kind, Name]:
    """The kind of an encoder and the representation, by their names. Raises TrainingError for what is not there."""
    kind = ENCODERS.get(encoder)
    if kind is None:
        raise TrainingError(f"encoder {encoder}: expected one of {', '.join(ENCODERS)}")
    for name in kind.representations:
        if name == representation:
            return kind, name
    raise TrainingError(
        f"representation {representation}: encoder {encoder} gives {' and '.join(kind.representations)}"
    )
