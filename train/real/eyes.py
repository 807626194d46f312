"""Eyes that look elsewhere: painted anew, with the colours that the photo's own irises and whites have.

Portraits look at the camera, so that their gaze follows from how the head is turned, and a model that learns from them
alone reads it off the head. Turning an eyeball with its texture on it hardly helps: most of it lies behind the lids and
was never seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.geometry import Image
from models.spec import FloatArray

CONTOURS: tuple[tuple[int, ...], tuple[int, ...]] = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (362, 382, 381, 380, 374, 373, 390, 249, 263, 466, 388, 387, 386, 385, 384, 398),
)
"""MediaPipe's landmarks around the subject's right and left eye, from the corner on the picture's left, down first."""
CORNER = 8
"""Place of the other corner in such a row."""
IRISES = (468, 473)
"""Middles of the irises; four places on the edge follow each."""
ASIDE, UP = 0.62, 0.35
"""How far an iris goes aside and up, of half the eye's width: MediaPipe then says 0.6 to 0.7 of eyeLookIn and Out."""
LEAST_OPEN = 0.12
"""Height of an eye over its width: below, its iris cannot be seen."""
OPENED = 1.1
"""Times that an eye is opened beyond the photo's, from where what its lids hid is missed."""
RINGS = 5
"""Of an iris, each of one colour."""
FINE = 4
"""Painted at so many times the size, so that edges fall between pixels."""


@dataclass(frozen=True, slots=True)
class Palette:
    """What an eye is painted with."""

    rings: FloatArray  # [RINGS, 3] colours of the iris from its middle outwards, the pupil first
    white: FloatArray  # [3]
    radius: float  # of the iris, over half the eye's width
    aside: float  # how far the iris was from the middle of the eye to the picture's right, as a gaze -1..1
    height: float  # of the iris over the line between the corners, over half the eye's width
    openness: float  # of the eye


def contours_of(landmarks: FloatArray) -> FloatArray:
    """Outlines [2, 16, 2] of the right and the left eye of landmarks [478, 3]."""
    return landmarks[np.array(CONTOURS), :2]


def palettes_of(picture: Image, landmarks: FloatArray) -> tuple[Palette, Palette] | None:
    """What the eyes of a picture [H, W, 3] with landmarks [478, 3] are painted with; None where one is not open."""
    contours = contours_of(landmarks)
    if min(_openness(contour) for contour in contours) < LEAST_OPEN:
        return None
    right, left = (
        _palette(picture, contour, landmarks[iris : iris + 5, :2])
        for contour, iris in zip(contours, IRISES, strict=True)
    )
    return right, left


def paint_eyes(
    picture: Image, contours: FloatArray, palettes: Sequence[Palette], aside: float | None, further_up: float
) -> Image:
    """A picture [H, W, 3] whose eyes, within contours [2, 16, 2], look `aside` and `further_up` than the palettes' did.

    Both -1..1; aside is to the picture's right, and None as they did, when only what the lids had hidden is missing.
    An eye that is closed, or not all in the picture, stays as it is.
    """
    for contour, palette in zip(contours, palettes, strict=True):
        opened = _openness(contour)
        if aside is None and opened > OPENED * palette.openness:
            picture = _painted(picture, contour, palette, palette.aside, further_up)
        elif aside is not None and opened >= LEAST_OPEN / 2:
            picture = _painted(picture, contour, palette, aside, further_up)
    return picture


def _axes(contour: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Middle of an eye, its directions to the picture's right and upwards, and half its width."""
    first, second = contour[0], contour[CORNER]
    half = max(float(np.linalg.norm(second - first)) / 2, 1e-3)  # an eye seen edge-on has no width
    across = (second - first) / (2 * half)
    return (first + second) / 2, across, np.array([across[1], -across[0]], np.float32), half


def _openness(contour: FloatArray) -> float:
    _, _, up, half = _axes(contour)
    return float(np.ptp(contour @ up)) / (2 * half)


@dataclass(frozen=True, slots=True)
class _Patch:
    """The surroundings of an eye, enlarged."""

    left: int
    top: int
    pixels: FloatArray  # [S, S, 3]
    inside: npt.NDArray[np.bool_]  # [S, S]
    right_of: FloatArray  # [S, S] how far a pixel is to the right of the eye's middle along its axis, in half widths
    above: FloatArray  # [S, S] and how far above


def _cut(picture: Image, contour: FloatArray) -> _Patch | None:
    middle, across, up, half = _axes(contour)
    reach = int(1.3 * half) + 2
    left, top = (int(value) - reach for value in middle)
    if left < 0 or top < 0 or left + 2 * reach > picture.shape[1] or top + 2 * reach > picture.shape[0]:
        return None
    part = picture[top : top + 2 * reach, left : left + 2 * reach].astype(np.float32)
    large = np.asarray(cv2.resize(part, None, fx=FINE, fy=FINE, interpolation=cv2.INTER_CUBIC), np.float32)
    corner = np.array([left, top]) - 0.5 + 0.5 / FINE  # pixels are counted from their middles
    outline = ((contour - corner) * FINE).round().astype(np.int32)
    inside = cv2.fillPoly(np.zeros(large.shape[:2], np.uint8), [outline], (1,)) > 0
    rows, columns = np.mgrid[0 : len(large), 0 : len(large)] / FINE
    x, y = columns + corner[0] - middle[0], rows + corner[1] - middle[1]
    right_of, above = ((x * way[0] + y * way[1]) / half for way in (across, up))
    return _Patch(left, top, large, inside, right_of.astype(np.float32), above.astype(np.float32))


def _palette(picture: Image, contour: FloatArray, iris: FloatArray) -> Palette:
    """Of an eye whose iris has its middle and four places of its edge at [5, 2]."""
    middle, across, up, half = _axes(contour)
    radius = float(np.linalg.norm(iris[1:] - iris[0], axis=1).max()) / half  # one that is turned aside is narrower
    right_of, above = (float((iris[0] - middle) @ way) / half for way in (across, up))
    patch = _cut(picture, contour)
    if patch is None:
        dark, pale = np.full((RINGS, 3), 40, np.float32), np.full(3, 190, np.float32)
        return Palette(dark, pale, radius, right_of / ASIDE, above, _openness(contour))
    distance = np.hypot(patch.right_of - right_of, patch.above - above) / radius
    rings: list[FloatArray] = []
    for ring in range(RINGS):
        there = patch.inside & (distance >= ring / RINGS) & (distance < (ring + 1) / RINGS)
        if there.sum() >= FINE:
            rings.append(np.median(patch.pixels[there], axis=0))
        else:  # hidden by a lid: like the next one inwards
            rings.append(rings[-1] if rings else np.full(3, 30, np.float32))
    outside = patch.pixels[patch.inside & (distance > 1.2)]
    around = patch.pixels.mean(axis=(0, 1))
    white = np.quantile(outside, 0.7, axis=0) if len(outside) >= 8 * FINE else (around + around.mean()) / 2
    white = np.maximum(white, rings[-1] + 25).astype(np.float32)
    return Palette(np.stack(rings), white, radius, right_of / ASIDE, above, _openness(contour))


def _painted(picture: Image, contour: FloatArray, palette: Palette, aside: float, further_up: float) -> Image:
    patch = _cut(picture, contour)
    if patch is None:
        return picture
    right_of, above = ASIDE * aside, palette.height + UP * further_up
    narrowed = np.sqrt(1 - min(abs(right_of) / (2.1 * palette.radius), 0.9) ** 2)  # the iris is on a ball
    from_middle = (patch.right_of - right_of) / narrowed, patch.above - above
    ring = np.hypot(*from_middle) / palette.radius
    places = (np.arange(RINGS) + 0.5) / RINGS
    iris = np.stack([np.interp(ring, places, palette.rings[:, channel]) for channel in range(3)], axis=2)
    heights = patch.above[patch.inside]
    top, middle = (heights.max(), np.median(heights)) if len(heights) else (1.0, 0.0)
    shade = 1 - 0.3 * np.clip((patch.above - middle) / max(top - middle, 1e-3), 0, 1)  # of the upper lid
    share = np.clip((1.05 - ring) / 0.2, 0, 1)[..., None]
    eye = palette.white * shade[..., None] * (1 - share) + iris * share
    soft = cv2.GaussianBlur(patch.inside.astype(np.float32), (0, 0), 0.5 * FINE)[..., None]
    size = len(patch.pixels) // FINE
    mixed = cv2.resize(patch.pixels * (1 - soft) + eye * soft, (size, size), interpolation=cv2.INTER_AREA)
    result = picture.copy()
    result[patch.top : patch.top + size, patch.left : patch.left + size] = mixed.round().clip(0, 255)
    return result
