"""DDAMFN: a dual-direction attention mixed feature network (Zhang et al., Electronics 12(17), 2023).

    pixels [B, 3, 112, 112] ─ MixedFeatureNet ─ x [B, 512, 7, 7] ─┬─ attention heads, elementwise max ─┐
                                                                  └───────────────── times ────────────┘
                              ─ depthwise 7x7 ─ F_2D [B, 512] ─ linear ─ logits

The backbone is MobileFaceNet's, its depthwise convolutions mixed over kernels of 3 to 9. Names are upstream's, so that
its checkpoints load as they are, and so are the parts that its files hold and its code never applies: they are here
for the names' sake, and no gradient is asked of them. Upstream states no licence for its weights.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.affect_outputs import OutputLayout
from models.checkpoint import fill_strict, load_strict, read_tensors
from models.emotion import EMOTIONS
from models.picture_network import PictureNetwork

SIDE, WIDTH, MAP = 112, 512, 7
NESTED = "model_state_dict"
"""Where upstream's trainings keep their tensors."""
STAGES = ("conv1", "conv2_dw", "conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5", "conv_6_sep")
"""What MixedFeatureNet by itself calls `features.0` to `features.8`."""
DROPPED = ("conv_6_dw.", "linear.", "bn.")
"""Its last layers, which tell people apart and which DDAMFN leaves out."""


class AxisGates(nn.Module):
    """The middle of coordinate attention (Hou et al., CVPR 2021): a gate for each row and one for each column."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, channels // 32)
        self.conv1, self.bn1 = nn.Conv2d(channels, squeezed, 1), nn.BatchNorm2d(squeezed)
        self.conv2 = nn.Conv2d(squeezed, channels, 1)
        self.conv3 = nn.Conv2d(squeezed, channels, 1)

    def gates(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Gates 0..1 of rows [B, C, H, 1] and columns [B, C, 1, W], in the same shapes."""
        both = torch.cat([rows, columns.transpose(2, 3)], dim=2)
        squeezed = F.hardswish(self.bn1(self.conv1(both)))
        of_rows, of_columns = torch.split(squeezed, [rows.shape[2], columns.shape[3]], dim=2)
        return self.conv2(of_rows).sigmoid(), self.conv3(of_columns.transpose(2, 3)).sigmoid()


class CoordinateAttention(AxisGates):
    """Inside a block: a map gated by the means of its rows and columns."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] of [B, C, H, W]."""
        of_rows, of_columns = self.gates(x.mean(dim=3, keepdim=True), x.mean(dim=2, keepdim=True))
        return x * of_columns * of_rows


class DirectionAttention(AxisGates):
    """An attention head: rows and columns are summed up by depthwise convolutions, and only the gates are given."""

    def __init__(self) -> None:
        super().__init__(WIDTH)
        self.Linear_h = _conv(WIDTH, WIDTH, (1, MAP), groups=WIDTH)
        self.Linear_w = _conv(WIDTH, WIDTH, (MAP, 1), groups=WIDTH)
        self.Linear = _idle(_conv(WIDTH, WIDTH, (MAP, MAP), groups=WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Attention [B, 512, 7, 7], 0..1, of a map [B, 512, 7, 7]."""
        of_rows, of_columns = self.gates(self.Linear_h(x), self.Linear_w(x))
        return of_columns * of_rows


class MixedDepthwise(nn.Module):
    """Depthwise convolutions, each kernel size on its share of the channels (MixConv: Tan and Le, BMVC 2019)."""

    def __init__(self, kernels: Sequence[int], shares: Sequence[int], stride: int) -> None:
        super().__init__()
        self.shares = list(shares)
        self.mixed_depthwise_conv = nn.ModuleList(
            nn.Conv2d(share, share, kernel, stride, kernel // 2, groups=share, bias=False)
            for kernel, share in zip(kernels, shares, strict=True)
        )
        self.bn = _idle(nn.BatchNorm2d(sum(shares)))
        self.prelu = _idle(nn.PReLU(sum(shares)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H / stride, W / stride] of [B, C, H, W]; neither normalised nor bent, as published."""
        parts = torch.split(x, self.shares, dim=1)
        return torch.cat([conv(part) for conv, part in zip(self.mixed_depthwise_conv, parts, strict=True)], dim=1)


class MixedBlock(nn.Module):
    """An inverted residual: widen, mixed depthwise, attention, narrow. Of stride 1, its input is added."""

    def __init__(
        self, inputs: int, outputs: int, kernels: Sequence[int], shares: Sequence[int], stride: int = 1
    ) -> None:
        super().__init__()
        wide = sum(shares)
        self.residual = stride == 1
        self.conv = _conv(inputs, wide, (1, 1), bent=True)
        self.conv_dw = MixedDepthwise(kernels, shares, stride)
        self.CA = CoordinateAttention(wide)
        self.project = _conv(wide, outputs, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, outputs, H / stride, W / stride] of [B, inputs, H, W]."""
        narrow: Tensor = self.project(self.CA(self.conv_dw(self.conv(x))))
        return x + narrow if self.residual else narrow


class AttentionHead(nn.Module):
    """One of the heads, under the name that upstream's files give it."""

    def __init__(self) -> None:
        super().__init__()
        self.CoordAtt = DirectionAttention()

    def forward(self, x: Tensor) -> Tensor:
        """Attention [B, 512, 7, 7], 0..1, of a map [B, 512, 7, 7]."""
        attention: Tensor = self.CoordAtt(x)
        return attention


class DdamfnNet(nn.Module):
    """The network as published."""

    def __init__(self, classes: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.features = nn.Sequential(
            _conv(3, 64, (3, 3), stride=2, padding=1, bent=True),
            _conv(64, 64, (3, 3), padding=1, groups=64, bent=True),
            MixedBlock(64, 64, (3, 5, 7), (64, 32, 32), stride=2),
            _stack(9, 64, (3, 5), (96, 32)),
            MixedBlock(64, 128, (3, 5, 7), (128, 64, 64), stride=2),
            _stack(16, 128, (3, 5), (192, 64)),
            MixedBlock(128, 256, (3, 5, 7, 9), (256, 256, 256, 256), stride=2),
            _stack(6, 256, (3, 5, 7), (172, 170, 170)),
            _conv(256, WIDTH, (1, 1), bent=True),
        )
        for index in range(heads):
            self.add_module(f"cat_head{index}", AttentionHead())
        self.Linear = _conv(WIDTH, WIDTH, (MAP, MAP), groups=WIDTH)
        self.fc = nn.Linear(WIDTH, classes)
        self.bn = _idle(nn.BatchNorm1d(classes))

    def attend(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """F_2D [B, 512] of normalised pixels [B, 3, 112, 112], and each head's attention [B, 512, 7, 7], 0..1."""
        x = self.features(pixels)
        maps = [self.get_submodule(f"cat_head{index}")(x) for index in range(self.heads)]
        attention = maps[0]
        for other in maps[1:]:
            attention = torch.maximum(attention, other)
        return self.Linear(x * attention).flatten(1), maps


class Ddamfn(PictureNetwork):
    """DDAMFN on crops, 2 heads in every published checkpoint; `label_order` is the order of its training's labels.

    Published ones follow AffectNet's order, those for RAF-DB and AffectNet-7 its first seven: EMOTIONS[:7].
    """

    net: DdamfnNet

    def __init__(self, *, heads: int = 2, label_order: Sequence[str] = EMOTIONS) -> None:
        layout = OutputLayout(tuple(label_order))
        super().__init__(DdamfnNet(layout.size, heads), side=SIDE, width=WIDTH, layout=layout)

    @property
    def last(self) -> nn.Module:
        """The layer from features to logits."""
        return self.net.fc

    def embed(self, pixels: Tensor) -> Tensor:
        """F_2D [B, 512] of normalised pixels [B, 3, 112, 112]."""
        return self.net.attend(pixels)[0]

    def attend(self, crops: Tensor) -> tuple[Tensor, list[Tensor]]:
        """F_2D [B, 512] of crops [B, 3, H, W], RGB 0..1, and each head's attention [B, 512, 7, 7] for its loss."""
        return self.net.attend(self.pixels(crops))


def load_ddamfn(network: Ddamfn, path: Path) -> None:
    """Fill the network from a published checkpoint, or from one of our trainings' `net`. Raises CheckpointError."""
    load_strict(network.net, path, nested=NESTED)


def load_mixed_feature_net(network: Ddamfn, path: Path) -> None:
    """Fill the backbone alone from the state dict of a MixedFeatureNet (MS-Celeb-1M), to start a training with.

    Upstream's MFN_msceleb.pth is a pickled module, which is refused, for reading it would run code: save its
    state_dict first. Raises CheckpointError.
    """
    stages = {name: str(index) for index, name in enumerate(STAGES)}
    tensors: dict[str, Tensor] = {}
    for name, tensor in read_tensors(path).items():
        stage, dot, rest = name.partition(".")
        tensors[stages.get(stage, stage) + dot + rest] = tensor
    fill_strict(network.net.features, tensors, path, ignored=DROPPED)


def _conv(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    bent: bool = False,
) -> nn.Sequential:
    """A convolution without bias, batch norm, and where `bent` a PReLU."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False), bn=nn.BatchNorm2d(outputs)
    )
    if bent:
        layers["prelu"] = nn.PReLU(outputs)
    return nn.Sequential(layers)


def _stack(count: int, channels: int, kernels: Sequence[int], shares: Sequence[int]) -> nn.Sequential:
    blocks = nn.Sequential(*(MixedBlock(channels, channels, kernels, shares) for _ in range(count)))
    return nn.Sequential(OrderedDict(model=blocks))


def _idle(module: nn.Module) -> nn.Module:
    """A part that upstream's files hold and its code never applies."""
    return module.requires_grad_(False)
