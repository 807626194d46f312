"""From a posed head to its picture: which triangle each pixel sees, what is painted there, how it is lit."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.head import IntArray
from models.spec import FloatArray
from train.synthetic.look import Look
from train.synthetic.raster import raster
from train.synthetic.skins import BEARD, BROW, BUMP, EYE_X, EYE_Y, HAIR, MOUSTACHE, RED, STRAND, TONE, Bank, look_up
from train.synthetic.solid import EYE, INSIDE, SKIN, TEETH, Solid, normals

EYE_Z = 0.0644
"""Of the eyeballs' middles in the template, metres; EYE_X, EYE_Y beside it."""
VIEWER = np.array([0, 0, 1], np.float32)
EYE_GLOSS, EYE_SHINE = 64, 0.7
TOOTH = 0.0075
"""Metres from one tooth to the next."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is seen of a head."""

    covered: IntArray  # [N] pixels, row by row
    colours: npt.NDArray[np.uint8]  # [3, N]


@dataclass(frozen=True, slots=True)
class _Seen:
    kinds: npt.NDArray[np.uint8]  # [N]
    place: FloatArray  # [3, N] on the template
    maps: FloatArray  # [8, N] of the skin, 0..1
    lips: FloatArray  # [N]
    rims: FloatArray
    ears: FloatArray
    openness: FloatArray
    normals: FloatArray  # [3, N] unit


def draw(solid: Solid, vertices: FloatArray, camera: FloatArray, look: Look, bank: Bank, size: int) -> Drawn:
    """The picture of posed vertices [K, 3] (the solid's, teeth too) that a camera [3] sees in `size` pixels."""
    scale, tx, ty = camera.tolist()
    points = np.empty_like(vertices)
    points[:, 0] = (1 + scale * (vertices[:, 0] + tx)) * (size / 2)
    points[:, 1] = (1 - scale * (vertices[:, 1] + ty)) * (size / 2)
    points[:, 2] = -scale * vertices[:, 2]
    shown = np.flatnonzero(_facing(points, solid.faces, size))
    faces = solid.faces[shown]
    hits = raster(points, faces, size)
    carried = np.concatenate([solid.carried, normals(vertices, solid.faces, solid.around)], axis=1)
    values = hits.interpolate(carried, faces)  # [11, N]
    values[8:] /= np.sqrt((values[8:] ** 2).sum(axis=0)) + 1e-6
    side = np.float32(-1 if look.mirrored else 1)
    maps = look_up(bank, (look.skin_map, look.hair_map), side * values[3], values[1])
    lips, rims, ears, openness = values[4:8]
    kinds = solid.kinds[shown[hits.triangles]]
    seen = _Seen(kinds, values[:3], maps, lips, rims, ears, openness, values[8:])
    colours = _lit(seen, _painted(seen, look), look)
    return Drawn(hits.pixels, (np.clip(colours, 0, 1, out=colours) * 255).astype(np.uint8))


def _facing(points: FloatArray, faces: IntArray, size: int) -> npt.NDArray[np.bool_]:
    """Which triangles of points [K, 3] in pixels face the viewer and touch the picture."""
    corners = np.ascontiguousarray(faces.T)
    x, y = (np.ascontiguousarray(points[:, axis]).take(corners) for axis in (0, 1))  # [3, F]
    facing = (x[1] - x[0]) * (y[2] - y[0]) < (x[2] - x[0]) * (y[1] - y[0])  # rows count downwards
    for axis in (x, y):
        facing &= (axis.max(axis=0) > 0) & (axis.min(axis=0) < size)
    return np.asarray(facing)


def _painted(seen: _Seen, look: Look) -> FloatArray:
    """Colours [3, N] before light."""
    maps = seen.maps
    colours = look.skin[:, None] * (1 + look.mottling * (maps[TONE] - 0.5))
    _mix(colours, look.flushed, look.redness * maps[RED])
    _mix(colours, look.lips, seen.lips)
    beard = np.maximum(look.beard * maps[BEARD], look.moustache * maps[MOUSTACHE]) * (1 - seen.lips)
    _mix(colours, look.beard_hair * 0.9, np.minimum(1.25 * beard, 0.95))
    _mix(colours, look.beard_hair * 0.7, np.minimum(look.brow * maps[BROW], 0.95))
    _mix(colours, look.skin * 0.12, look.lashes * seen.rims)
    if look.hair_cover:
        cover = look.hair_cover * maps[HAIR] * (1 - seen.ears)
        _mix(colours, look.hair[:, None] * (0.5 + maps[STRAND]), cover)
    for kind, paint in ((EYE, _eyes), (INSIDE, _inside), (TEETH, _teeth)):
        chosen = np.flatnonzero(seen.kinds == kind)
        if len(chosen):
            colours[:, chosen] = paint(seen.place[:, chosen], look)
    return np.asarray(colours)


def _mix(colours: FloatArray, other: FloatArray, share: FloatArray) -> None:
    """Moves colours [3, N] towards others, [3] or [3, N], by shares [N]; nothing is done where the share is nothing."""
    some = np.flatnonzero(share > 0.01)
    share = share[some]
    for channel, target in zip(colours, other, strict=True):
        there = channel[some]
        channel[some] = there + share * ((target if target.ndim == 0 else target[some]) - there)


def _eyes(place: FloatArray, look: Look) -> FloatArray:
    """White, iris with a dark rim and rays, pupil: colours [3, N] at places [3, N] of the template."""
    x, y, z = np.abs(place[0]) - EYE_X, place[1] - EYE_Y, place[2] - EYE_Z
    radius, angle = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    colours = np.repeat(look.white[:, None], len(x), axis=1)
    veins = 0.5 + 0.5 * np.sin(40 * angle + 300 * x)
    _mix(colours, np.array([0.8, 0.45, 0.42], np.float32), np.clip(radius - 0.55, 0, 0.6) * (0.5 + 0.5 * veins))
    rays = 0.8 + 0.3 * np.sin(17 * angle) * np.sin(60 * radius)
    darkened = rays * np.clip(1.25 - 0.8 * radius / look.iris_radians, 0.35, 1)
    _mix(colours, look.iris[:, None] * darkened, np.clip((look.iris_radians - radius) / 0.05, 0, 1))
    _mix(colours, np.full(3, 0.03, np.float32), np.clip((look.pupil_radians - radius) / 0.04, 0, 1))
    return np.asarray(colours * np.clip(1.05 - 28 * np.maximum(y, 0), 0.55, 1), np.float32)  # in the lid's shadow


def _inside(place: FloatArray, look: Look) -> FloatArray:
    """The mouth and the eye sockets: darker the deeper."""
    return np.asarray(look.mouth[:, None] * np.clip((place[2] + 0.01) / 0.09, 0.1, 1), np.float32)


def _teeth(place: FloatArray, look: Look) -> FloatArray:
    gaps = np.abs(np.mod(place[0] / TOOTH + 0.5, 1) - 0.5)
    shaded = np.clip(1.1 - 22 * np.abs(place[0]), 0.35, 1) * np.clip(0.65 + 5 * gaps, 0, 1)
    return np.asarray(look.teeth[:, None] * shaded, np.float32)


def _lit(seen: _Seen, colours: FloatArray, look: Look) -> FloatArray:
    """Colours [3, N] under the look's lights."""
    kinds = seen.kinds
    hair = np.maximum(look.hair_cover * seen.maps[HAIR], look.beard * seen.maps[BEARD])
    skin = (kinds == SKIN) * (1 - hair)
    rough = 1 + 0.9 * look.bumps * (seen.maps[BUMP] - 0.5) * skin
    openness = np.where(kinds == INSIDE, np.float32(0.4), seen.openness)
    facing_part, eyes = np.sqrt(openness) * rough, np.flatnonzero(kinds == EYE)
    glossy = look.shine * seen.openness * (skin + 0.8 * seen.lips)
    sky = openness * (0.85 + 0.15 * seen.normals[1])
    light = look.ambient[:, None] * sky
    shine = np.zeros_like(light)
    for lamp in look.lights:
        facing = (lamp.towards @ seen.normals + look.softness) / (1 + look.softness)
        facing = np.maximum(facing, 0) * facing_part
        half = lamp.towards + VIEWER
        gleam = np.maximum((half / np.linalg.norm(half)) @ seen.normals, 0)
        of_eyes = EYE_SHINE * gleam[eyes] ** EYE_GLOSS
        for _ in range(look.gloss):
            gleam *= gleam
        gleam *= glossy
        gleam[eyes] = of_eyes
        for channel in range(3):
            light[channel] += facing * lamp.colour[channel]
            shine[channel] += gleam * lamp.colour[channel]
    light *= colours
    light += shine
    return np.asarray(light, np.float32)
