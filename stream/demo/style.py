"""Colours that the video and the plot share."""

Colour = tuple[int, int, int]

VALENCE: Colour = (46, 160, 67)
AROUSAL: Colour = (230, 120, 30)
BOX: Colour = (255, 255, 255)
LANDMARK: Colour = (90, 220, 255)
PANEL: Colour = (18, 20, 24)
GRID: Colour = (70, 74, 82)
TEXT: Colour = (235, 235, 235)


def mpl(colour: Colour) -> tuple[float, float, float]:
    """The colour as matplotlib wants it: 0..1."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
