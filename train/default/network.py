"""SMIRK's encoders as they are trained: unclamped, and for identity and expression with one backbone for both.

SMIRK has a large backbone for each. Trained together they learn the same features at half the cost; `divided` gives
each its own copy, which is the network of `models.smirk` and may be trained further apart.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.smirk import SmirkEncoder
from models.spec import FLAME_LAYOUT


@dataclass(frozen=True, slots=True)
class Numbers:
    """Parameters of B faces as a network says them: lids and jaw not clamped, so that every error has a gradient."""

    shape: Tensor  # [B, 300]
    expression: Tensor  # [B, 50]
    pose: Tensor  # [B, 3]
    jaw: Tensor  # [B, 3]
    eyelids: Tensor  # [B, 2]
    camera: Tensor  # [B, 3]

    @classmethod
    def of(cls, parameters: Tensor) -> "Numbers":
        """Views into parameters [B, 361] in the order of FLAME_LAYOUT."""
        return cls(*torch.split(parameters, list(FLAME_LAYOUT.values()), dim=1))


class Trainee(nn.Module):
    """The encoders under training; `smirk.shape_encoder` lends its head only."""

    def __init__(self) -> None:
        super().__init__()
        self.smirk = SmirkEncoder()

    def forward(self, pictures: Tensor) -> Numbers:
        """What pictures [B, 3, S, S], RGB 0..1, say."""
        smirk = self.smirk
        posed = smirk.pose_encoder.pose_cam_layers(_pooled(smirk.pose_encoder.encoder(pictures)))
        features = _pooled(smirk.expression_encoder.encoder(pictures))
        acted = smirk.expression_encoder.expression_layers(features)
        expression, eyelids, jaw = torch.split(acted, [50, 2, 3], dim=1)
        shape = smirk.shape_encoder.shape_layers(features)
        return Numbers(shape, expression, posed[:, :3], jaw, eyelids, posed[:, 3:])

    @torch.no_grad()
    def start_at(self, parameters: Tensor) -> None:
        """Makes every face look like `parameters` [361] at first: what is common need not be learnt."""
        mean = Numbers.of(parameters[None])
        acted = torch.cat([mean.expression, mean.eyelids, mean.jaw], dim=1)
        posed = torch.cat([mean.pose, mean.camera], dim=1)
        smirk = self.smirk
        heads = (
            smirk.expression_encoder.expression_layers,
            smirk.pose_encoder.pose_cam_layers,
            smirk.shape_encoder.shape_layers,
        )
        for (head,), values in zip(heads, (acted, posed, mean.shape), strict=True):
            assert isinstance(head, nn.Linear)
            nn.init.normal_(head.weight, std=1e-3)
            head.bias.copy_(values[0])

    def train_beyond(self, frozen: int) -> None:
        """Makes ready for a step that leaves the stem and the first `frozen` blocks of both backbones alone, if any."""
        self.train().requires_grad_(True)
        if frozen == 0:
            return
        for backbone in (self.smirk.expression_encoder.encoder, self.smirk.pose_encoder.encoder):
            blocks = list(backbone.get_submodule("blocks").children())[:frozen]
            for part in (backbone.get_submodule("conv_stem"), backbone.get_submodule("bn1"), *blocks):
                part.eval().requires_grad_(False)

    def trained(self) -> list[nn.Parameter]:
        """The parameters that take part."""
        idle = {id(parameter) for parameter in self.smirk.shape_encoder.encoder.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in idle]

    def divided(self) -> SmirkEncoder:
        """The network of `models.smirk`: each encoder with a backbone of its own."""
        self.smirk.shape_encoder.encoder.load_state_dict(self.smirk.expression_encoder.encoder.state_dict())
        return self.smirk


def camera_error(found: Tensor, known: Tensor) -> Tensor:
    """Errors of cameras [B, 3]: of the scale by its share, of the place by how far it moves the picture."""
    scale = known[:, :1]
    return torch.cat([(found[:, :1] - scale) / scale, (found[:, 1:] - known[:, 1:]) * scale], dim=1)


def _pooled(features: list[Tensor]) -> Tensor:
    return features[-1].mean(dim=(2, 3))
