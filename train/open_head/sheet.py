"""One picture of all that a head can be and do, for a person to look at."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image as PillowImage
from PIL import ImageDraw

from models.flame import Head, HeadLayer
from models.geometry import Float64Array, Image
from models.head import HeadModel
from models.open_basis import EXPRESSION_NAMES, JAW_OPEN_RADIANS, JAW_SIDE_RADIANS
from train.open_head.draw import View, shade, turn
from train.open_head.paint import paint

COLUMNS, TILE = 8, 200
SHAPES, DEVIATIONS = 12, 2.0
PEOPLE, SEED = 16, 5
LARGE = 2 * TILE
INK = {"mediapipe": (80, 255, 80), "full": (255, 230, 60), "landmarks": (255, 70, 70)}


@dataclass(frozen=True, slots=True)
class Tile:
    """A head to draw, and how."""

    text: str
    shape: tuple[float, ...] = ()
    actions: tuple[tuple[str, float], ...] = ()
    jaw: tuple[float, float, float] = (0, 0, 0)
    eyelids: tuple[float, float] = (0, 0)
    yaw: float = 0.0
    pitch: float = 0.0


def draw_sheet(head: HeadModel) -> Image:
    """The sheet [H, W, 3]: the mean with its landmarks, axes of shape, people, eyelids, jaw, and every action."""
    layer, colours = HeadLayer(head), paint(head.template.astype(np.float64), head.regions)
    large = [_draw(head, layer, colours, tile, LARGE, points=True) for tile in _views()]
    small = [_draw(head, layer, colours, tile, TILE) for tile in (*_shapes(), *_people(), *_moves(), *_actions())]
    small += [np.zeros_like(small[0])] * (-len(small) % COLUMNS)
    rows = [np.concatenate(large[i : i + COLUMNS // 2], axis=1) for i in range(0, len(large), COLUMNS // 2)]
    rows += [np.concatenate(small[i : i + COLUMNS], axis=1) for i in range(0, len(small), COLUMNS)]
    return np.concatenate(rows)


def _views() -> Iterator[Tile]:
    for yaw, pitch in ((0, 0), (20, 0), (39, 0), (90, 0), (0, -25), (0, 25), (-39, 0), (180, 0)):
        yield Tile(f"mean, yaw {yaw}, pitch {pitch}", yaw=yaw, pitch=pitch)


def _shapes() -> Iterator[Tile]:
    for axis in range(SHAPES):
        for sign in (-1, 1):
            for yaw in (0, 40):
                shape = (*[0.0] * axis, sign * DEVIATIONS)
                yield Tile(f"shape {axis + 1}: {sign * DEVIATIONS:+.0f} sd", shape=shape, yaw=yaw)


def _people() -> Iterator[Tile]:
    random = np.random.default_rng(SEED)
    for person in range(PEOPLE):
        yield Tile(f"person {person + 1}", shape=tuple(random.normal(size=300).tolist()), yaw=(0, 30)[person % 2])


def _moves() -> Iterator[Tile]:
    yield Tile("left lid", eyelids=(1, 0))
    yield Tile("right lid", eyelids=(0, 1))
    yield Tile("lids, yaw 40", eyelids=(1, 1), yaw=40)
    yield Tile("lids half", eyelids=(0.5, 0.5))
    for part in (0.25, 0.5, 1.0):
        yield Tile(f"jawOpen {part}", jaw=(part * JAW_OPEN_RADIANS, 0, 0))
    yield Tile("jawOpen 0.5, yaw 60", jaw=(JAW_OPEN_RADIANS / 2, 0, 0), yaw=60)
    yield Tile("jawLeft", jaw=(0, JAW_SIDE_RADIANS, 0))
    yield Tile("jawRight", jaw=(0, -JAW_SIDE_RADIANS, 0))
    yield Tile("jawOpen + mouthClose", jaw=(JAW_OPEN_RADIANS, 0, 0), actions=(("mouthClose", 1),))
    smile = (("mouthSmileLeft", 1.0), ("mouthSmileRight", 1.0))
    yield Tile("smile", actions=(*smile, ("cheekSquintLeft", 0.6), ("cheekSquintRight", 0.6)))
    yield Tile("laugh", actions=smile, jaw=(0.4 * JAW_OPEN_RADIANS, 0, 0), yaw=25)


def _actions() -> Iterator[Tile]:
    for name in EXPRESSION_NAMES:
        yield Tile(name, actions=((name, 1.0),))


def _draw(
    head: HeadModel, layer: HeadLayer, colours: Float64Array, tile: Tile, size: int, *, points: bool = False
) -> Image:
    rotation = turn(tile.yaw, tile.pitch)
    posed = _pose(layer, tile)
    middle = (
        head.template[head.regions["skin"]].mean(axis=0) if points else head.template[head.regions["face"]].mean(axis=0)
    )
    view = View(rotation, rotation @ middle.astype(np.float64), size * (3.0 if points else 4.6), size)
    vertices = posed.vertices[0].numpy().astype(np.float64)
    picture = PillowImage.fromarray(shade(vertices, head.faces, colours, view))
    pen = ImageDraw.Draw(picture)
    if points and abs(tile.yaw) <= 39:
        for name, ink in INK.items():
            for x, y, _ in view.project(_points(head, posed, tile, name)):
                radius = 3 if name == "landmarks" else 1.5
                pen.ellipse([x - radius, y - radius, x + radius, y + radius], outline=ink)
    pen.text((4, 2), tile.text, fill=(255, 255, 120))
    return np.asarray(picture)


def _points(head: HeadModel, posed: Head, tile: Tile, name: str) -> Float64Array:
    """Landmarks of the head as it stands; the contour's for the turn that the view gives it."""
    if name != "landmarks":
        return np.asarray(getattr(posed, name)[0].numpy(), np.float64)
    yaw = round(tile.yaw)
    row = yaw if yaw >= 0 else 39 - yaw
    corners = posed.vertices[0].numpy()[head.faces[head.contour.triangles[row]]]
    return np.asarray((corners * head.contour.weights[row][..., None]).sum(axis=1), np.float64)


def _pose(layer: HeadLayer, tile: Tile) -> Head:
    expression = torch.zeros(1, len(EXPRESSION_NAMES))
    for name, value in tile.actions:
        expression[0, EXPRESSION_NAMES.index(name)] = value
    with torch.inference_mode():
        posed: Head = layer(
            shape=torch.tensor([tile.shape], dtype=torch.float32).reshape(1, -1),
            expression=expression,
            pose=torch.zeros(1, 3),
            jaw=torch.tensor([tile.jaw], dtype=torch.float32),
            eyelids=torch.tensor([tile.eyelids], dtype=torch.float32),
        )
    return posed
