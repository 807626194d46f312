"""EmotiEffLib's EfficientNet-B0 for emotions and valence-arousal (Savchenko, 2022): its enet_b0_8_va_mtl.

    pixels [B, 3, 224, 224] ─ EfficientNet-B0 ─ mean ─ F_2D [B, 1280] ─ linear ─ 8 logits, valence, arousal

The backbone is timm's tf_efficientnet_b0 and pads as TensorFlow does; it was trained on VGGFace2 and AffectNet. Logits
are in alphabetical order. Code and weights are published under Apache-2.0; AffectNet itself is for research only.
"""

import pickle
from pathlib import Path
from typing import Any, cast

import timm
from torch import Tensor, nn

from models.affect_outputs import OutputLayout
from models.checkpoint import load_strict
from models.emotion import EMOTIEFF
from models.errors import CheckpointError
from models.picture_network import PictureNetwork

SIDE, WIDTH = 224, 1280

CONVERT = (
    "to convert it where it is trusted and timm 0.9 installed: torch.save(torch.load('enet_b0_8_va_mtl.pt', "
    "map_location='cpu', weights_only=False).state_dict(), 'enet_b0_8_va_mtl_state.pt')"
)


class Emotieff(PictureNetwork):
    """EmotiEffLib's network on crops."""

    def __init__(self) -> None:
        layout = OutputLayout(EMOTIEFF, "valence-arousal")
        net = timm.create_model("tf_efficientnet_b0", pretrained=False, num_classes=layout.size)
        super().__init__(net, side=SIDE, width=WIDTH, layout=layout)

    @property
    def last(self) -> nn.Module:
        """The layer from features to outputs."""
        return cast("nn.Module", self.net.classifier)

    def embed(self, pixels: Tensor) -> Tensor:
        """F_2D [B, 1280] of normalised pixels [B, 3, 224, 224]."""
        net: Any = self.net
        features: Tensor = net.forward_head(net.forward_features(pixels), pre_logits=True)
        return features


def load_emotieff(network: Emotieff, path: Path) -> None:
    """Fill the network from a state dict of EmotiEffLib's network, or from one of our trainings' `net`.

    The published .pt is a pickled module, which is refused, for reading it would run code; the message says how to
    convert it. Raises CheckpointError.
    """
    try:
        load_strict(network.net, path)
    except CheckpointError as error:
        if isinstance(error.__cause__, pickle.UnpicklingError):
            raise CheckpointError(f"{error}; {CONVERT}") from error
        raise
