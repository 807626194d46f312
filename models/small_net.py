"""A small, quick 2D network: MobileNetV3-small (Howard et al., ICCV 2019) on crops of 112 pixels.

    pixels [B, 3, 112, 112] ─ MobileNetV3-small, minimal ─ mean ─ F_2D [B, 576] ─ linear ─ 8 logits, valence, arousal

For data sets of any size, and for people without the weights of the published networks: it is trained from a random
start on what there is. The backbone is the one that finds the head in `models.smirk`.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from models.affect_outputs import OutputLayout
from models.checkpoint import load_strict
from models.emotion import EMOTIONS
from models.picture_network import PictureNetwork
from models.smirk import backbone

SIDE, WIDTH = 112, 576


class SmallBackbone(nn.Module):
    """The network that pixels pass through, and its last layer."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.encoder, channels = backbone("tf_mobilenetv3_small_minimal_100")
        self.head = nn.Linear(channels, outputs)

    def forward(self, pixels: Tensor) -> Tensor:
        """Mean [B, 576] of the last feature map of pixels [B, 3, 112, 112]."""
        (features,) = self.encoder(pixels)
        mean: Tensor = features.mean(dim=(2, 3))
        return mean


class SmallNet(PictureNetwork):
    """The small network on crops: emotions in the order of its training's labels, and valence-arousal."""

    net: SmallBackbone

    def __init__(self, *, label_order: Sequence[str] = EMOTIONS) -> None:
        layout = OutputLayout(tuple(label_order), "valence-arousal")
        super().__init__(SmallBackbone(layout.size), side=SIDE, width=WIDTH, layout=layout)

    @property
    def last(self) -> nn.Module:
        """The layer from features to outputs."""
        return self.net.head

    def embed(self, pixels: Tensor) -> Tensor:
        """F_2D [B, 576] of normalised pixels [B, 3, 112, 112]."""
        features: Tensor = self.net(pixels)
        return features


def load_small_net(network: SmallNet, path: Path) -> None:
    """Fill the network from one of our trainings' `net`. Raises CheckpointError."""
    load_strict(network.net, path)
