"""The inside of a mouth that a reenacted face opens: two rows of teeth, a throat, now and then a tongue.

The upper teeth stay with the skull and the lower ones go with the jaw, so that lips which part over a closed jaw show
rows that meet, and what is dark between them tells how far the jaw is open.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from models.geometry import Image
from models.spec import FloatArray

TEETH, THROAT, TONGUE = (196.0, 190.0, 178.0), (70.0, 32.0, 32.0), (160.0, 92.0, 90.0)
"""Colours in bright light."""
BELOW_SEAM, OVERBITE = (-1.0, 3.0), (-0.5, 3.0)
"""Millimetres from the seam of resting lips down to the edge of the upper teeth; and that these cover of the lower."""
ARC = 0.006
"""At most so many times the square of the way from the middle, millimetres, do the edges rise towards the corners."""
HALF_ARCH = 32.0
"""Millimetres from the middle to where the last teeth are lost in the shade of the cheek."""
TOOTHLESS, TONGUE_SEEN = 0.06, 0.5
"""Shares of mouths that show no teeth, and of those that show a tongue."""


@dataclass(frozen=True, slots=True)
class Bite:
    """How a posed head bites: where the seam of its lips would be at rest, and where the jaw takes it, pixels."""

    upper: FloatArray  # [2]
    lower: FloatArray  # [2]
    down: FloatArray  # [2] of length 1: down the face
    millimetre: float  # pixels


def paint_mouth(picture: Image, share: FloatArray, bite: Bite, random: np.random.Generator) -> Image:
    """Puts the inside of a mouth into [H, W, 3] where `share` [H, W], 0..1, says, lit as the rest of the picture."""
    if share.max() <= 0.5:
        return picture
    rows, columns = np.mgrid[0 : len(picture), 0 : picture.shape[1]].astype(np.float32)
    x, y = columns - bite.upper[0], rows - bite.upper[1]
    depth = (x * bite.down[0] + y * bite.down[1]) / bite.millimetre
    aside = (x * bite.down[1] - y * bite.down[0]) / bite.millimetre
    inside = _inside(depth, aside, bite, random)
    if bool(np.abs(picture[..., 0].astype(int) - picture[..., 2]).mean() < 3):
        inside = inside.mean(axis=2, keepdims=True)
    light = float(picture.mean()) / 130
    soft = np.asarray(cv2.GaussianBlur(share.astype(np.float32), (0, 0), 0.8))[..., None]
    return np.asarray((picture * (1 - soft) + np.clip(inside * light, 0, 255) * soft).clip(0, 255), np.uint8)


def _inside(depth: FloatArray, aside: FloatArray, bite: Bite, random: np.random.Generator) -> FloatArray:
    """Colours [H, W, 3] of places so many millimetres down from the seam of the lips, and aside from the middle."""
    opening = float((bite.lower - bite.upper) @ bite.down) / bite.millimetre
    arc = random.uniform(0, ARC) * aside**2
    upper_edge = random.uniform(*BELOW_SEAM) - arc
    lower_edge = upper_edge + opening - random.uniform(*OVERBITE)
    colours = np.multiply(THROAT, random.uniform(0.3, 1.2)) * np.ones((*depth.shape, 3))

    def put(colour: tuple[float, float, float], bright: np.ndarray | float, where: np.ndarray) -> None:
        here = (where * bite.millimetre / 1.5 + 0.5).clip(0, 1)[..., None]  # an edge is 1.5 pixels wide
        shaded = np.multiply(colour, np.asarray(bright)[..., None])
        colours[:] = colours * (1 - here) + shaded * here

    if random.random() < TONGUE_SEEN:
        put(TONGUE, random.uniform(0.5, 1.1), depth - opening * random.uniform(0.4, 0.9) - 3 - 0.01 * aside**2)
    if random.random() >= TOOTHLESS:
        shade = random.uniform(0.65, 1.15) * (1 - (aside / HALF_ARCH) ** 2).clip(0.1, 1)
        put(TEETH, shade * random.uniform(0.75, 1.0), depth - lower_edge)
        put(TEETH, shade, upper_edge - depth)
    return np.asarray(colours, np.float32)
