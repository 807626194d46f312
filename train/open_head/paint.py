"""Plain colours for a head: skin, lips, brows, eyes. Enough for a landmark network to see a face, and for looking."""

from collections.abc import Mapping

import numpy as np

from models.geometry import Float64Array
from train.open_head.assets import IntArray

Colour = tuple[float, float, float]
SKINS: tuple[Colour, ...] = ((224, 184, 164), (160, 112, 88))
"""Red, green and blue, 0..255."""
IRIS_DEGREES, PUPIL_DEGREES = 27.0, 11.0


def paint(template: Float64Array, regions: Mapping[str, IntArray], skin: Colour = SKINS[0]) -> Float64Array:
    """Colours [V, 3], 0..255, of the vertices of a head whose template this is."""
    colours = np.full((len(template), 3), skin, np.float64)
    colours[regions["lips"]] = np.array(skin) * (0.88, 0.6, 0.62)
    for insides in ("mouth_cavity", "left_eye_socket", "right_eye_socket"):
        colours[np.setdiff1d(regions[insides], regions["face"])] = np.array(skin) * (0.5, 0.25, 0.25)
    for name in ("left_eyeball", "right_eyeball"):
        ball = regions[name]
        middle = (template[ball].min(axis=0) + template[ball].max(axis=0)) / 2
        out = template[ball] - middle
        degrees = np.degrees(np.arccos(out[:, 2] / np.linalg.norm(out, axis=1)))
        colours[ball] = (238, 236, 234)
        colours[ball[degrees < IRIS_DEGREES]] = (96, 66, 44)
        colours[ball[degrees < PUPIL_DEGREES]] = (20, 16, 14)
        _brow(colours, template, regions["face"], middle)
    return colours


def _brow(colours: Float64Array, template: Float64Array, face: IntArray, eye: Float64Array) -> None:
    """Darkens a bow above an eye, given in metres from the eyeball's middle."""
    across = (template[face, 0] - eye[0]) * np.sign(eye[0])  # outwards
    up = template[face, 1] - eye[1]
    bow = 0.0225 + 0.0035 * np.sin((across + 0.017) / 0.042 * np.pi * 0.8)
    hair = face[
        (across > -0.019) & (across < 0.024) & (np.abs(up - bow) < 0.0042) & (template[face, 2] > eye[2] - 0.02)
    ]
    colours[hair] *= 0.45
