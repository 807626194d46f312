"""SMIRK's three encoders (arXiv 2404.04104): one face crop in, FLAME parameters out.

    crop [B, 3, 224, 224] ──┬─ MobileNetV3 small ─ mean ─ linear ─ pose 3, camera 3
                            ├─ MobileNetV3 large ─ mean ─ linear ─ shape 300
                            └─ MobileNetV3 large ─ mean ─ linear ─ expression 50, eyelids 2, jaw 3

The backbones are timm's "minimal" ones: no squeeze-excite, 3x3 kernels, ReLU, and TensorFlow's padding, which on an
even side pads strided convolutions on the right and the bottom only. Module names are upstream's, so that the
official checkpoint loads as it is.
"""

from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from models.checkpoint import load_strict
from models.engines.engine import Engine, Target
from models.export import DEFAULT, load_or_build
from models.manifest import model_hash
from models.real_faces import real_inputs
from models.spec import CROP_SIZE, FLAME_LAYOUT, Basis, FaceBatch, FlameParams

MAX_JAW_TURN = 0.2  # radians, sideways and twisting: the clamp of upstream's expression encoder

CAMERA_SCALE_START = 7.0  # a head of 0.2 m then spans 0.7 of the crop


class PoseEncoder(nn.Module):
    """Head rotation and camera; trained in SMIRK's first stage only."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, channels = backbone("tf_mobilenetv3_small_minimal_100")
        self.pose_cam_layers = nn.Sequential(nn.Linear(channels, FLAME_LAYOUT["pose"] + FLAME_LAYOUT["camera"]))
        head = _scaled(self.pose_cam_layers, 1e-3)
        nn.init.zeros_(head.weight[3])
        nn.init.constant_(head.bias[3], CAMERA_SCALE_START)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Pose [B, 3] and camera [B, 3] of crops [B, 3, 224, 224]."""
        numbers = self.pose_cam_layers(_pooled(self.encoder(crops)))
        return numbers[:, :3], numbers[:, 3:]


class ShapeEncoder(nn.Module):
    """Identity; starts at the mean face, and is trained in SMIRK's first stage only."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, channels = backbone("tf_mobilenetv3_large_minimal_100")
        self.shape_layers = nn.Sequential(nn.Linear(channels, FLAME_LAYOUT["shape"]))
        _scaled(self.shape_layers, 0.0)

    def forward(self, crops: Tensor) -> Tensor:
        """Shape [B, 300] of crops [B, 3, 224, 224]."""
        numbers: Tensor = self.shape_layers(_pooled(self.encoder(crops)))
        return numbers


class ExpressionEncoder(nn.Module):
    """Expression, eyelids and jaw; the only encoder that SMIRK's second stage trains."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, channels = backbone("tf_mobilenetv3_large_minimal_100")
        size = FLAME_LAYOUT["expression"] + FLAME_LAYOUT["eyelids"] + FLAME_LAYOUT["jaw"]
        self.expression_layers = nn.Sequential(nn.Linear(channels, size))
        _scaled(self.expression_layers, 0.1)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Expression [B, 50], eyelids [B, 2] in 0..1 and jaw [B, 3] of crops [B, 3, 224, 224]."""
        numbers = self.expression_layers(_pooled(self.encoder(crops)))
        expression, eyelids, jaw_opening, jaw_turn = torch.split(numbers, [50, 2, 1, 2], dim=1)
        jaw = torch.cat((jaw_opening.relu(), jaw_turn.clamp(-MAX_JAW_TURN, MAX_JAW_TURN)), dim=1)
        return expression, eyelids.clamp(0.0, 1.0), jaw


class SmirkEncoder(nn.Module):
    """The three encoders side by side, as one network with one output."""

    def __init__(self) -> None:
        super().__init__()
        self.pose_encoder = PoseEncoder()
        self.shape_encoder = ShapeEncoder()
        self.expression_encoder = ExpressionEncoder()

    def forward(self, crops: Tensor) -> Tensor:
        """Parameters [B, 361] in the order of FLAME_LAYOUT, for crops [B, 3, 224, 224], RGB 0..1, not normalised."""
        pose, camera = self.pose_encoder(crops)
        shape = self.shape_encoder(crops)
        expression, eyelids, jaw = self.expression_encoder(crops)
        return torch.cat((shape, expression, pose, jaw, eyelids, camera), dim=1)


def split_parameters(numbers: Tensor) -> dict[str, Tensor]:
    """Views into a SmirkEncoder's output [B, 361], by the names of FLAME_LAYOUT."""
    return dict(zip(FLAME_LAYOUT, torch.split(numbers, list(FLAME_LAYOUT.values()), dim=1), strict=True))


class SmirkFaceModel:
    """SMIRK's encoders as a face model, of either basis; see `models.face_model.FaceModel`."""

    needs_crops = True

    def __init__(self, engine: Engine, model_hash: str, *, name: str = "smirk", basis: Basis = "flame2020") -> None:
        self._engine = engine
        self.name = name
        self.basis: Basis = basis
        self.model_hash = model_hash

    def __call__(self, faces: FaceBatch) -> list[FlameParams]:
        """Parameters of each face, in order. Raises ValueError when the crops were left out."""
        if len(faces.crops) != len(faces):
            raise ValueError(f"{self.name} reads crops, but {len(faces)} faces came with {len(faces.crops)} of them")
        if len(faces) == 0:
            return []
        (numbers,) = self._engine(faces.crops)
        parts = split_parameters(torch.from_numpy(numbers))
        return [FlameParams(**{name: part[i].numpy() for name, part in parts.items()}) for i in range(len(faces))]


def open_smirk(checkpoint: Path, target: Target = DEFAULT) -> SmirkFaceModel:
    """The face model with the weights of an official checkpoint (SMIRK_em1.pt, or one of the first stage).

    The first call for a checkpoint builds its engine in some seconds. Raises CheckpointError, ParityError, EngineError.
    """
    network = SmirkEncoder().eval()
    load_strict(network, checkpoint, prefix="smirk_encoder.", ignored=("smirk_generator.",))
    return SmirkFaceModel(compile_encoders("smirk", network, target), model_hash(network))


def compile_encoders(name: str, network: nn.Module, target: Target) -> Engine:
    """An engine `name` of encoders: crops [B, 3, 224, 224] in, parameters [B, 361] out. Raises as `load_or_build`."""
    example = torch.rand(2, 3, CROP_SIZE, CROP_SIZE, generator=torch.Generator().manual_seed(0))
    return load_or_build(
        name,
        network,
        (example,),
        target,
        real_example=lambda: (real_inputs().crops,),
        parts=FLAME_LAYOUT,
    )


def backbone(name: str) -> tuple[nn.Module, int]:
    """timm's network `name`, which gives its last feature map as a list of one, and its channels; random weights."""
    network = timm.create_model(name, pretrained=False, features_only=True, out_indices=(-1,))
    return network, network.feature_info.channels()[-1]  # type: ignore[union-attr, operator]


def _pooled(features: list[Tensor]) -> Tensor:
    """Mean over the picture: [B, C] of the last feature map [B, C, 7, 7]."""
    return features[-1].mean(dim=(2, 3))


@torch.no_grad()
def _scaled(layers: nn.Sequential, factor: float) -> nn.Linear:
    """A head's only layer, its random start made smaller, so that training starts near the mean face."""
    (head,) = layers
    assert isinstance(head, nn.Linear)
    head.weight.mul_(factor)
    head.bias.mul_(factor)
    return head
