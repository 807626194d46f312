"""An Ig3D network as a whole: pictures, 3D parameters, or both (arXiv 2408.16907, section 3), and its file.

    2d             crops ─ picture network ──────────────────────────────┐
    3d             vector ─ standardised ─ 4 x 2048 ─────────────────────┤
    late           both of these, weighed ───────────────────────────────┼─ 8 probabilities, valence, arousal
    intermediate   picture network's features and vector ─ fusion head ──┘

A head file is a .safetensors with the design as JSON beside the tensors; nothing in it is run.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from models.affect_network import AffectOutput
from models.affect_outputs import OutputLayout
from models.cage import Cage
from models.ddamfn import Ddamfn
from models.emotieff import Emotieff
from models.emotion import EMOTIONS
from models.errors import CheckpointError
from models.face_mlp import FaceMlp
from models.fusion import DdamfnFusion, FusionHead, IntermediateFusion, MaxVitFusion, fuse, fuse_classes
from models.heads import CIRCUMPLEX
from models.picture_network import PictureNetwork
from models.representation import REPRESENTATIONS, Name
from models.small_net import SmallNet
from models.spec import Basis

Kind = Literal["2d", "3d", "late", "intermediate"]
Backbone = Literal["small", "ddamfn", "maxvit", "efficientnet"]
KEY, FORMAT = "flamestream-head", 1
OUTPUTS = 2 + len(EMOTIONS)
"""Valence, arousal, and a probability for each of EMOTIONS."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How a late fusion weighs its branches: the 2D one's shares, 0..1, found on a validation split."""

    affect: float = 0.5
    emotions: float = 0.5
    temperatures: tuple[float, float] = (1.0, 1.0)
    """Of the 2D and the 3D branch's logits, before softmax: uncalibrated ones are not comparable."""


@dataclass(frozen=True, slots=True)
class Design:
    """Everything about a network but its weights."""

    kind: Kind
    backbone: Backbone | None = None
    representation: Name | None = None
    labels: tuple[str, ...] = EMOTIONS
    """The emotions it tells, in order: all 8, or AffectNet-7's first seven."""
    shares: Shares = Shares()
    encoder: str = ""
    """What made the vectors it was trained on: name, hash and basis of the face model; empty without vectors."""
    encoder_hash: str = ""
    basis: Basis = "open"

    def __post_init__(self) -> None:
        """Raises ValueError for parts that do not go together."""
        if (self.backbone is None) != (self.kind == "3d") or (self.representation is None) != (self.kind == "2d"):
            raise ValueError(f"a network of kind {self.kind} with backbone {self.backbone} and {self.representation}")
        if self.backbone == "efficientnet" and len(self.labels) != len(EMOTIONS):
            raise ValueError(f"backbone efficientnet tells {len(EMOTIONS)} emotions, not {len(self.labels)}")


class Ig3dNetwork(nn.Module):
    """A network of any kind; `branches` gives what training looks at, `forward` what a run publishes."""

    mean: Tensor
    deviation: Tensor
    places: Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        size = 0 if design.representation is None else REPRESENTATIONS[design.representation].size
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))
        circumplex = [CIRCUMPLEX.get(emotion, (0.0, 0.0)) for emotion in EMOTIONS]
        self.register_buffer("places", torch.tensor(circumplex), persistent=False)
        layout = OutputLayout(design.labels, "valence-arousal")
        self.picture = None if design.backbone is None else picture_network(design.backbone, design.labels)
        self.face = FaceMlp(size, layout) if design.kind in ("3d", "late") else None
        self.fusion: IntermediateFusion | None = None
        if design.kind == "intermediate":
            assert self.picture is not None
            self.fusion = IntermediateFusion(self.picture, fusion_head(design, self.picture.width, size, layout))

    def branches(self, crops: Tensor, vectors: Tensor) -> list[AffectOutput]:
        """What each branch says of crops [B, 3, H, W], RGB 0..1, and vectors [B, D]: 2D first, one where they are one.

        Logits [B, C] are in the order of the design's labels.
        """
        if self.design.representation is None:
            assert self.picture is not None
            return [self.picture(crops)]
        standard = (vectors - self.mean) / self.deviation
        if self.fusion is not None:
            return [self.fusion(crops, standard)]
        assert self.face is not None
        return [self.face(standard)] if self.picture is None else [self.picture(crops), self.face(standard)]

    def forward(self, crops: Tensor, vectors: Tensor) -> Tensor:
        """Numbers [B, 10] of B faces: valence and arousal, -1..1, then a probability for each of EMOTIONS."""
        said, shares = self.branches(crops, vectors), self.design.shares
        affects = [branch.affect for branch in said if branch.affect is not None]
        logits = [branch.logits for branch in said if branch.logits is not None]
        chance, affect = logits[0].softmax(dim=1), affects[0] if affects else None
        if len(logits) == 2:
            # Probabilities are fused, not logits: whichever network's logits are larger would have the say.
            first, second = logits
            chance = fuse_classes(
                "weighted", first, second, shares.emotions, of="probabilities", temperatures=shares.temperatures
            )
        if len(affects) == 2:
            affect = fuse("weighted", affects[0], affects[1], shares.affect)
        chance = torch.nn.functional.pad(chance, (0, len(EMOTIONS) - chance.shape[1]))
        # DDAMFN tells emotions only: where people place them says the rest.
        affect = chance @ self.places if affect is None else affect
        return torch.cat([affect.clamp(-1, 1), chance], dim=1)

    @torch.no_grad()
    def standardise(self, vectors: Tensor) -> None:
        """Takes mean and deviation of training vectors [N, D]; upstream feeds coefficients as they are."""
        self.mean.copy_(vectors.mean(0))
        deviation = vectors.std(0)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def extra_repr(self) -> str:
        """Settings that decide the result: a cached engine is told apart by them."""
        return f"design={self.design}"


def picture_network(backbone: Backbone, labels: tuple[str, ...]) -> PictureNetwork:
    """A 2D network with random weights. DDAMFN tells emotions only; EmotiEffLib's always tells all eight."""
    match backbone:
        case "small":
            return SmallNet(label_order=labels)
        case "ddamfn":
            return Ddamfn(label_order=labels)
        case "maxvit":
            return Cage(label_order=labels)
        case "efficientnet":
            return Emotieff()


def fusion_head(design: Design, width: int, size: int, layout: OutputLayout) -> FusionHead:
    """The head of an intermediate fusion: that of the published backbone, else the classifiers'."""
    head = MaxVitFusion if design.backbone == "maxvit" else DdamfnFusion
    return head(size, layout, feature_size=width)


def write_head(network: Ig3dNetwork, path: Path) -> None:
    """Writes a head file, whole or not at all. Raises CheckpointError."""
    draft = path.with_name(f"{path.name}.draft")
    tensors = {name: tensor.contiguous().clone() for name, tensor in _state(network).items()}
    about = json.dumps({"format": FORMAT, **asdict(network.design)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(tensors, draft, {KEY: about})
        draft.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error}); free the disk or give another file") from error


def read_head(path: Path) -> Ig3dNetwork:
    """The network of a head file, in evaluation mode. Raises CheckpointError."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- it is no dictionary
        network = Ig3dNetwork(_design(about))
        strays = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
        if strays:
            raise CheckpointError(f"{path}: {strays[0]} holds NaN or infinity; train it again")
        missing = _state(network).keys() ^ tensors.keys()
        if missing:
            raise ValueError(f"{len(missing)} tensors too many or too few, {sorted(missing)[0]} among them")
        network.load_state_dict(tensors, strict=False)
    except OSError as error:
        raise CheckpointError(f"cannot read head {path} ({error}); check the path") from error
    except (safetensors.SafetensorError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: no head file ({error}); make one with `flamestream-train ig3d`") from error
    return network.eval()


def _design(about: dict[str, Any]) -> Design:
    """Raises LookupError, TypeError or ValueError for what is none."""
    about = dict(about)
    if about.pop("format") != FORMAT:
        raise ValueError(f"format {about.get('format')}, expected {FORMAT}")
    shares = about.pop("shares")
    shares["temperatures"] = tuple(shares["temperatures"])
    labels = tuple(about.pop("labels"))
    return Design(**about, labels=labels, shares=Shares(**shares))


def _state(network: Ig3dNetwork) -> dict[str, Tensor]:
    """Each tensor once: in an intermediate fusion the picture network is a part of the fusion too."""
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("fusion.backbone.")}
