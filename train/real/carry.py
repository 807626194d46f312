"""What is known of a face's pixels, carried on around it: there are no borders in a picture where the mesh ends."""

import cv2
import numpy as np
import numpy.typing as npt

from models.spec import FloatArray

REACH = 23.0
"""Pixels over which what is carried outwards is smoothed; far away, three times as many."""
NEAR = 8.0
"""Pixels from the face within which the nearest of its pixels counts, unsmoothed."""
COARSE = 4
"""Pixels that are smoothed as one."""

Mask = npt.NDArray[np.bool_]


def nearest(fields: FloatArray, mask: Mask) -> tuple[FloatArray, FloatArray]:
    """Numbers [C, H, W] of the nearest pixel within the mask [H, W], and how far that is [H, W], pixels."""
    if not mask.any():
        return np.zeros_like(fields), np.full(mask.shape, np.inf, np.float32)
    distance, labels = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    known = np.zeros((len(fields), int(labels.max()) + 1), np.float32)
    known[:, labels[mask]] = fields[:, mask]
    return known[:, labels], np.asarray(distance, np.float32)


def carried(fields: FloatArray, mask: Mask) -> FloatArray:
    """Numbers [C, H, W] that are known within the mask [H, W], everywhere: further out ever smoother."""
    close, distance = nearest(fields, mask)
    share = np.exp(-np.square(distance / NEAR))
    return np.where(mask, fields, close * share + _smoothed(np.where(mask, fields, 0), mask) * (1 - share))


def _smoothed(fields: FloatArray, mask: Mask) -> FloatArray:
    height, width = mask.shape
    size = (width // COARSE, height // COARSE)

    def coarse(values: FloatArray) -> FloatArray:
        return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)

    def blurred(values: FloatArray, spread: float) -> FloatArray:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), spread / COARSE), np.float32)

    weight = coarse(mask.astype(np.float32))
    near, wide = blurred(weight, REACH) + 1e-4, blurred(weight, 3 * REACH) + 1e-3
    share = np.clip(near / 0.05, 0, 1)
    result = []
    for field in fields:
        small = coarse(field.astype(np.float32))
        smooth = blurred(small, REACH) / near * share + blurred(small, 3 * REACH) / wide * (1 - share)
        result.append(cv2.resize(smooth, (width, height)))
    return np.stack(result)
