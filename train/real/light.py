"""The light of a photo, and how it falls on the same skin when that is turned or creased."""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.geometry import Image
from models.spec import FloatArray
from train.real.carry import nearest

DARKEST, BRIGHTEST = 0.55, 1.5
"""Limits of how much darker or brighter skin becomes: the light is known roughly."""
SHADOW = 0.3
"""Of the mean light, what the darkest side of a head still gets."""
AROUND = 10.0
"""Pixels around a face over which the change fades: ears, hair and neck turn with it, what is behind does not."""


def light_of(picture: Image, places: Tensor, normals: Tensor) -> Tensor:
    """The light [4] of a picture [H, W, 3]: how bright skin is, over its mean, as a sum of 1 and its normal [x, y, z].

    Told from the brightness at `places` [K, 2], pixels, whose normals [K, 3] are towards the viewer. All of it one
    lamp far away and what comes from everywhere; the skin is taken as equally bright.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 2.0)
    x, y = places.numpy().T.round().astype(int)
    height, width = grey.shape
    seen = (normals[:, 2].numpy() > 0.25) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if seen.sum() < 100:
        return torch.tensor([1.0, 0.0, 0.0, 0.0])
    bright = grey[y[seen], x[seen]]
    terms = np.concatenate([np.ones((seen.sum(), 1)), normals[seen].numpy()], axis=1)
    middle = max(float(np.median(bright)), 1.0)
    kept = (bright > 0.4 * middle) & (bright < 1.8 * middle)  # neither brows nor reflections
    towards = np.diag([0, 0.02, 0.02, 0.02]) * kept.sum()  # no light from a side without need
    terms, bright = terms[kept], bright[kept] / middle
    return torch.from_numpy(np.linalg.solve(terms.T @ terms + towards, terms.T @ bright).astype(np.float32))


def lit(light: Tensor, normals: Tensor) -> Tensor:
    """How bright skin with normals [K, 3] is [K] in a light [4]."""
    return (light[0] + normals @ light[1:]).clamp(min=SHADOW)


def relit(picture: Image, change: FloatArray, mask: npt.NDArray[np.bool_]) -> Image:
    """A picture [H, W, 3] that is `change` [H, W] times as bright where the mask says; around, ever less so."""
    changes, distance = nearest(change[None], mask)
    factor = 1 + np.exp(-np.square(distance / AROUND)) * (changes[0].clip(DARKEST, BRIGHTEST) - 1)
    return np.asarray((picture * factor[..., None]).round().clip(0, 255), np.uint8)
