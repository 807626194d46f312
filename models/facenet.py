"""Encoders, 2D backbone and heads as the one network that is compiled: a face's crop in, everything published out.

crop [B, 3, 224, 224] ─┬─ SMIRK's encoders ─ parameters 361 ─┬──────────────── parameters 361
                       │                                     └─ vector ─┐
                       └────────────────────────────────────────────────┴─ Ig3D ─ valence, arousal, 8 probabilities
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import load_strict
from models.engines.engine import Engine, Target
from models.errors import CheckpointError
from models.export import DEFAULT, load_or_build
from models.face_reader import Said
from models.ig3d import OUTPUTS, Ig3dNetwork, read_head
from models.manifest import model_hash
from models.open_smirk import WEIGHTS, read_open_smirk
from models.real_faces import real_inputs
from models.representation import REPRESENTATIONS
from models.smirk import SmirkEncoder, split_parameters
from models.spec import CROP_SIZE, FLAME_LAYOUT, Affect, Basis, FaceBatch, FlameParams

PARTS = FLAME_LAYOUT | {"affect": 2, "emotions": OUTPUTS - 2}
"""What the network's outputs are, in order."""


class FaceNet(nn.Module):
    """The encoders, and an Ig3D network that reads their parameters, the crop, or both."""

    def __init__(self, encoders: nn.Module, head: Ig3dNetwork) -> None:
        """`encoders`: crops [B, 3, 224, 224] to parameters [B, 361]. Raises ValueError for what they do not give."""
        super().__init__()
        representation = head.design.representation
        self.parts = [] if representation is None else list(REPRESENTATIONS[representation].parts.items())
        missing = [part for part, size in self.parts if FLAME_LAYOUT.get(part) != size]
        if missing:
            raise ValueError(f"a head of {representation} reads {missing[0]}, which SMIRK's encoders do not give")
        self.encoders, self.head = encoders, head

    def forward(self, crops: Tensor) -> Tensor:
        """Numbers [B, 371] in the order of PARTS, for crops [B, 3, 224, 224], RGB 0..1."""
        parameters = self.encoders(crops)
        named = split_parameters(parameters)
        vectors = torch.cat([named[part] for part, _ in self.parts], dim=1) if self.parts else parameters[:, :0]
        return torch.cat([parameters, self.head(crops, vectors)], dim=1)


@dataclass(frozen=True, slots=True)
class Named:
    """Where values come from; see `models.face_reader.Origin`."""

    name: str
    basis: Basis
    model_hash: str


class FaceNetReader:
    """Parameters and affect of faces by one engine; see `models.face_reader.FaceReader`."""

    needs_crops = True

    def __init__(self, engine: Engine, face_model: Named, head: Named) -> None:
        self._engine = engine
        self.face_model = face_model
        self.head = head

    def __call__(self, faces: FaceBatch) -> Said:
        """Parameters and affect of each face, in order. Raises ValueError when the crops were left out."""
        if len(faces.crops) != len(faces):
            raise ValueError(f"facenet reads crops, but {len(faces)} faces came with {len(faces.crops)} of them")
        if len(faces) == 0:
            return [], []
        (numbers,) = self._engine(faces.crops)
        parts = torch.split(torch.from_numpy(numbers), list(PARTS.values()), dim=1)
        named = {name: part.numpy() for name, part in zip(PARTS, parts, strict=True)}
        params = [FlameParams(**{name: named[name][i] for name in FLAME_LAYOUT}) for i in range(len(faces))]
        pairs = zip(named["affect"].tolist(), named["emotions"].tolist(), strict=True)
        return params, [Affect(valence, arousal, tuple(chances)) for (valence, arousal), chances in pairs]


def open_facenet(face_model: str, checkpoint: Path | None, head_file: Path, target: Target = DEFAULT) -> FaceNetReader:
    """The reader of `face_model`, smirk-open or smirk, with the head of a file.

    `checkpoint`: the encoders' weights; None: those that come with flamestream. The first call for some weights builds
    their engine. Raises CheckpointError, also for a head that was trained on other encoders; ParityError, EngineError.
    """
    encoders, basis = _encoders(face_model, checkpoint)
    encoders_hash, head = model_hash(encoders), read_head(head_file)
    _check(head, face_model, encoders_hash, basis, head_file)
    network = FaceNet(encoders, head).eval()
    example = torch.rand(2, 3, CROP_SIZE, CROP_SIZE, generator=torch.Generator().manual_seed(0))
    engine = load_or_build(
        f"facenet-{face_model}",
        network,
        (example,),
        target,
        real_example=lambda: (real_inputs().crops,),
        parts=PARTS,
    )
    name = f"ig3d-{head.design.kind}"
    return FaceNetReader(engine, Named(face_model, basis, encoders_hash), Named(name, basis, model_hash(head)))


def _encoders(face_model: str, checkpoint: Path | None) -> tuple[nn.Module, Basis]:
    if face_model == "smirk-open":
        return read_open_smirk(checkpoint or WEIGHTS), "open"
    if checkpoint is None:
        raise CheckpointError("face model smirk needs weights: --checkpoint FILE (SMIRK_em1.pt)")
    encoders = SmirkEncoder().eval()
    load_strict(encoders, checkpoint, prefix="smirk_encoder.", ignored=("smirk_generator.",))
    return encoders, "flame2020"


def _check(head: Ig3dNetwork, face_model: str, encoders_hash: str, basis: Basis, path: Path) -> None:
    """Refuses a head whose vectors came of other encoders: their numbers mean something else."""
    design = head.design
    if design.representation is None:
        return
    if design.encoder_hash != encoders_hash or design.basis != basis:
        raise CheckpointError(
            f"{path}: trained on vectors of {design.encoder or 'no named encoder'} {design.encoder_hash}, but "
            f"{face_model}'s weights here are {encoders_hash}; give that encoder's --checkpoint, or train the head anew"
        )
