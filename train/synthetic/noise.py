"""Noise of several octaves, from which skins, walls and film grain are made."""

import numpy as np
from PIL import Image

from models.spec import FloatArray


def octaves(random: np.random.Generator, size: int, coarsest: int, finest: int, fall: float = 0.6) -> FloatArray:
    """Noise [size, size], 0..1 with mean 0.5: cells `coarsest` across to `finest`, each octave `fall` as strong."""
    total, strength, cells = np.zeros((size, size), np.float32), 1.0, coarsest
    while cells <= finest:
        coarse = Image.fromarray(random.random((cells, cells), np.float32))
        total += strength * np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
        strength, cells = strength * fall, cells * 2
    return stretched(total)


def streaks(random: np.random.Generator, size: int, along: int, across: int) -> FloatArray:
    """Noise [size, size], 0..1, drawn out downwards as hair is: `along` cells high, `across` wide."""
    cells = Image.fromarray(random.random((along, across), np.float32))
    return stretched(np.asarray(cells.resize((size, size), Image.Resampling.BICUBIC)))


def stretched(values: FloatArray) -> FloatArray:
    """Values brought to mean 0.5 and a spread of 0.18, cut at 0 and 1."""
    spread = max(float(values.std()), 1e-6)
    return np.asarray(np.clip(0.5 + (values - values.mean()) * (0.18 / spread), 0, 1), np.float32)
