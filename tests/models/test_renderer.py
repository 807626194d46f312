"""SMIRK's picture: where it lies, how bright it is, and what moves it."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from models.flame import project
from models.geometry import crop_faces
from models.rasterise import EMPTY, open_rasteriser, rasterise, scanlines
from models.renderer import FaceMesh, render_face, render_shaded, shade, to_frame, to_pixels, vertex_normals
from models.spec import CROP_SIZE
from tests.models.meshes import ellipsoid, made_head

FRONTAL = 180 / 255 * 1.7 * (1 + 4 / math.sqrt(3)) / 5
"""What SMIRK's renderer gives a surface that faces the viewer: 0.794."""
WHOLE = torch.arange(4), torch.tensor([[0, 1, 2], [0, 2, 3]])
CAMERA = torch.tensor([[8.0, 0.01, -0.02]])


def plate(turned_by: float = 0.0) -> Tensor:
    """A square of 10 cm that faces the viewer [1, 4, 3], counter-clockwise; turned about y by an angle in radians."""
    corners = torch.tensor([[-0.05, -0.05, 0], [0.05, -0.05, 0], [0.05, 0.05, 0], [-0.05, 0.05, 0]])
    cos, sin = math.cos(turned_by), math.sin(turned_by)
    return (corners @ torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T)[None]


def face_like() -> tuple[Tensor, FaceMesh]:
    """An ellipsoid as large as a head [1, V, 3], metres, with 3444 triangles."""
    vertices, faces = ellipsoid((0.08, 0.11, 0.1))
    return vertices[None].float(), FaceMesh(torch.arange(len(vertices)), faces)


def test_a_point_lies_where_smirk_puts_it() -> None:
    points = torch.tensor([[[0.03, 0.05, -0.02]]])
    x, y, depth = to_pixels(project(points, CAMERA))[0, 0].tolist()
    assert x == pytest.approx((1 + 8 * (0.03 + 0.01)) / 2 * 224, abs=1e-4)
    assert y == pytest.approx((1 - 8 * (0.05 - 0.02)) / 2 * 224, abs=1e-4)
    assert depth == pytest.approx(8 * 0.02)
    assert to_pixels(torch.tensor([[[-1.0, 1.0, 3.0]]]), (20, 30)).flatten().tolist() == [0, 20, 3]


def test_the_pixels_of_a_frontal_plate_are_its_own_and_0794() -> None:
    rendered = render_face(plate(), CAMERA, FaceMesh(*WHOLE))
    assert rendered.image.shape == (1, 3, CROP_SIZE, CROP_SIZE)
    assert pytest.approx(0.794, abs=5e-4) == FRONTAL
    left, right = ((1 + 8 * (x + 0.01)) * 112 for x in (-0.05, 0.05))
    top, bottom = ((1 - 8 * (y - 0.02)) * 112 for y in (0.05, -0.05))
    expected = torch.zeros(CROP_SIZE, CROP_SIZE)
    expected[math.ceil(top - 0.5) : math.ceil(bottom - 0.5), math.ceil(left - 0.5) : math.ceil(right - 0.5)] = FRONTAL
    torch.testing.assert_close(rendered.image, expected.expand(1, 3, -1, -1), rtol=0, atol=1e-6)
    assert (rendered.image[~rendered.mask.expand(-1, 3, -1, -1)] == 0).all()
    torch.testing.assert_close(rendered.mask[0, 0], expected > 0)


@pytest.mark.parametrize("turned_by", [0.3, -0.9, 1.4])
def test_a_turned_plate_is_lit_by_the_five_lamps(turned_by: float) -> None:
    rendered = render_face(plate(turned_by), CAMERA, FaceMesh(*WHOLE))
    x, z = math.sin(turned_by), math.cos(turned_by)
    lamps = np.array([[-1, 1, 1], [1, 1, 1], [-1, -1, 1], [1, -1, 1], [0, 0, math.sqrt(3)]]) / math.sqrt(3)
    light = np.clip(lamps @ [x, 0, z], 0, 1).mean() * 1.7
    seen = rendered.image[:, :1][rendered.mask]
    assert len(seen) > 100
    torch.testing.assert_close(seen, torch.full_like(seen, light * 180 / 255))


def test_what_faces_away_is_black_and_hides_what_is_behind() -> None:
    away = plate(math.pi) + torch.tensor([0.0, 0, 0.05])
    vertices = torch.cat((plate() * 1.5, away), dim=1)
    mesh = FaceMesh(torch.arange(8), torch.cat((WHOLE[1], WHOLE[1] + 4)))
    rendered = render_face(vertices, CAMERA, mesh)
    by = rendered.fragments.triangles
    assert set(by.unique().tolist()) == {EMPTY, 0, 1, 2, 3}
    assert (rendered.image[:, 0][by >= 2] == 0).all()
    assert (rendered.image[:, 0][(by == 0) | (by == 1)] > 0.79).all()
    torch.testing.assert_close(rendered.mask[:, 0], by != EMPTY)


def test_normals_are_weighted_by_area() -> None:
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3.0]]]) * 0.1
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [0, 3, 1]]))[0]
    torch.testing.assert_close(normals[2], torch.tensor([0.0, 0, 1]))
    torch.testing.assert_close(normals[3], torch.tensor([0.0, 1, 0]))
    torch.testing.assert_close(normals[0], torch.tensor([0.0, 3, 1]) / math.sqrt(10))


def test_a_vertex_with_next_to_no_area_is_darker_as_in_smirk() -> None:
    tiny = plate() * 0.005  # triangles of 0.125 square millimetres
    lengths = vertex_normals(tiny, WHOLE[1])[0].norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([0.5, 0.25, 0.5, 0.25]))


def test_normals_point_outward_and_are_not_made_unit_length_between_corners() -> None:
    vertices, faces = ellipsoid((0.1, 0.1, 0.1), rings=4, sectors=4)
    kept = faces[torch.linalg.det(vertices[faces]).abs() > 1e-9]
    normals = vertex_normals(vertices[None], kept)[0]
    used = kept.unique()
    assert ((normals[used] * vertices[used]).sum(dim=1) > 0.08).all()
    mesh = FaceMesh(torch.arange(len(vertices)), kept)
    rendered = render_face(vertices[None].float(), CAMERA[:, :3], mesh)
    blended = rendered.fragments.interpolate(normals[None].float(), kept)
    lengths = blended.norm(dim=1)
    assert lengths.min() < 0.9
    expected = 180 / 255 * shade(blended)
    torch.testing.assert_close(rendered.image[0, 1][rendered.fragments.mask[0]], expected)


def test_the_light_depends_on_the_head_not_on_the_camera() -> None:
    vertices, mesh = face_like()
    near = render_face(vertices, torch.tensor([[14.0, 0, 0]]), mesh).image
    far = render_face(vertices, torch.tensor([[7.0, 0, 0]]), mesh, size=(112, 112)).image
    assert near[0, 0, 112, 112] == pytest.approx(FRONTAL, abs=2e-3)
    assert far[0, 0, 56, 56] == pytest.approx(FRONTAL, abs=2e-3)


def test_an_ellipsoid_covers_its_area() -> None:
    vertices, mesh = face_like()
    assert len(mesh.faces) == 3444
    rendered = render_face(vertices, torch.tensor([[7.0, 0, 0]]), mesh)
    assert rendered.mask.sum().item() == pytest.approx(math.pi * 0.08 * 0.11 * (7 * 112) ** 2, rel=5e-3)
    assert (rendered.image[:, :1][rendered.mask] > 0.2).all(), "only what faces the viewer is seen of a closed surface"
    assert rendered.image.max() <= FRONTAL + 1e-6


def test_the_face_region_is_the_triangles_between_its_vertices() -> None:
    vertices, faces = ellipsoid((0.08, 0.11, 0.1), rings=6, sectors=8)
    chosen = torch.where(vertices[:, 2] > 0.01)[0].numpy()
    head = made_head(vertices, faces, {"face": chosen, "nose": chosen[:3]})
    mesh = FaceMesh.of(head)
    assert mesh.vertices.tolist() == chosen.tolist()
    inside = np.isin(faces.numpy(), chosen).all(axis=1)
    assert 0 < inside.sum() < len(faces)
    torch.testing.assert_close(mesh.vertices[mesh.faces], faces[torch.from_numpy(inside)])
    whole = FaceMesh.of(head, None)
    torch.testing.assert_close(whole.faces, faces)
    with pytest.raises(ValueError, match="head made: no region chin; expected one of face, nose"):
        FaceMesh.of(head, "chin")
    # normals are those of the region alone: what else hangs on its border does not bend them
    everything = vertices[None].float()
    bent = everything.clone()
    bent[:, torch.where(vertices[:, 2] <= 0.01)[0]] *= 3
    torch.testing.assert_close(render_face(bent, CAMERA, mesh).image, render_face(everything, CAMERA, mesh).image)


def test_a_batch_is_each_face_alone() -> None:
    vertices, mesh = face_like()
    faces = torch.cat((vertices, vertices * 0.7, vertices + 0.02))
    cameras = torch.tensor([[7.0, 0, 0], [9.0, 0.01, 0.02], [5.0, 0.1, 0]])
    together = render_face(faces, cameras, mesh).image
    for face, camera, image in zip(faces, cameras, together, strict=True):
        torch.testing.assert_close(render_face(face[None], camera[None], mesh).image[0], image, rtol=0, atol=1e-6)


def test_a_mesh_lies_on_the_landmarks_of_its_frame() -> None:
    """A bright pixel of a frame, found in its crop, is covered by the plate that SMIRK would put there."""
    frame = np.zeros((360, 640, 3), np.uint8)
    x, y, box = 401, 123, np.array([[395.5, 140.0, 141.0]], np.float32)
    frame[y, x] = 255
    crop = torch.from_numpy(crop_faces(frame, box))[0, 0].double()
    rows, columns = (torch.arange(CROP_SIZE, dtype=torch.float64) @ crop.sum(dim=axis) / crop.sum() for axis in (1, 0))
    camera = torch.tensor([[7.0, 0, 0]])
    at = torch.tensor([columns / CROP_SIZE * 2 - 1, 1 - rows / CROP_SIZE * 2, 0]).float() / 7
    small = plate() * (2 * 223 / 224 / 141 / 7 / 0.1)  # one pixel of the frame, as SMIRK scales it
    points = to_frame(project(small + at, camera), torch.from_numpy(box))
    middle = points[0, :, :2].mean(dim=0)
    torch.testing.assert_close(middle, torch.tensor([x + 0.5, y + 0.5]), rtol=0, atol=0.1)  # the crop blends 255ths
    drawn = render_shaded(small, points * torch.tensor([1, 1, 0.0]), WHOLE[1], scanlines, (360, 640))
    covered = drawn.mask[0, 0].nonzero()
    assert [y, x] in covered.tolist()
    assert len(covered) <= 4


def test_depths_in_a_frame_keep_their_scale() -> None:
    normalised = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]])
    placed = to_frame(normalised, torch.tensor([[100.0, 50.0, 223.0]]))[0]
    torch.testing.assert_close(placed[1] - placed[0], torch.tensor([112.0, 0, 111.5]))


def test_gradients_are_those_of_finite_differences() -> None:
    vertices, faces = ellipsoid((0.08, 0.11, 0.1), rings=5, sectors=6)
    mesh = FaceMesh(torch.arange(len(vertices)), faces[torch.linalg.det(vertices[faces]).abs() > 1e-9])
    bumps = torch.randn(vertices.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) * 0.005
    head = (vertices + bumps)[None].requires_grad_()
    camera = torch.tensor([[7.0, 0.003, -0.005]], dtype=torch.float64, requires_grad=True)

    def draw(head: Tensor, camera: Tensor) -> Tensor:
        return render_face(head, camera, mesh, size=(11, 9)).image[:, 0]

    assert draw(head, camera).count_nonzero() > 20
    torch.autograd.gradcheck(draw, (head, camera))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["torch", "nvdiffrast"])
def test_a_gpu_renders_the_same_picture(name: str) -> None:
    if name == "nvdiffrast":
        pytest.importorskip("nvdiffrast", reason="nvdiffrast is not installed (non-commercial licence, by hand)")
    vertices, mesh = face_like()
    camera = torch.tensor([[7.0, 0.0013, -0.0021]])
    on_gpu = FaceMesh(mesh.vertices.cuda(), mesh.faces.cuda())
    expected = render_face(vertices, camera, mesh).image
    image = render_face(vertices.cuda(), camera.cuda(), on_gpu, open_rasteriser(name)).image.cpu()
    both = (expected > 0) & (image > 0)
    assert both.sum() > 0.99 * (expected > 0).sum()
    assert (image - expected)[both].abs().max() < 2e-3  # neighbours' shades, where an edge runs through a centre


@pytest.mark.gpu
def test_gradients_on_a_gpu_are_those_of_the_cpu() -> None:
    vertices, mesh = face_like()
    found = []
    for device in ("cpu", "cuda"):
        head = vertices.to(device).double().requires_grad_()
        moved = FaceMesh(mesh.vertices.to(device), mesh.faces.to(device))
        points = to_pixels(project(head, CAMERA.to(device).double()))
        fragments = rasterise(points, moved.faces, (224, 224), scanlines)
        normals = fragments.interpolate(vertex_normals(head, moved.faces), moved.faces)
        (shade(normals) ** 2).sum().backward()  # type: ignore[no-untyped-call]
        assert head.grad is not None
        found.append(head.grad.cpu())
    torch.testing.assert_close(found[1], found[0])
