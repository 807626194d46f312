"""What is in front of a face: glasses, hands, bars, microphones, strands of hair, other things."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from models.spec import FloatArray
from train.synthetic.look import SKIN_TONES, Look
from train.synthetic.scene import Picture, random_colour, textured

GLASSES, DARK, OCCLUDED = 0.16, 0.12, 0.2
"""Shares of faces with glasses, of glasses that are dark, and of faces with something else before them."""
LENS_X, LENS_Y, LENS_Z, TEMPLE_Z = 0.031, 0.029, 0.094, 0.005
"""Where the left lens's middle sits on the template, and how far back its temple goes, metres."""
RIM = 28


def glasses_points(random: np.random.Generator) -> FloatArray:
    """The rims of both lenses, the bridge's ends and the temples' [2 * RIM + 6, 3], in the template's metres."""
    width, height = random.uniform(0.019, 0.026), random.uniform(0.013, 0.022)
    power = random.choice((2.0, 3.0, 5.0))  # from round to nearly square
    turn = np.linspace(0, 2 * np.pi, RIM, endpoint=False)
    x = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / power) * width
    y = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / power) * height
    points = []
    for side in (1, -1):
        points.append(np.column_stack([side * (LENS_X + x), LENS_Y + y - 0.003, LENS_Z - 0.012 * (x / width)]))
    hinges = [(side * (LENS_X + width), LENS_Y + 0.003, LENS_Z - 0.012) for side in (1, -1)]
    ears = [(side * 0.079, LENS_Y + 0.006, TEMPLE_Z) for side in (1, -1)]
    bridge = [(side * (LENS_X - width), LENS_Y + 0.002, LENS_Z + 0.012) for side in (1, -1)]
    return np.concatenate([*points, hinges, ears, bridge]).astype(np.float32)


def draw_glasses(random: np.random.Generator, picture: Picture, points: FloatArray, metre: float, yaw: float) -> None:
    """Glasses whose points stand at these pixels [2 * RIM + 6, 2]; `yaw` hides the temple on the far side."""
    pen = ImageDraw.Draw(picture)
    frame = random_colour(random) if random.random() < 0.4 else (20, 18, 20)
    width = max(1, round(metre * random.uniform(0.0012, 0.0045)))
    left, right = (tuple(map(tuple, part.tolist())) for part in (points[:RIM], points[RIM : 2 * RIM]))
    if random.random() < DARK:
        for rim in (left, right):
            pen.polygon(rim, fill=tuple((np.array(frame) * 0.4).astype(int).tolist()))
    else:
        mask = Image.new("L", picture.size)
        for rim in (left, right):
            ImageDraw.Draw(mask).polygon(rim, fill=int(random.integers(0, 60)))
        picture.paste((225, 235, 240), mask=mask)
    for rim in (left, right):
        pen.line([*rim, rim[0]], fill=frame, width=width, joint="curve")
    hinges, ears, bridge = (list(map(tuple, part.tolist())) for part in np.split(points[2 * RIM :], 3))
    pen.line(bridge, fill=frame, width=width)
    for side, hidden in ((0, yaw > 0.15), (1, yaw < -0.15)):
        if not hidden:
            pen.line([hinges[side], ears[side]], fill=frame, width=width)


def draw_occluder(
    random: np.random.Generator, picture: Picture, middle: FloatArray, metre: float, look: Look, walls: list[Picture]
) -> None:
    """One thing before a face whose middle [2] is at that pixel."""
    mask = Image.new("L", picture.size)
    kind = KINDS[int(random.integers(len(KINDS)))]
    dark, light = kind(random, ImageDraw.Draw(mask), middle, metre, look)
    picture.paste(textured(random, picture.width, walls, dark, light), mask=mask)


Colours = tuple[tuple[int, ...], tuple[int, ...]]


def _hand(
    random: np.random.Generator, pen: ImageDraw.ImageDraw, middle: FloatArray, metre: float, look: Look
) -> Colours:
    """Fingers that lie on a cheek or the chin, and the palm outside the face."""
    angle = random.uniform(-0.4, np.pi + 0.4)  # from the side or from below
    out = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-out[1], out[0]])
    width = 0.017 * metre
    palm = middle + out * metre * random.uniform(0.105, 0.15)
    for finger in range(4):
        base = palm + across * width * 1.05 * (finger - 1.5)
        tip = base - out * metre * random.uniform(0.03, 0.08) + across * random.normal(0, 0.006) * metre
        pen.line([tuple(base), tuple(tip)], 255, max(1, int(width)))
        for x, y in (base, tip):
            pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=255)
    x, y = palm + out * 0.035 * metre
    pen.ellipse([x - 2.3 * width, y - 2.3 * width, x + 2.3 * width, y + 2.3 * width], fill=255)
    tone = look.skin * 255 if random.random() < 0.7 else SKIN_TONES[int(random.integers(len(SKIN_TONES)))]
    lit = np.clip(look.ambient + 0.4, 0, 1)
    return _colour(tone * lit * 0.7), _colour(tone * lit)


def _bar(
    random: np.random.Generator, pen: ImageDraw.ImageDraw, middle: FloatArray, metre: float, look: Look
) -> Colours:
    angle = random.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)]) * metre
    through = middle + random.normal(0, 0.05, 2) * metre
    pen.line([tuple(through - along), tuple(through + along)], 255, max(1, int(metre * random.uniform(0.004, 0.04))))
    return random_colour(random), random_colour(random)


def _microphone(
    random: np.random.Generator, pen: ImageDraw.ImageDraw, middle: FloatArray, metre: float, look: Look
) -> Colours:
    x, y = middle + np.array([random.normal(0, 0.03), random.uniform(0.06, 0.1)]) * metre
    radius = metre * random.uniform(0.014, 0.03)
    foot = (x + random.normal(0, 0.05) * metre, y + 0.3 * metre)
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    pen.line([(x, y), foot], 255, max(1, int(radius * 0.8)))
    return (15, 15, 18), (70, 70, 74)


def _strands(
    random: np.random.Generator, pen: ImageDraw.ImageDraw, middle: FloatArray, metre: float, look: Look
) -> Colours:
    """Hair that falls over the forehead and beside the face."""
    side = random.normal(0, 0.05)
    for _ in range(int(random.integers(4, 30))):
        start = middle + np.array([side + random.normal(0, 0.025), -0.14]) * metre
        end = start + np.array([random.normal(0, 0.03) + 0.3 * side, random.uniform(0.06, 0.2)]) * metre
        bent = (start + end) / 2 + random.normal(0, 0.012, 2) * metre
        pen.line([tuple(start), tuple(bent), tuple(end)], 255, max(1, int(metre * random.uniform(0.001, 0.005))))
    return _colour(look.hair * 120), _colour(look.hair * 230)


def _thing(
    random: np.random.Generator, pen: ImageDraw.ImageDraw, middle: FloatArray, metre: float, look: Look
) -> Colours:
    """A cup, a paper, somebody's shoulder: it reaches in from the edge of the face."""
    angle = random.uniform(0, 2 * np.pi)
    radius = metre * random.uniform(0.025, 0.09)
    x, y = middle + np.array([np.cos(angle), np.sin(angle)]) * (metre * random.uniform(0.05, 0.09) + radius)
    if random.random() < 0.5:
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    else:
        pen.regular_polygon((x, y, radius), int(random.integers(3, 7)), random.uniform(0, 360), fill=255)
    return random_colour(random), random_colour(random)


def _colour(values: FloatArray) -> tuple[int, ...]:
    return tuple(np.clip(values, 0, 255).astype(int).tolist())


KINDS: tuple[Callable[[np.random.Generator, ImageDraw.ImageDraw, FloatArray, float, Look], Colours], ...] = (
    _hand,
    _hand,
    _bar,
    _microphone,
    _strands,
    _strands,
    _thing,
)
