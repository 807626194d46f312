"""How a picture must be turned and mirrored to be shown upright, and that done to arrays and tensors."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

from stream.frame import Pixels

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Turn:
    """Rows and columns exchanged, then each axis mirrored or not: every quarter turn and mirror is one of these."""

    exchange: bool = False
    mirror_y: bool = False
    mirror_x: bool = False

    def __bool__(self) -> bool:
        return self.exchange or self.mirror_y or self.mirror_x

    def array(self, rgb: Pixels) -> Pixels:
        """[H, W, 3] to [H, W, 3] or [W, H, 3], contiguous."""
        if not self:
            return rgb
        turned = rgb.transpose(1, 0, 2) if self.exchange else rgb
        turned = turned[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]
        upright = np.empty(turned.shape, np.uint8)
        for channel in range(3):  # five times faster than one copy of the three together
            upright[..., channel] = turned[..., channel]
        return upright

    def tensor(self, rgb: "torch.Tensor") -> "torch.Tensor":
        """The same for a tensor on any device."""
        if not self:
            return rgb
        turned = rgb.transpose(0, 1) if self.exchange else rgb
        axes = [axis for axis, mirrored in enumerate((self.mirror_y, self.mirror_x)) if mirrored]
        return (turned.flip(axes) if axes else turned).contiguous()


def turn_of(picture: VideoFrame) -> Turn:
    """What the picture's display matrix asks for, to the nearest quarter turn."""
    a, b, c, d = _display_matrix(picture)
    exchange = abs(b) + abs(c) > abs(a) + abs(d)
    mirror_x, mirror_y = (c < 0, b < 0) if exchange else (a < 0, d < 0)
    return Turn(exchange, mirror_y, mirror_x)


def _display_matrix(picture: VideoFrame) -> tuple[float, float, float, float]:
    """a, b, c, d of the shown point x' = a x + c y, y' = b x + d y, with y downwards."""
    try:
        side_data = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV 18.1 lists no side data at all when it does not know one kind (EXIF); a mirror is then not seen.
        turn = math.radians(-picture.rotation)
        return math.cos(turn), math.sin(turn), -math.sin(turn), math.cos(turn)
    if not isinstance(side_data, SideData):
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].tolist()
    return a, b, c, d
