"""What every network has in common that reads affect off a face's pixels: crops in, features between, affect out.

Each holds the published network as it is in `net`, so that a published checkpoint fits it name by name; pixels are
brought to that network's size and scale before, and its outputs into one order after.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.affect_network import AffectOutput
from models.affect_outputs import OutputLayout

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of the red, green and blue of ImageNet's pictures, 0..1: what all of these networks were trained with."""


class ImageNetPixels(nn.Module):
    """Crops resized to a side in pixels, then less ImageNet's mean and over its deviation."""

    mean: Tensor  # [3, 1, 1]
    std: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        # Not persistent: the tensors of a checkpoint stay upstream's.
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """Pixels [B, 3, side, side] of crops [B, 3, H, W], RGB 0..1.

        Bilinear without anti-aliasing, as everywhere here: from 224 to 112 that is the mean of each 2x2. Pillow, with
        which upstream shrinks whole pictures, looks two pixels further when it halves.
        """
        if tuple(crops.shape[-2:]) != (self.side, self.side):
            crops = F.interpolate(crops, (self.side, self.side), mode="bilinear", align_corners=False, antialias=False)
        return (crops - self.mean) / self.std

    def extra_repr(self) -> str:
        """Settings that decide the result: a cached engine is told apart by them."""
        return f"side={self.side}"


class PictureNetwork(nn.Module, ABC):
    """A 2D network: `features` for fusion, `forward` for what it says by itself."""

    def __init__(self, net: nn.Module, *, side: int, width: int, layout: OutputLayout) -> None:
        super().__init__()
        self.pixels = ImageNetPixels(side)
        self.net = net
        """The network as it is published; a checkpoint fills this."""
        self.width = width
        """Length of the features."""
        self.layout = layout

    @property
    @abstractmethod
    def last(self) -> nn.Module:
        """The layer from features to outputs; fusion replaces it."""

    @abstractmethod
    def embed(self, pixels: Tensor) -> Tensor:
        """Features [B, width] of pixels as the published network wants them."""

    def features(self, crops: Tensor) -> Tensor:
        """F_2D, [B, width], of crops [B, 3, H, W], RGB 0..1."""
        return self.embed(self.pixels(crops))

    def read(self, features: Tensor) -> AffectOutput:
        """What features [B, width] say."""
        return self.layout.read(self.last(features))

    def forward(self, crops: Tensor) -> AffectOutput:
        """What crops [B, 3, H, W], RGB 0..1, say; logits in the order of `layout.emotions`."""
        return self.read(self.features(crops))

    def extra_repr(self) -> str:
        """Settings that decide the result: a cached engine is told apart by them."""
        return f"layout={self.layout}"
