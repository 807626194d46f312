"""The line of text above a face: who it is, and what was read off it."""

import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.spec import Affect
from stream.demo.style import BOX, PANEL
from stream.frame import Pixels

FONT_SIZE = 13
"""Of a picture 520 pixels high at most; it grows with higher ones."""
_OUTLINE = 2


def describe_face(track: int, affect: Affect) -> str:
    """`face 1   V +0.32   A -0.10`."""
    return f"face {track}   V {affect.valence:+.2f}   A {affect.arousal:+.2f}"


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, at `size` pixels."""
    return ImageFont.load_default(size)


def draw_label(picture: Pixels, left: float, bottom: float, text: str) -> None:
    """Write `text` into a picture [H, W, 3], starting at `left` and ending above `bottom`, moved to stay inside."""
    height, width = picture.shape[:2]
    letters = font(max(FONT_SIZE, height // 40))
    x0, y0, x1, y1 = letters.getbbox(text, stroke_width=_OUTLINE)
    room = (math.ceil(x1 - x0), math.ceil(y1 - y0))
    x = int(max(0, min(left, width - room[0])))
    y = int(max(0, min(bottom - room[1], height - room[1])))
    part = picture[y : y + room[1], x : x + room[0]]  # only these pixels are copied to and from Pillow
    image = Image.fromarray(part)
    ImageDraw.Draw(image).text((-x0, -y0), text, fill=BOX, font=letters, stroke_width=_OUTLINE, stroke_fill=PANEL)
    part[:] = np.asarray(image)
