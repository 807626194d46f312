"""What the rasteriser sees, against geometry that is known and a search of every triangle at every pixel."""

import sys
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from models import rasterise as module
from models.errors import EngineError
from models.rasterise import EMPTY, Size, open_rasteriser, rasterise, scanlines
from models.rasterise_cuda import clip_space
from tests.models.meshes import ellipsoid

SIZE: Size = (37, 53)


def centres(size: Size) -> Tensor:
    """[H, W, 2] x, y in float64."""
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) + 0.5 for side in size), indexing="ij")
    return torch.stack((x, y), dim=2)


def doubled_area(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def one_by_one(points: Tensor, faces: Tensor, size: Size) -> Tensor:
    """The rasteriser's oracle [H, W] for one mesh: each triangle by its edges, at every pixel."""
    nearest = torch.full(size, torch.inf, dtype=torch.float64)
    seen = torch.full(size, EMPTY)
    places = centres(size)
    for number, (a, b, c) in enumerate(points.double()[faces]):
        sides = [doubled_area(q - p, places - p[:2]) for p, q in ((b, c), (c, a), (a, b))]
        weights = torch.stack(sides, dim=2) / doubled_area(b - a, c - a)
        depth = weights @ torch.stack((a[2], b[2], c[2]))
        closer = (weights > 0).all(dim=2) & (depth < nearest)
        nearest[closer], seen[closer] = depth[closer], number
    return seen


def soup(seed: int, triangles: int = 60, spread: float = 1.5) -> tuple[Tensor, Tensor]:
    """Triangles that cross each other and the border, [1, V, 3] and [F, 3]."""
    random = torch.Generator().manual_seed(seed)
    points = torch.rand((1, triangles, 3), generator=random) * 2 - 1
    places = points * torch.tensor([SIZE[1], SIZE[0], 2.0]) * spread / 2
    return places + torch.tensor([SIZE[1] / 2, SIZE[0] / 2, 0.0]), torch.randint(
        triangles, (triangles, 3), generator=random
    )


@pytest.mark.parametrize("seed", range(6))
def test_every_pixel_sees_the_nearest_triangle_over_its_centre(seed: int) -> None:
    points, faces = soup(seed)
    found = scanlines(points, faces, SIZE)[0]
    assert len(found.unique()) > 10
    torch.testing.assert_close(found, one_by_one(points[0], faces, SIZE), rtol=0, atol=0)


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.75])
def test_a_pixel_is_covered_when_its_centre_is(shift: float) -> None:
    low, high = 5 + shift, 20 + shift
    points = torch.tensor([[[low, low, 0], [high, low, 0], [high, high, 0], [low, high, 0.0]]])
    covered = scanlines(points, torch.tensor([[0, 1, 2], [0, 2, 3]]), SIZE)[0] != EMPTY
    inside = ((centres(SIZE) >= low) & (centres(SIZE) < high)).all(dim=2)
    torch.testing.assert_close(covered, inside)


def test_a_disc_covers_its_area() -> None:
    corners = torch.arange(720) * (2 * torch.pi / 720)
    rim = torch.stack((corners.cos(), corners.sin(), 0 * corners), dim=1) * 90 + torch.tensor([111.3, 112.9, 0])
    points = torch.cat((rim, torch.tensor([[111.3, 112.9, 0]])))[None]
    around = torch.arange(720)
    faces = torch.stack((around, around.roll(-1), torch.full_like(around, 720)), dim=1)
    covered = (scanlines(points, faces, (224, 224)) != EMPTY).sum().item()
    assert covered == pytest.approx(torch.pi * 90**2, rel=1e-3)


def test_triangles_side_by_side_share_pixels_without_gap_or_overlap() -> None:
    """Also where corners and edges run through pixel centres."""
    random = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(-1, 11), torch.arange(-1, 15), indexing="ij")
    corners = torch.stack((x, y), dim=2) * 4 + torch.randint(-2, 3, (12, 16, 2), generator=random) * 0.25 + 0.5
    points = torch.cat((corners, torch.rand((12, 16, 1), generator=random)), dim=2).view(-1, 3)
    here = torch.arange(12 * 16).view(12, 16)[:-1, :-1].flatten()
    faces = torch.cat((torch.stack((here, here + 1, here + 17), 1), torch.stack((here, here + 17, here + 16), 1)))
    alone = scanlines(points[faces], torch.tensor([[0, 1, 2]]), SIZE) != EMPTY  # each triangle in its own picture
    assert (alone.sum(dim=0) == 1).all()
    together = scanlines(points[None], faces, SIZE)[0]
    torch.testing.assert_close(together, alone.int().argmax(dim=0))


def test_both_sides_are_seen_and_the_order_of_triangles_does_not_matter() -> None:
    points, faces = soup(7)
    found = scanlines(points, faces, SIZE)
    torch.testing.assert_close(scanlines(points, faces.flip(1), SIZE), found)
    backwards = scanlines(points, faces.flip(0), SIZE)
    torch.testing.assert_close(torch.where(backwards == EMPTY, EMPTY, len(faces) - 1 - backwards), found)


def test_of_equally_near_triangles_the_first_is_seen() -> None:
    points = torch.tensor([[[0.0, 0, 1], [60, 0, 1], [0, 60, 1]]])
    assert (scanlines(points, torch.tensor([[0, 1, 2], [2, 0, 1]]), (20, 20)) == 0).all()


def test_depths_of_either_sign_are_ordered() -> None:
    depths = torch.tensor([3.0, -1e-3, 1e-3, 0.0, -3.0, -2.9, 1e30, -1e-30])
    flat = torch.tensor([[0.0, 0], [60, 0], [0, 60]])
    points = torch.cat((flat.repeat(len(depths), 1), depths.repeat_interleave(3)[:, None]), dim=1)[None]
    layers = torch.arange(len(depths) * 3).view(-1, 3)
    while len(layers):
        nearest = depths[layers[:, 0] // 3].argmin()
        assert (scanlines(points, layers, (3, 3)) == nearest).all()
        layers = torch.cat((layers[:nearest], layers[nearest + 1 :]))


def test_what_lies_outside_is_cut_at_the_border() -> None:
    giant = torch.tensor([[[-1e6, -1e6, 0], [3e6, -1e6, 0], [-1e6, 3e6, 0.0]]])
    assert (scanlines(giant, torch.tensor([[0, 1, 2]]), SIZE) == 0).all()
    for x, y in ((-100.0, 0), (100, 0), (0, -100), (0, 100)):
        away = torch.tensor([[[x, y, 0], [x + 40, y, 0], [x, y + 30, 0]]])
        assert (scanlines(away, torch.tensor([[0, 1, 2]]), SIZE) == EMPTY).all()


@pytest.mark.parametrize("corner", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("axis", range(3))
def test_a_triangle_that_is_not_finite_is_not_seen(corner: float, axis: int) -> None:
    points, faces = soup(3)
    broken = points.clone()
    broken[0, 5, axis] = corner
    kept = (faces != 5).all(dim=1).nonzero()[:, 0]
    assert len(kept) < len(faces)
    found = scanlines(points, faces[kept], SIZE)
    expected = torch.where(found == EMPTY, EMPTY, kept[found])
    torch.testing.assert_close(scanlines(broken, faces, SIZE), expected)


def test_a_triangle_without_area_is_not_seen_and_has_finite_weights() -> None:
    points = torch.tensor([[[1.0, 1, 0], [9, 9, 0], [5, 5, 0], [1, 20, 0]]], requires_grad=True)
    faces = torch.tensor([[0, 1, 2], [0, 0, 1], [2, 2, 2], [0, 1, 3]])
    fragments = rasterise(points, faces, SIZE, scanlines)
    assert set(fragments.triangles.unique().tolist()) == {EMPTY, 3}
    weights = module.barycentric(*(points[0, faces.T] - 3.0).unbind(dim=2)[:2])
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(4))
    weights[0].sum().backward()  # type: ignore[no-untyped-call]
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_nothing_gives_empty_pictures() -> None:
    points, faces = soup(0)
    assert rasterise(points[:0], faces, SIZE, scanlines).triangles.shape == (0, *SIZE)
    empty = rasterise(points, faces[:0], SIZE, scanlines)
    assert not empty.mask.any()
    assert (empty.picture(empty.interpolate(points, faces), background=0.25) == 0.25).all()


def test_a_batch_is_each_mesh_alone_and_memory_bounds_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = soup(0)[1]
    points = torch.cat([soup(seed)[0] for seed in range(5)])
    together = scanlines(points, faces, SIZE)
    alone = torch.cat([scanlines(each[None], faces, SIZE) for each in points])
    torch.testing.assert_close(together, alone, rtol=0, atol=0)
    monkeypatch.setattr(module, "TRIANGLES_AT_ONCE", 2 * len(faces) + 1)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 500)
    torch.testing.assert_close(scanlines(points, faces, SIZE), together, rtol=0, atol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
def test_what_is_linear_over_the_picture_is_interpolated_exactly(dtype: torch.dtype, tolerance: float) -> None:
    points, faces = soup(2)
    points = points.to(dtype).repeat(2, 1, 1) + torch.tensor([[[0.0, 0, 0]], [[3, -2, 0]]], dtype=dtype)
    fragments = rasterise(points, faces, SIZE, scanlines)
    places = fragments.picture(fragments.interpolate(points[..., :2], faces), background=-5)
    expected = torch.where(fragments.mask[:, None], centres(SIZE).to(dtype).permute(2, 0, 1), -5)
    torch.testing.assert_close(places, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(fragments.weights.sum(dim=0), torch.ones_like(fragments.weights[0]))


def test_numbers_with_seams_are_interpolated_by_their_own_corners() -> None:
    points = torch.tensor([[[0.0, 0, 0], [20, 0, 0], [20, 20, 0], [0, 20, 0]]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    fragments = rasterise(points, faces, (20, 20), scanlines)
    values = torch.tensor([[[1.0], [1], [1], [7], [7], [7]]], dtype=torch.float64)  # a jump along the diagonal
    picture = fragments.picture(fragments.interpolate(values, torch.tensor([[0, 1, 2], [3, 4, 5]])))[0, 0]
    torch.testing.assert_close(picture, torch.where(fragments.triangles[0] == 0, 1.0, 7.0).double())
    with pytest.raises(ValueError, match="values of 2 meshes for 1 pictures"):
        fragments.interpolate(values.repeat(2, 1, 1), faces)


def test_gradients_are_those_of_finite_differences() -> None:
    points, faces = soup(4, triangles=12)
    colours = torch.rand((1, 12, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def draw(points: Tensor, colours: Tensor) -> Tensor:
        fragments = rasterise(points, faces, (9, 13), scanlines)
        return fragments.picture(fragments.interpolate(colours, faces))

    points = (points.double() / 4).requires_grad_()
    assert draw(points, colours).count_nonzero() > 100
    torch.autograd.gradcheck(draw, (points, colours.requires_grad_()))


def test_other_shapes_are_refused() -> None:
    points, faces = soup(0)
    for wrong in ((points[0], faces), (points[..., :2], faces), (points, faces[:, :2]), (points, faces[None])):
        with pytest.raises(ValueError, match=r"expected \[B, V, 3\] and \[F, 3\]"):
            rasterise(*wrong, SIZE, scanlines)


def test_rasterisers_are_opened_by_name_or_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_rasteriser() is open_rasteriser("torch") is scanlines
    with pytest.raises(EngineError, match=r"^rasteriser opengl: expected torch or nvdiffrast$"):
        open_rasteriser("opengl")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EngineError, match=r"no NVIDIA GPU here; the torch rasteriser works without$"):
        open_rasteriser("nvdiffrast")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "nvdiffrast", None)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", None)
    with pytest.raises(EngineError, match=r"cannot be imported .*non-commercial licence.*pip install"):
        open_rasteriser("nvdiffrast")


def test_clip_space_puts_pixel_centres_where_opengl_samples_them() -> None:
    height, width = SIZE
    points = torch.tensor([[[0.5, 0.5, 7.0], [width - 0.5, 0.5, 3.0], [0.5, height - 0.5, 5.0]]])
    x, y, depth, w = clip_space(points, SIZE)[0].unbind(dim=1)
    torch.testing.assert_close(x, torch.tensor([1 / width - 1, 1 - 1 / width, 1 / width - 1]))
    torch.testing.assert_close(y, torch.tensor([1 / height - 1, 1 / height - 1, 1 - 1 / height]))
    torch.testing.assert_close(depth, torch.tensor([0.9, -0.9, 0.0]))
    assert (w == 1).all()
    assert clip_space(points * torch.tensor([1, 1, 0.0]), SIZE).isfinite().all()  # a flat mesh


def differing(found: Tensor, expected: Tensor) -> float:
    """The share of the expected pixels that see another triangle."""
    return ((found.cpu() != expected).sum() / (expected != EMPTY).sum()).item()


def heads() -> Iterable[tuple[Tensor, Tensor, Size]]:
    for height, width in ((224, 224), (360, 640), (37, 53)):
        vertices, faces = ellipsoid((0.3, 0.4, 0.35))
        flipped = vertices * torch.tensor([height, height, -height])
        points = flipped + torch.tensor([width / 2 + 0.123, height / 2 - 0.321, 0])
        yield torch.stack((points, points + torch.tensor([height / 2, 3, 0]))).float(), faces, (height, width)


@pytest.mark.gpu
def test_a_gpu_sees_the_same_as_the_cpu() -> None:
    for points, faces, size in heads():
        assert differing(scanlines(points.cuda(), faces.cuda(), size), scanlines(points, faces, size)) < 1e-4


@pytest.mark.gpu
def test_nvdiffrast_sees_the_same_as_torch() -> None:
    pytest.importorskip("nvdiffrast", reason="nvdiffrast is not installed (non-commercial licence, by hand)")
    rasteriser = open_rasteriser("nvdiffrast")
    for points, faces, size in heads():
        found = rasteriser(points.cuda(), faces.cuda(), size)
        assert differing(found, scanlines(points, faces, size)) < 0.01  # centres within 1/16 pixel of an edge
        empty = rasteriser(points.cuda()[:0], faces.cuda(), size)
        assert empty.shape == (0, *size)
    with pytest.raises(ValueError, match="expected a CUDA device"):
        rasteriser(points, faces, size)
