"""The light of a photo is found, and moves with the skin."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.spec import FloatArray
from train.real.light import BRIGHTEST, DARKEST, light_of, lit, relit

SIDE = 120


def ball() -> tuple[torch.Tensor, torch.Tensor]:
    """Places [K, 2] in a picture of a ball, and its normals [K, 3], y up and z to the viewer."""
    line = torch.linspace(-0.8, 0.8, 40)
    x, y = (part.flatten() for part in torch.meshgrid(line, line, indexing="xy"))
    inside = x.square() + y.square() < 0.8
    x, y = x[inside], y[inside]
    normals = F.normalize(torch.stack([x, y, (1 - x.square() - y.square()).clamp(min=0).sqrt()], dim=1), dim=1)
    return torch.stack([(1 + x) / 2 * SIDE, (1 - y) / 2 * SIDE], dim=1), normals


def shone_on(light: tuple[float, float, float, float]) -> FloatArray:
    """A picture [SIDE, SIDE, 3] of the ball."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    x, y = 2 * columns / SIDE - 1, 1 - 2 * rows / SIDE
    z = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
    bright = 100 * (light[0] + light[1] * x + light[2] * y + light[3] * z)
    return np.repeat(bright[..., None], 3, axis=2)


@pytest.mark.parametrize("light", [(0.5, 0.3, 0.0, 0.3), (0.5, -0.25, 0.25, 0.3)])
def test_where_the_light_comes_from_is_told_from_the_brightness(light: tuple[float, float, float, float]) -> None:
    places, normals = ball()
    found = light_of(shone_on(light).clip(0, 255).astype(np.uint8), places, normals).numpy()
    sideways = found[1:3] / found[0]
    assert sideways == pytest.approx(np.array(light[1:3]) / light[0], abs=0.2)


def test_a_picture_without_skin_is_lit_evenly() -> None:
    places, normals = ball()
    light = light_of(np.zeros((SIDE, SIDE, 3), np.uint8), places + 1000, normals)
    assert (lit(light, normals) == 1).all()


def test_skin_that_turns_to_the_light_gets_brighter() -> None:
    bright = lit(torch.tensor([0.6, 0.5, 0.0, 0.1]), torch.tensor([[1.0, 0, 0], [0, 0, 1.0], [-1.0, 0, 0]]))
    assert bright[0] > bright[1] > bright[2] > 0


def test_skin_changes_by_so_much_at_most_and_what_is_around_it_ever_less() -> None:
    picture = np.full((60, 120, 3), 100, np.uint8)
    mask = np.zeros((60, 120), bool)
    mask[:, :30] = True
    brighter, darker = (relit(picture, np.full((60, 120), change, np.float32), mask) for change in (9.0, 0.01))
    assert (brighter[:, :30] == round(100 * BRIGHTEST)).all()
    assert (darker[:, :30] == round(100 * DARKEST)).all()
    assert (brighter[:, 70:] == 100).all()
    steps = np.diff(brighter[30, :, 0].astype(int))
    assert steps.max() <= 0
    assert steps.min() > -6  # no edge where the mask ends
