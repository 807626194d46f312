"""The overlay lies where the head is seen, only there, and lets the picture show through."""

import numpy as np
import pytest

from models.open_head import load_open_head
from models.spec import FLAME_LAYOUT, Affect, FlameParams
from stream.frame import AnalysedFace, Pixels, TrackedFace
from stream.render.label import draw_label
from stream.render.mesh import OPACITY, MeshPainter

BLUE = (0, 0, 200)
CALM = Affect(0.0, 0.0)


@pytest.fixture(scope="module")
def painter() -> MeshPainter:
    return MeshPainter(load_open_head())


def face(centre: tuple[float, float], side: float, **changed: list[float]) -> AnalysedFace:
    values = {name: np.zeros(size, np.float32) for name, size in FLAME_LAYOUT.items()}
    values["camera"] = np.array([8.0, 0.0, -0.01], np.float32)
    values |= {name: np.array(value, np.float32) for name, value in changed.items()}
    landmarks = np.zeros((478, 3), np.float32)
    return AnalysedFace(TrackedFace(1, True, 1.0, landmarks), (*centre, side), FlameParams(**values), CALM)


def picture(height: int = 160, width: int = 200) -> Pixels:
    return np.full((height, width, 3), BLUE, np.uint8)


def painted(painter: MeshPainter, *faces: AnalysedFace, height: int = 160, width: int = 200) -> np.ndarray:
    """Where the mesh is [H, W]: there a share of what is beneath shows through; in letters none, elsewhere all."""
    on_white, on_black = (
        painter.paint(np.full((height, width, 3), level, np.uint8), faces, [CALM] * len(faces)).astype(int)
        for level in (250, 0)
    )
    return (np.abs(on_white - on_black - (1 - OPACITY) * 250) <= 1).all(axis=2)


def test_a_picture_without_faces_stays_as_it_is_and_is_copied(painter: MeshPainter) -> None:
    rgb = picture()
    drawn = painter.paint(rgb, (), ())
    assert (drawn == rgb).all()
    assert drawn is not rgb


def test_the_mesh_lies_in_its_crop_and_follows_it_by_whole_pixels(painter: MeshPainter) -> None:
    here = painted(painter, face((80, 90), 120))
    rows, columns = here.nonzero()
    assert here.sum() > 2000
    assert 40 < columns.min() < columns.max() < 120
    assert columns.mean() == pytest.approx(80, abs=1)  # whole numbers are pixel centres, and the head is symmetric
    there = painted(painter, face((95, 97), 120))
    rows_there, columns_there = there.nonzero()
    assert columns_there.mean() - columns.mean() == pytest.approx(15, abs=0.2)
    assert rows_there.max() - rows.max() == 7


def test_a_turned_head_shows_its_turn(painter: MeshPainter) -> None:
    """A positive yaw moves the nose, in front of the axis, to the right of the picture; a roll tips anticlockwise."""
    straight = painted(painter, face((100, 80), 100)).nonzero()[1].mean()
    turned = painted(painter, face((100, 80), 100, pose=[0, 0.5, 0])).nonzero()[1].mean()
    tipped = painted(painter, face((100, 80), 100, pose=[0, 0, 0.3])).nonzero()[1].mean()
    assert turned > straight + 5
    assert tipped < straight - 5  # the face is above the neck, about which it turns


def test_an_opened_jaw_opens_the_mouth_and_closed_lids_close_the_eyes(painter: MeshPainter) -> None:
    rest = painted(painter, face((100, 80), 150))
    opened = painted(painter, face((100, 80), 150, jaw=[0.5, 0, 0]))
    closed = painted(painter, face((100, 80), 150, eyelids=[1, 1]))
    assert opened.nonzero()[0].max() > rest.nonzero()[0].max() + 3  # the chin goes down
    assert (closed & ~rest).sum() > 20  # what was a gap between the lids is skin


def test_the_person_shows_through(painter: MeshPainter) -> None:
    bright, dark = (
        painter.paint(np.full((160, 200, 3), v, np.uint8), [face((100, 80), 120)], [CALM]) for v in (250, 0)
    )
    at = (75, 100)  # on the nose
    assert int(bright[at][0]) - int(dark[at][0]) == pytest.approx((1 - OPACITY) * 250, abs=1)
    assert dark[at][0] > 60


def test_faces_at_and_beyond_the_edge_are_cut_off_there(painter: MeshPainter) -> None:
    assert painted(painter, face((0, 80), 100)).any()
    assert painted(painter, face((199, 159), 100)).any()
    assert not painted(painter, face((-500, 80), 100)).any()


def test_the_nearer_of_two_faces_is_on_top(painter: MeshPainter) -> None:
    near, far = face((100, 80), 140), face((110, 80), 60)
    both = painter.paint(picture(), [near, far], [CALM, CALM])
    swapped = painter.paint(picture(), [far, near], [CALM, CALM])
    assert (both == swapped).all()


def test_a_label_stays_inside_the_picture() -> None:
    for left, bottom in ((-50, -50), (500, 500), (20, 40)):
        rgb = picture(60, 220)
        draw_label(rgb, left, bottom, "face 1   V +0.50   A -0.25")
        assert (rgb == 255).all(axis=2).sum() > 30
    small = picture(8, 12)
    draw_label(small, 0, 8, "face 1")
    assert small.shape == (8, 12, 3)
