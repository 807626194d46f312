"""A head's picture: paint that moves with the face, teeth that ride on it, light."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.flame import HeadLayer, rotation_matrices
from models.head import HeadModel
from models.open_basis import EXPRESSION_NAMES
from train.synthetic.crop import crop_camera, spanning_vertices
from train.synthetic.draw import draw
from train.synthetic.look import Light, Look, draw_look
from train.synthetic.parameters import axis_angle
from train.synthetic.skins import BROW, SIZE, Bank, build_bank
from train.synthetic.solid import JAW, ROOT, Solid, build_solid, posed_teeth, ride

PIXELS = 160
AHEAD = Light(np.array([0, 0, 1], np.float32), np.full(3, 0.5, np.float32))


@pytest.fixture(scope="module")
def solid(head: HeadModel) -> Solid:
    return build_solid(head)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return build_bank(np.random.default_rng(0), 1)


@pytest.fixture(scope="module")
def plain() -> Look:
    """A clear skin in even light; its eyes are blue, its brows black."""
    look = draw_look(np.random.default_rng(0))
    colours = {"skin": (0.8, 0.6, 0.5), "white": (0.9, 0.9, 0.9), "iris": (0.1, 0.2, 0.9), "beard_hair": (0, 0, 0)}
    return replace(
        look,
        **{name: np.array(colour, np.float32) for name, colour in colours.items()},
        **{"mottling": 0.0, "redness": 0.0, "bumps": 0.0, "shine": 0.0, "hair_cover": 0.0, "beard": 0.0, "lashes": 0.0},
        **{"moustache": 0.0, "brow": 1.0, "ambient": np.full(3, 0.5, np.float32), "lights": (AHEAD,)},
    )


def picture(
    head: HeadModel, solid: Solid, look: Look, bank: Bank, lids: float = 0.0, jaw: float = 0.0, **actions: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The picture [PIXELS, PIXELS, 3], its camera, and the posed vertices."""
    expression = torch.zeros(1, 50)
    for name, value in actions.items():
        expression[0, EXPRESSION_NAMES.index(name)] = value
    still = torch.zeros(1, 3)
    posed = HeadLayer(head)(still, expression, still, torch.tensor([[jaw, 0, 0]]), torch.full((1, 2), lids))
    vertices = posed.vertices[0].numpy()
    teeth = posed_teeth(solid, np.zeros(300, np.float32), np.eye(3, dtype=np.float32), jaw)
    camera = crop_camera(head.template[spanning_vertices(head)])
    drawn = draw(solid, np.concatenate([vertices, teeth]), camera, look, bank, PIXELS)
    image = np.zeros((PIXELS * PIXELS, 3))
    image[drawn.covered] = drawn.colours.T
    return image.reshape(PIXELS, PIXELS, 3), camera, vertices


def about(head: HeadModel, camera: np.ndarray, point: tuple[float, float]) -> tuple[int, int]:
    """Row and column of a place in metres."""
    x, y = camera[0] * (np.array(point) + camera[1:]) * (1, -1)
    return int((1 + y) * PIXELS / 2), int((1 + x) * PIXELS / 2)


def test_lids_hide_blue_eyes(head: HeadModel, solid: Solid, plain: Look, bank: Bank) -> None:
    def blue(image: np.ndarray) -> int:
        return int((image[..., 2] > 1.5 * image[..., 0] + 10).sum())

    opened, closed = (picture(head, solid, plain, bank, lids=lids)[0] for lids in (0.0, 1.0))
    assert blue(opened) > 20
    assert blue(closed) == 0


def test_eyes_look_where_they_are_told(head: HeadModel, solid: Solid, plain: Look, bank: Bank) -> None:
    def column(image: np.ndarray) -> float:
        return float((image[..., 2] > 1.5 * image[..., 0] + 10).nonzero()[1].mean())

    left, _, _ = picture(head, solid, plain, bank, eyeLookOutLeft=0.6, eyeLookInRight=0.6)
    right, _, _ = picture(head, solid, plain, bank, eyeLookInLeft=0.6, eyeLookOutRight=0.6)
    assert column(left) > column(right) + 4  # the subject's left is the picture's right


def test_brows_move_with_the_face(head: HeadModel, solid: Solid, plain: Look, bank: Bank) -> None:
    def height(**actions: float) -> float:
        image, camera, _ = picture(head, solid, plain, bank, **actions)
        top, _ = about(head, camera, (0, 0.075))
        bottom, _ = about(head, camera, (0, 0.045))
        forehead = image[top:bottom, PIXELS // 4 : 3 * PIXELS // 4].sum(axis=2)
        return float((forehead < 0.45 * np.median(forehead)).nonzero()[0].mean())

    assert height(browInnerUp=1.0, browOuterUpLeft=1.0, browOuterUpRight=1.0) < height() - 2


def test_an_open_mouth_is_dark_inside_and_has_teeth(head: HeadModel, solid: Solid, plain: Look, bank: Bank) -> None:
    look = replace(plain, teeth=np.array((0.2, 1, 0.2), np.float32))
    shut, _, _ = picture(head, solid, look, bank)
    opened, camera, _ = picture(head, solid, look, bank, jaw=0.4, mouthUpperUpLeft=0.6, mouthUpperUpRight=0.6)
    green = [(image[..., 1] > 1.5 * image[..., 0] + 10).sum() for image in (shut, opened)]
    assert green[0] < 5  # a pixel or two where the lips' corners meet
    assert green[1] > 15
    row, column = about(head, camera, (0, -0.046))
    assert opened[row, column].sum() < 0.4 * shut[row, column].sum()


def test_light_from_one_side_lights_that_side(head: HeadModel, solid: Solid, plain: Look, bank: Bank) -> None:
    side = Light(np.array([1, 0, 0], np.float32), np.full(3, 0.8, np.float32))
    image, _, _ = picture(head, solid, replace(plain, lights=(side,), ambient=np.full(3, 0.1, np.float32)), bank)
    middle = PIXELS // 2
    assert image[:, middle:].mean() > 1.8 * image[:, :middle].mean()


def test_what_rides_on_the_skull_goes_with_it(head: HeadModel, solid: Solid) -> None:
    random = np.random.default_rng(2)
    shape = random.normal(size=300).astype(np.float32)
    pose = axis_angle(35, -15, 20)
    rigid = np.flatnonzero(head.skinning[:, :2].sum(axis=1) > 0.9999)
    layer, still = HeadLayer(head), torch.zeros(1, 3)
    posed = layer(torch.from_numpy(shape)[None], still, torch.from_numpy(pose)[None], still, torch.zeros(1, 2))
    turns = rotation_matrices(torch.from_numpy(pose)[None])[0].numpy()
    ridden = ride(solid, head.template[rigid], head.shape_basis[rigid] @ shape, shape, turns)
    assert len(rigid) > 500
    assert np.abs(ridden - posed.vertices[0].numpy()[rigid]).max() < 1e-5


def test_lower_teeth_follow_the_jaw(solid: Solid) -> None:
    still, straight = np.zeros(300, np.float32), np.eye(3, dtype=np.float32)
    upper, lower = np.split(posed_teeth(solid, still, straight, 0.4), 2)
    assert np.allclose(upper, solid.teeth[0], atol=1e-6)
    assert (lower[:, 1] < solid.teeth[1, :, 1] - 0.01).all()
    assert solid.joints.shape == (5, 3)
    assert solid.joints[JAW, 1] > solid.joints[ROOT, 1]


def test_skins_have_brows_above_the_eyes_on_both_sides(bank: Bank) -> None:
    brow = bank[0, ..., BROW].astype(float)
    rows, columns = (brow > 100).nonzero()
    assert bank.shape == (1, SIZE, SIZE, 8)
    assert np.ptp(rows) < 0.1 * SIZE
    assert (columns < SIZE // 2).sum() == pytest.approx((columns >= SIZE // 2).sum(), rel=0.5)


def test_looks_go_from_light_to_dark() -> None:
    looks = [draw_look(np.random.default_rng(i)) for i in range(300)]
    tones = np.array([look.skin.mean() for look in looks])
    assert np.quantile(tones, 0.1) < 0.35
    assert np.quantile(tones, 0.9) > 0.7
    for look in looks:
        facing = look.ambient + sum(max(float(light.towards[2]), 0) * light.colour for light in look.lights)
        assert 0.5 < facing.mean() < 1.5
