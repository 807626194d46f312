"""CAGE: MaxViT-T that tells emotions and valence-arousal (Wagner et al., ABAW at CVPR 2024, arXiv 2404.14975).

    pixels [B, 3, 224, 224] ─ MaxViT-T ─ mean ─ layer norm ─ linear 512 ─ tanh ─ F_2D [B, 512] ─ linear, no bias
                              ─ 8 logits, valence, arousal; or valence, arousal alone

The outputs are not bounded: there is no tanh after the last layer. Names are upstream's. Its weights were never
published, so a checkpoint is that of a training on AffectNet.
"""

from collections.abc import Sequence
from pathlib import Path

import torchvision
from torch import Tensor, nn

from models.affect_outputs import OutputLayout
from models.checkpoint import fill_strict, load_strict, read_tensors
from models.emotion import EMOTIONS
from models.picture_network import PictureNetwork

SIDE, WIDTH = 224, 512
DROPOUT = 0.3
"""Before the last layer of the valence-arousal network; the combined one has none."""


class Cage(PictureNetwork):
    """CAGE on crops: combined (10 outputs, 9 for AffectNet-7), or without labels for valence-arousal alone."""

    def __init__(self, *, label_order: Sequence[str] = EMOTIONS) -> None:
        layout = OutputLayout(tuple(label_order), "valence-arousal")
        net = torchvision.models.maxvit_t(weights=None)
        last = nn.Linear(WIDTH, layout.size, bias=False)
        # The first five are torchvision's own, which start as CAGE's do.
        net.classifier = nn.Sequential(
            *list(net.classifier)[:5], *((last,) if layout.labels else (nn.Dropout(DROPOUT), last))
        )
        super().__init__(net, side=SIDE, width=WIDTH, layout=layout)

    @property
    def last(self) -> nn.Module:
        """The layer from features to outputs, with its dropout."""
        classifier = self.net.classifier
        assert isinstance(classifier, nn.Sequential)
        return classifier[5:]

    @property
    def last_weight(self) -> str:
        """Name of the last layer's only tensor in a checkpoint."""
        return "classifier.5.weight" if self.layout.labels else "classifier.6.weight"

    def embed(self, pixels: Tensor) -> Tensor:
        """F_2D [B, 512], -1..1, of normalised pixels [B, 3, 224, 224]: the head up to and with its tanh."""
        net = self.net
        assert isinstance(net.stem, nn.Module)
        assert isinstance(net.blocks, nn.ModuleList)
        assert isinstance(net.classifier, nn.Sequential)
        x = net.stem(pixels)
        for block in net.blocks:
            x = block(x)
        features: Tensor = net.classifier[:5](x)
        return features


def load_cage(network: Cage, path: Path) -> None:
    """Fill the network from a checkpoint of CAGE's trainings, or from one of ours' `net`. Raises CheckpointError."""
    load_strict(network.net, path)


def load_cage_body(network: Cage, path: Path) -> None:
    """Fill all but the last layer, which Ig3D's fusion takes off its backbone's file. Raises CheckpointError."""
    tensors = read_tensors(path)
    own = {name: tensor for name, tensor in network.net.state_dict().items() if name == network.last_weight}
    fill_strict(network.net, own | tensors, path)


def load_imagenet(network: Cage, path: Path) -> None:
    """Fill stem and blocks, to start a training with, from torchvision's maxvit_t-bc5ab103.pth (IMAGENET1K_V1).

    The head is left as it is, as CAGE does. Raises CheckpointError.
    """
    stem, blocks = network.net.stem, network.net.blocks
    assert isinstance(stem, nn.Module)
    assert isinstance(blocks, nn.Module)
    load_strict(stem, path, prefix="stem.", ignored=("blocks.", "classifier."))
    load_strict(blocks, path, prefix="blocks.", ignored=("stem.", "classifier."))
