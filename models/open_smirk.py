"""SMIRK's encoders on the open head: the weights that come with flamestream, see models/weights/README.md."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.checkpoint import load_strict
from models.engines.engine import Target
from models.export import DEFAULT
from models.manifest import model_hash
from models.smirk import SmirkEncoder, SmirkFaceModel, compile_encoders
from models.spec import FLAME_LAYOUT

WEIGHTS = Path(__file__).with_name("weights") / "smirk_open.safetensors"
"""float16, names as SmirkEncoder has them."""
SHRINK = 2
"""The encoders' pictures are so many times smaller than crops, pixels averaged: faces of cameras are seldom larger."""
_SHAPE, _EXPRESSION = FLAME_LAYOUT["shape"], FLAME_LAYOUT["expression"]


class OpenSmirk(nn.Module):
    """The encoders as they were trained: they see the crop at half its size, in a quarter of the time.

    Actions are kept in 0..1: SMIRK does not bound FLAME's coefficients, but actions have ends.
    """

    def __init__(self, encoders: SmirkEncoder) -> None:
        super().__init__()
        self.encoders = encoders

    def forward(self, crops: Tensor) -> Tensor:
        """Parameters [B, 361] in the order of FLAME_LAYOUT, for crops [B, 3, 224, 224], RGB 0..1, not normalised."""
        numbers = self.encoders(F.avg_pool2d(crops, SHRINK))
        rest = numbers.shape[1] - _SHAPE - _EXPRESSION
        shape, expression, others = torch.split(numbers, [_SHAPE, _EXPRESSION, rest], dim=1)
        return torch.cat((shape, expression.clamp(0.0, 1.0), others), dim=1)


def read_open_smirk(weights: Path = WEIGHTS) -> OpenSmirk:
    """The network with the weights of a file, eager, in evaluation mode. Raises CheckpointError."""
    encoders = SmirkEncoder()
    load_strict(encoders, weights, halved=True)
    return OpenSmirk(encoders).eval()


def open_open_smirk(weights: Path = WEIGHTS, target: Target = DEFAULT) -> SmirkFaceModel:
    """The face model `smirk-open`. The first call for some weights builds their engine in some seconds.

    Raises CheckpointError, ParityError, EngineError.
    """
    network = read_open_smirk(weights)
    engine = compile_encoders("smirk-open", network, target)
    return SmirkFaceModel(engine, model_hash(network), name="smirk-open", basis="open")
