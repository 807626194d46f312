"""What a bad camera makes of a picture: exposure, colour, blur, few pixels, noise, compression."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from models.geometry import Image as Pixels
from models.spec import CROP_SIZE
from train.synthetic.scene import Picture

GREY, SEPIA, BLURRED, MOVED, COMPRESSED, EDGED = 0.1, 0.3, 0.2, 0.12, 0.75, 0.06
"""Shares: grey pictures, brown ones of these; out of focus; moved; compressed; at the edge of their frame."""
FEWEST, MOST = 68, 420
"""Side of the square that is cut from the camera's frame, pixels of a crop of CROP_SIZE: 48 to 300 of face."""
FINER = 1.25
"""A picture of few pixels is drawn with so many times their number, and then shrunk."""
GRAIN = 512
Grain = npt.NDArray[np.float32]


def build_grain(random: np.random.Generator) -> Grain:
    """Noise [GRAIN, GRAIN, 3] of mean 0 and spread 1, partly the same in all colours and from pixel to pixel."""
    own = random.normal(size=(GRAIN, GRAIN, 3))
    shared = random.normal(size=(GRAIN, GRAIN, 1))
    mixed = 0.6 * own + 0.8 * shared
    return (0.85 * mixed + 0.53 * np.roll(mixed, 1, axis=1)).astype(np.float32)


def draw_resolution(random: np.random.Generator, size: int) -> int:
    """Side of the camera's own square for a picture of `size`, pixels."""
    return round(float(np.exp(random.uniform(np.log(FEWEST), np.log(MOST)))) * size / CROP_SIZE)


def drawn_size(resolution: int, size: int) -> int:
    """Side of the picture to draw for a camera of that resolution."""
    return min(size, round(FINER * resolution))


def photograph(random: np.random.Generator, picture: Picture, resolution: int, size: int, grain: Grain) -> Pixels:
    """The picture [size, size, 3] that the program would get."""
    pixel = picture.width / CROP_SIZE
    picture = picture.point(_curves(random))
    if random.random() < GREY:
        picture = _old(random, picture)
    if random.random() < BLURRED:
        picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.6, 2.2) * pixel))
    else:
        picture = picture.filter(_smoothing(random.uniform(0.05, 0.2)))  # no lens draws the stairs of a rasteriser
    if random.random() < MOVED:
        picture = picture.filter(_motion(random))
    if resolution < picture.width:
        way = random.choice((Image.Resampling.BILINEAR, Image.Resampling.BOX, Image.Resampling.LANCZOS))
        picture = picture.resize((resolution, resolution), Image.Resampling(int(way)))
    picture = _noisy(random, picture, grain)
    if random.random() < COMPRESSED:
        picture = _compressed(random, picture)
    if picture.width != size:
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.array(picture)
    if random.random() < EDGED:
        _edge(random, pixels)
    return pixels


def _curves(random: np.random.Generator) -> list[int]:
    """Exposure, contrast, gamma and white balance as one table of 3 * 256."""
    x = np.linspace(0, 1, 256)
    exposure, gamma = np.exp(random.normal(0, 0.16)), np.exp(random.normal(-0.12, 0.2))
    contrast, black = np.exp(random.normal(0, 0.15)), max(0.0, random.normal(0, 0.05))
    balance = np.exp(random.normal(0, 0.04, 3))
    tables = []
    for gain in balance:
        level = np.clip(x * exposure * gain, 0, 1) ** gamma
        level = (level - 0.5) * contrast + 0.5
        tables.append(np.clip(black + (1 - black) * level, 0, 1))
    return list((np.concatenate(tables) * 255).astype(int).tolist())


def _old(random: np.random.Generator, picture: Picture) -> Picture:
    grey = picture.convert("L").convert("RGB")
    if random.random() > SEPIA:
        return grey
    x = np.linspace(0, 1, 256)
    tables = [x ** random.uniform(low, low + 0.3) for low in (0.6, 0.85, 1.2)]
    return grey.point(list((np.concatenate(tables) * 255).astype(int).tolist()))


def _smoothing(share: float) -> ImageFilter.Kernel:
    """Each neighbour's `share` of a pixel's own weight; half of it across corners."""
    return ImageFilter.Kernel((3, 3), [share / 2, share, share / 2, share, 1, share, share / 2, share, share / 2])


def _motion(random: np.random.Generator) -> ImageFilter.Kernel:
    """A line through the middle of 5 by 5 pixels."""
    angle = random.uniform(0, np.pi)
    weights = np.zeros((5, 5))
    for step in np.linspace(-2, 2, 9):
        weights[round(2 + step * np.sin(angle)), round(2 + step * np.cos(angle))] += 1
    return ImageFilter.Kernel((5, 5), weights.ravel().tolist())


def _noisy(random: np.random.Generator, picture: Picture, grain: Grain) -> Picture:
    strength = 10 * random.random() ** 3 if random.random() < 0.9 else random.uniform(5, 15)
    if strength < 0.5:
        return picture
    size = picture.width
    x, y = random.integers(0, GRAIN - size + 1, 2) if size <= GRAIN else (0, 0)
    pixels = np.asarray(picture, np.float32)
    noise = grain[y : y + size, x : x + size]
    noisy = pixels + noise * np.float32(strength) + np.float32(0.5)
    np.clip(noisy, 0, 255, out=noisy)
    return Image.fromarray(noisy.astype(np.uint8))


def _compressed(random: np.random.Generator, picture: Picture) -> Picture:
    quality = int(100 - 80 * random.random() ** 1.7)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality, subsampling=int(random.choice((0, 2))))
    return Image.open(content).convert("RGB")


def _edge(random: np.random.Generator, pixels: Pixels) -> None:
    """Black where the square reaches beyond the frame."""
    width = int(random.uniform(0.03, 0.25) * len(pixels))
    turned = np.rot90(pixels, int(random.integers(4)))
    turned[:width] = 0
