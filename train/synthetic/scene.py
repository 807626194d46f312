"""What is around a head: walls behind it, hair that stands off it, clothes below it. All of it made up."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from models.spec import FloatArray
from train.synthetic.look import Look
from train.synthetic.noise import octaves, streaks

Picture = Image.Image
WALL = 256
Point = tuple[float, float]


def build_walls(random: np.random.Generator, count: int) -> list[Picture]:
    """Grey pictures of noise, WALL pixels square: clouds, plaster and, every fourth, streaks."""
    walls = []
    for number in range(count):
        if number % 4 == 3:
            noise = streaks(random, WALL, int(random.integers(2, 30)), int(random.integers(20, 200)))
        else:
            noise = octaves(random, WALL, int(random.integers(2, 12)), 128, random.uniform(0.4, 0.9))
        spread = np.clip((noise - 0.5) * random.uniform(1, 2.5) + 0.5, 0, 1)
        walls.append(Image.fromarray((255 * spread).astype(np.uint8)))
    return walls


def draw_background(random: np.random.Generator, size: int, walls: list[Picture]) -> Picture:
    """A wall, a gradient or a litter of shapes; sharp or out of focus."""
    if random.random() < 0.35:
        shades = Image.linear_gradient("L").rotate(random.uniform(0, 360), fillcolor=128).resize((size, size))
        picture = Image.composite(_flat(random, size), _flat(random, size), shades)
    else:
        picture = textured(random, size, walls, random_colour(random), random_colour(random))
    if random.random() < 0.6:
        pen = ImageDraw.Draw(picture)
        for _ in range(int(random.integers(1, 12))):
            _draw_shape(random, pen, size)
    if random.random() < 0.15:
        _draw_stripes(random, ImageDraw.Draw(picture), size)
    if random.random() < 0.5:
        picture = picture.filter(ImageFilter.BoxBlur(random.uniform(0.5, 5) * size / 224))
    return picture


def draw_hair(
    random: np.random.Generator, picture: Picture, scalp: FloatArray, metre: float, look: Look, walls: list[Picture]
) -> None:
    """Hair about the points [N, 2] of the scalp, in pixels, short or long; `metre` is its length in pixels."""
    if not look.hair_cover:
        return
    mask = Image.new("L", picture.size)
    pen = ImageDraw.Draw(mask)
    volume, long = random.uniform(0.001, 0.012), random.random() < 0.35
    bulk = random.uniform(0.02, 0.045)
    for x, y in scalp[random.integers(0, len(scalp), 90)]:
        radius = metre * (0.004 + volume * random.uniform(0.3, 1.3))
        _disc(pen, x, y, radius)
        if long:
            reach = metre * random.uniform(0.05, 0.2)
            pen.line([(x, y), (x + random.normal(0, 0.15) * reach, y + reach)], 255, max(1, int(metre * bulk)))
    dark = _scaled(look.hair * brightness(look) * 0.55)
    light = _scaled(look.hair * brightness(look) * 1.15)
    picture.paste(textured(random, picture.width, walls[3::4], dark, light), mask=mask)


def draw_shoulders(random: np.random.Generator, picture: Picture, neck: FloatArray, metre: float) -> tuple[int, ...]:
    """What the neck stands in, behind it; `neck` [N, 2] is its lower edge. Tells the colour of the clothes."""
    colour = random_colour(random)
    x, y = neck.mean(axis=0)
    width, height = metre * random.uniform(0.17, 0.26), metre * 0.5
    top = y - metre * random.uniform(-0.01, 0.03)
    ImageDraw.Draw(picture).ellipse([x - width, top, x + width, top + height], fill=colour)
    return colour


def draw_collar(picture: Picture, neck: FloatArray, metre: float, colour: tuple[int, ...]) -> None:
    """The clothes before the neck: everything below its lower front edge [N, 2]."""
    line = neck[np.argsort(neck[:, 0])] - (0, 0.004 * metre)
    (left, first), (right, last) = line[0], line[-1]
    below = picture.height + metre
    outline = [
        (left - 0.1 * metre, first + 0.1 * metre),
        *map(tuple, line.tolist()),
        (right + 0.1 * metre, last + 0.1 * metre),
    ]
    ImageDraw.Draw(picture).polygon([*outline, (right + metre, below), (left - metre, below)], fill=colour)


def textured(
    random: np.random.Generator, size: int, walls: list[Picture], dark: tuple[int, ...], light: tuple[int, ...]
) -> Picture:
    """A picture between two colours, by some part of a wall."""
    side = random.uniform(0.3, 1) * WALL
    x, y = random.uniform(0, WALL - side, 2)
    wall = walls[int(random.integers(len(walls)))]
    shades = wall.resize((size, size), Image.Resampling.BILINEAR, box=(x, y, x + side, y + side))
    return Image.composite(Image.new("RGB", (size, size), light), Image.new("RGB", (size, size), dark), shades)


def random_colour(random: np.random.Generator) -> tuple[int, ...]:
    """Any colour, though most are dull."""
    grey = random.uniform(0, 255)
    vivid = random.random() ** 2
    return tuple((grey * (1 - vivid) + vivid * random.uniform(0, 255, 3)).astype(int).tolist())


def brightness(look: Look) -> FloatArray:
    """How much light falls on things [3], by and large."""
    total = look.ambient + 0.5 * np.sum([lamp.colour for lamp in look.lights], axis=0)
    return np.asarray(total, np.float32)


def _scaled(colour: npt.NDArray[np.floating]) -> tuple[int, ...]:
    return tuple(np.clip(colour * 255, 0, 255).astype(int).tolist())


def _flat(random: np.random.Generator, size: int) -> Picture:
    return Image.new("RGB", (size, size), random_colour(random))


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)


def _draw_shape(random: np.random.Generator, pen: ImageDraw.ImageDraw, size: int) -> None:
    x, y = random.uniform(-0.2, 1.0, 2) * size
    width, height = random.uniform(0.03, 0.6, 2) * size
    colour, kind = random_colour(random), random.random()
    if kind < 0.45:
        pen.rectangle([x, y, x + width, y + height], fill=colour)
    elif kind < 0.7:
        pen.ellipse([x, y, x + width, y + height], fill=colour)
    else:
        pen.line([(x, y), tuple(random.uniform(0, size, 2))], fill=colour, width=int(random.integers(1, 14)))


def _draw_stripes(random: np.random.Generator, pen: ImageDraw.ImageDraw, size: int) -> None:
    step, colour = random.uniform(0.03, 0.15) * size, random_colour(random)
    lean = random.uniform(-1, 1) * size
    upright = random.random() < 0.5
    for start in np.arange(-size, 2 * size, step).tolist():
        line: list[Point] = [(start, 0), (start + lean, size)] if upright else [(0, start), (size, start + lean)]
        pen.line(line, fill=colour, width=max(1, int(step * 0.4)))
