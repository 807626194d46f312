"""Where faces are drawn: what is made once (skins, walls, grain), and the picture of one face from its parameters."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.geometry import Image as Pixels
from models.head import HeadModel
from models.spec import FloatArray
from train.synthetic import lens, occluders, scene
from train.synthetic.crop import spanning_vertices
from train.synthetic.draw import draw
from train.synthetic.look import Look, draw_look
from train.synthetic.parameters import PLACES
from train.synthetic.scene import Picture
from train.synthetic.skins import build_bank
from train.synthetic.solid import build_solid, posed_teeth, ride

SKINS, WALLS = 16, 24
GRAIN_STEP = 89
"""Pixels, with no factor in common with the grain's side."""
FRONT = -0.05
"""Metres: what of the neck's edge lies before it is seen from the front."""


@dataclass(frozen=True, slots=True)
class Take:
    """A look to be drawn again. What else is drawn by chance is the same when `random` is: in a clip all but grain."""

    look: Look
    frame: int = 0
    """Of a clip: each has its own grain."""


class Studio:
    """Draws faces of one head in squares of `size` pixels."""

    def __init__(self, head: HeadModel, *, size: int, seed: int, occluders: bool) -> None:
        random = np.random.default_rng((seed, 2**32))
        self.spanning = spanning_vertices(head)
        self._size, self._occluders = size, occluders
        self._solid = build_solid(head)
        self._bank = build_bank(random, SKINS)
        self._walls = scene.build_walls(random, WALLS)
        self._grain = lens.build_grain(random)
        template = head.template
        edge, scalp = head.regions["boundary"], head.regions["scalp"]
        self._neck, self._collar = edge, edge[template[edge, 2] > FRONT]
        self._scalp = scalp[template[scalp, 1] > 0]

    def picture(
        self,
        random: np.random.Generator,
        vertices: FloatArray,
        parameters: FloatArray,
        turns: FloatArray,
        take: Take | None = None,
    ) -> Pixels:
        """The image [size, size, 3] of a posed head [V, 3] with parameters [361] and rotation [3, 3].

        Without a `take` the look is drawn like everything else.
        """
        look = take.look if take else draw_look(random)
        resolution = lens.draw_resolution(random, self._size)
        view = _View(parameters[PLACES["camera"]], lens.drawn_size(resolution, self._size))
        picture = scene.draw_background(random, view.size, self._walls)
        colour = scene.draw_shoulders(random, picture, view.pixels(vertices[self._neck]), view.metre)
        scene.draw_hair(random, picture, view.pixels(vertices[self._scalp]), view.metre, look, self._walls)
        picture = self._with_head(picture, view, vertices, parameters, turns, look)
        scene.draw_collar(picture, view.pixels(vertices[self._collar]), view.metre, colour)
        if self._occluders:
            self._cover(random, picture, view, vertices, parameters, turns, look)
        grain = np.roll(self._grain, take.frame * GRAIN_STEP, axis=(0, 1)) if take and take.frame else self._grain
        return lens.photograph(random, picture, resolution, self._size, grain)

    def _with_head(
        self,
        picture: Picture,
        view: "_View",
        vertices: FloatArray,
        parameters: FloatArray,
        turns: FloatArray,
        look: Look,
    ) -> Picture:
        jaw = float(parameters[PLACES["jaw"].start])
        teeth = posed_teeth(self._solid, parameters[PLACES["shape"]], turns, jaw)
        drawn = draw(self._solid, np.concatenate([vertices, teeth]), view.camera, look, self._bank, view.size)
        pixels = np.array(picture)
        pixels.reshape(-1, 3)[drawn.covered] = drawn.colours.T
        return Image.fromarray(pixels)

    def _cover(
        self,
        random: np.random.Generator,
        picture: Picture,
        view: "_View",
        vertices: FloatArray,
        parameters: FloatArray,
        turns: FloatArray,
        look: Look,
    ) -> None:
        if random.random() < occluders.GLASSES:
            points = occluders.glasses_points(random)
            shape = parameters[PLACES["shape"]]
            left, right = self._solid.eye_shapes @ shape
            share = np.clip(0.5 + points[:, :1] / (2 * occluders.LENS_X), 0, 1)  # wider eyes have wider glasses
            worn = ride(self._solid, points, share * left + (1 - share) * right, shape, turns)
            occluders.draw_glasses(random, picture, view.pixels(worn), view.metre, float(turns[0, 2]))
        if random.random() < occluders.OCCLUDED:
            middle = view.pixels(vertices[self.spanning]).mean(axis=0)
            occluders.draw_occluder(random, picture, middle, view.metre, look, self._walls)


class _View:
    """Where points lie in a picture of `size` pixels; `metre` is how many pixels one is long."""

    def __init__(self, camera: FloatArray, size: int) -> None:
        self.camera, self.size = camera, size
        self.metre = float(camera[0]) * size / 2

    def pixels(self, points: FloatArray) -> FloatArray:
        """Points [N, 3] in metres, in pixels [N, 2] from the outer corner."""
        seen = self.camera[0] * (points[:, :2] + self.camera[1:]) * (1, -1)
        return np.asarray((1 + seen) * (self.size / 2), np.float32)
