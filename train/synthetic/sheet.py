"""A picture of many synthetic faces, for a person to look at."""

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from models.geometry import Image
from models.spec import FloatArray
from train.synthetic.faces import SyntheticBatch

COLUMNS = 8
MARKED = 9
"""Every so many a face has its landmarks drawn."""
INKS = ((80, 255, 80), (255, 230, 60))


def draw_sheet(batch: SyntheticBatch) -> Image:
    """Rows of COLUMNS faces [H, W, 3]; the last row is filled up with black."""
    tiles = [
        image if number % MARKED else _marked(image, batch.landmarks[number], batch.outline[number])
        for number, image in enumerate(batch.images)
    ]
    tiles += [np.zeros_like(batch.images[0])] * (-len(tiles) % COLUMNS)
    return np.concatenate([np.concatenate(tiles[i : i + COLUMNS], axis=1) for i in range(0, len(tiles), COLUMNS)])


def _marked(image: Image, *points: FloatArray) -> Image:
    picture = PillowImage.fromarray(image)
    pen = ImageDraw.Draw(picture)
    for places, ink in zip(points, INKS, strict=True):
        for x, y in (1 + places) / 2 * len(image):
            pen.ellipse([x - 1.5, y - 1.5, x + 0.5, y + 0.5], outline=ink)  # half a pixel off, as Pillow counts centres
    return np.asarray(picture)
