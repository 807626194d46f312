"""The head layer: the same numbers as smplx, SMIRK's conventions on top, and gradients that are right."""

import math
from dataclasses import replace

import numpy as np
import pytest
import smplx.lbs
import torch
from torch import Tensor

from models.flame import Head, HeadLayer, contour_rows, project, rotation_matrices
from models.head import Embedding, HeadModel
from models.open_head import load_open_head
from models.spec import FloatArray

Inputs = dict[str, Tensor]


def random_head(vertices: int, triangles: int, seed: int = 0) -> HeadModel:
    """Arrays of FLAME's shapes and sizes of numbers, with every array at work."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, size: float) -> FloatArray:
        return (size * rng.standard_normal(shape)).astype(np.float32)

    def points(*shape: int) -> Embedding:
        weights = rng.dirichlet(np.ones(3), shape).astype(np.float32)
        return Embedding(triangles=rng.integers(0, triangles, shape), weights=weights)

    return HeadModel(
        basis="flame2020",
        name="random",
        licence="none",
        template=normal(vertices, 3, size=0.1),
        faces=np.stack([rng.permutation(vertices)[:3] for _ in range(triangles)]),
        shape_basis=normal(vertices, 3, 300, size=1e-3),
        expression_basis=normal(vertices, 3, 50, size=1e-3),
        pose_basis=normal(36, vertices * 3, size=1e-3),
        joint_regressor=rng.dirichlet(np.ones(vertices), 5).astype(np.float32),
        parents=(-1, 0, 1, 1, 1),
        skinning=rng.dirichlet(np.ones(5), vertices).astype(np.float32),
        eyelids=normal(2, vertices, 3, size=1e-3),
        contour=points(79, 17),
        static=points(51),
        full=points(68),
        mediapipe=points(105),
        mediapipe_indices=np.arange(105),
        regions={"face": np.arange(vertices)},
    )


def random_inputs(batch: int, seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"shape": 300, "expression": 50, "pose": 3, "jaw": 3, "eyelids": 2, "neck": 3, "eyes": 6}
    inputs = {name: torch.randn(batch, size, generator=generator) for name, size in sizes.items()}
    return inputs | {name: 0.4 * inputs[name] for name in ("pose", "jaw", "neck", "eyes")}


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return random_head(120, 200)


@pytest.fixture(scope="module")
def layer(model: HeadModel) -> HeadLayer:
    return HeadLayer(model)


def full_pose(inputs: Inputs) -> Tensor:
    return torch.cat([inputs[name] for name in ("pose", "neck", "jaw", "eyes")], dim=1)


def by_smplx(model: HeadModel, inputs: Inputs) -> Tensor:
    """Vertices by smplx 0.1.28, before the eyelids, which it does not have."""
    shapes = np.concatenate([model.shape_basis, model.expression_basis], axis=2)
    vertices, _ = smplx.lbs.lbs(
        torch.cat([inputs["shape"], inputs["expression"]], dim=1),
        full_pose(inputs),
        torch.from_numpy(model.template),
        torch.from_numpy(shapes),
        torch.from_numpy(model.pose_basis),
        torch.from_numpy(model.joint_regressor),
        torch.tensor(model.parents),
        torch.from_numpy(model.skinning),
    )
    return vertices


def landmarks_by_smplx(model: HeadModel, vertices: Tensor, points: Embedding) -> Tensor:
    batch = len(vertices)
    return smplx.lbs.vertices2landmarks(
        vertices,
        torch.from_numpy(model.faces),
        torch.from_numpy(points.triangles).repeat(batch, 1),
        torch.from_numpy(points.weights).repeat(batch, 1, 1),
    )


def test_a_random_head_of_flames_size_agrees_with_smplx() -> None:
    model = random_head(5023, 9976)
    inputs = random_inputs(3)
    found = HeadLayer(model)(**inputs)
    skinned = by_smplx(model, inputs)
    lids = torch.einsum("bl,lvi->bvi", inputs["eyelids"], torch.from_numpy(model.eyelids))
    vertices = skinned + lids
    assert (found.vertices - vertices).abs().max() < 1e-5
    for points, expected in (
        (found.landmarks[:, 17:], model.static),
        (found.full, model.full),
        (found.mediapipe, model.mediapipe),
    ):
        assert (points - landmarks_by_smplx(model, vertices, expected)).abs().max() < 1e-5
    assert found.vertices.shape == (3, 5023, 3)
    assert found.landmarks.shape == (3, 68, 3)
    assert found.full.shape == (3, 68, 3)
    assert found.mediapipe.shape == (3, 105, 3)


@pytest.mark.parametrize("degrees", [0, 0.4, 0.6, 1, 17, 38.8, 39.3, 60, 88, -0.4, -0.6, -1, -17, -38.8, -39.3, -80])
def test_the_contour_is_smplxs_with_the_sign_turned(model: HeadModel, layer: HeadLayer, degrees: float) -> None:
    inputs = random_inputs(1) | {"neck": torch.zeros(1, 3), "pose": torch.tensor([[0.0, math.radians(degrees), 0.0]])}
    found = layer(**inputs)
    # smplx takes the angle negated, so the mirrored turn gives it our row.
    triangles, weights = smplx.lbs.find_dynamic_lmk_idx_and_bcoords(
        found.vertices,
        torch.cat([-inputs["pose"], full_pose(inputs)[:, 3:]], dim=1),
        torch.from_numpy(model.contour.triangles),
        torch.from_numpy(model.contour.weights),
        torch.tensor([1, 0]),
    )
    expected = smplx.lbs.vertices2landmarks(found.vertices, torch.from_numpy(model.faces), triangles, weights)
    assert (found.landmarks[:, :17] - expected).abs().max() < 1e-6


def turned(degrees: float, axis: int) -> Tensor:
    vector = torch.zeros(1, 3)
    vector[0, axis] = math.radians(degrees)
    return rotation_matrices(vector)


def test_the_contours_row_counts_whole_degrees_to_either_side() -> None:
    angles = {0: 0, 1.4: 1, 39: 39, 70: 39, -1: 40, -20: 59, -39: 78, -70: 78, -0.3: 0}
    for degrees, row in angles.items():
        assert contour_rows(turned(degrees, 1)).tolist() == [row], degrees
    assert contour_rows(turned(50, 0)).tolist() == [0]  # nodding does not turn the head


def test_root_and_neck_turn_the_contour_together(layer: HeadLayer, model: HeadModel) -> None:
    turn = torch.tensor([[0.0, math.radians(10), 0.0]])
    inputs = random_inputs(1) | {"pose": turn, "neck": turn}
    found = layer(**inputs)
    row = Embedding(triangles=model.contour.triangles[20], weights=model.contour.weights[20])
    assert (found.landmarks[:, :17] - landmarks_by_smplx(model, found.vertices, row)).abs().max() < 1e-6


def test_each_head_of_a_batch_has_its_own_contour(layer: HeadLayer) -> None:
    inputs = random_inputs(4)
    inputs["pose"] = torch.tensor([[0.0, math.radians(degrees), 0.0] for degrees in (-50, -3, 3, 50)])
    together = layer(**inputs)
    for i in range(4):
        alone = layer(**{name: value[i : i + 1] for name, value in inputs.items()})
        assert torch.allclose(together.landmarks[i], alone.landmarks[0], atol=1e-6)


def test_eyelids_do_not_turn_with_the_head(layer: HeadLayer, model: HeadModel) -> None:
    inputs = random_inputs(2)
    inputs["eyelids"] = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    difference = layer(**inputs).vertices - layer(**(inputs | {"eyelids": torch.zeros(2, 2)})).vertices
    lids = torch.from_numpy(model.eyelids)
    assert torch.allclose(difference, torch.stack([lids[0], 0.5 * lids[1]]), atol=1e-6)


def test_no_coefficients_and_no_turn_give_the_template(layer: HeadLayer, model: HeadModel) -> None:
    still = {name: torch.zeros_like(value) for name, value in random_inputs(1).items()}
    assert torch.allclose(layer(**still).vertices[0], torch.from_numpy(model.template), atol=1e-6)


def test_what_is_left_out_is_zero(layer: HeadLayer) -> None:
    inputs = random_inputs(2)
    inputs["shape"][:, 100:] = 0
    inputs["expression"][:, 20:] = 0
    inputs["neck"] = torch.zeros(2, 3)
    inputs["eyes"] = torch.zeros(2, 6)
    short = inputs | {"shape": inputs["shape"][:, :100], "expression": inputs["expression"][:, :20]}
    del short["neck"], short["eyes"]
    assert torch.equal(layer(**short).vertices, layer(**inputs).vertices)


@pytest.mark.parametrize(("name", "size"), [("shape", 301), ("expression", 51)])
def test_too_many_coefficients_are_refused(layer: HeadLayer, name: str, size: int) -> None:
    with pytest.raises(ValueError, match=f"{name} has {size} coefficients, this head takes {size - 1}"):
        layer(**(random_inputs(1) | {name: torch.zeros(1, size)}))


def test_gradients_agree_with_finite_differences() -> None:
    layer = HeadLayer(random_head(12, 20)).double()
    inputs = [value.double().requires_grad_() for value in random_inputs(2).values()]

    def outputs(*values: Tensor) -> tuple[Tensor, Tensor]:
        head = layer(*values)
        return head.vertices, head.landmarks

    assert torch.autograd.gradcheck(outputs, inputs, fast_mode=True)  # in a random direction


def test_the_gradient_of_a_head_at_rest_is_finite(layer: HeadLayer) -> None:
    inputs = {name: torch.zeros_like(value).requires_grad_() for name, value in random_inputs(1).items()}
    layer(**inputs).vertices.square().sum().backward()
    for name, value in inputs.items():
        assert value.grad is not None
        assert value.grad.isfinite().all(), name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_any_precision(model: HeadModel, layer: HeadLayer, dtype: torch.dtype, tolerance: float) -> None:
    inputs = random_inputs(2) | {"neck": torch.zeros(2, 3)}
    found = HeadLayer(model).to(dtype)(**{name: value.to(dtype) for name, value in inputs.items()}).vertices
    assert found.dtype == dtype
    assert (found.float() - layer(**inputs).vertices).abs().max() < tolerance


class Flat(torch.nn.Module):
    """What is exported: tensors in, tensors out."""

    def __init__(self, layer: HeadLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        head = self.layer(*parameters)
        return head.vertices, head.landmarks, head.full, head.mediapipe


def test_it_exports_with_any_batch(layer: HeadLayer) -> None:
    example = tuple(random_inputs(2).values())
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(Flat(layer), example, dynamic_shapes=(tuple({0: batch} for _ in example),))
    for size in (1, 5):
        inputs = random_inputs(size, seed=size)
        head: Head = layer(**inputs)
        expected = (head.vertices, head.landmarks, head.full, head.mediapipe)
        for found, wanted in zip(program.module()(*inputs.values()), expected, strict=True):
            assert torch.allclose(found, wanted, atol=1e-6)


def test_the_layer_keeps_out_of_checkpoints(layer: HeadLayer) -> None:
    assert layer.state_dict() == {}


def test_the_head_given_is_not_changed(model: HeadModel) -> None:
    before = model.template.copy()
    HeadLayer(model)._template.add_(1)
    assert np.array_equal(model.template, before)


def test_arrays_that_cannot_be_written_to_are_taken(model: HeadModel) -> None:
    fixed = model.template.copy()
    fixed.flags.writeable = False
    assert HeadLayer(replace(model, template=fixed))._template.numel() == fixed.size


def test_a_long_rotation_is_a_rotation() -> None:
    found = rotation_matrices(torch.tensor([[3.0, -2.0, 5.0]], dtype=torch.float64))[0]
    assert torch.allclose(found @ found.T, torch.eye(3, dtype=torch.float64), atol=1e-7)
    assert found.det() > 0
    quarter = rotation_matrices(torch.tensor([0.0, 0.0, math.pi / 2]))
    assert torch.allclose(quarter @ torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)


def test_the_camera_moves_then_scales_and_turns_y_down() -> None:
    points = torch.tensor([[[0.05, 0.02, 0.1], [0.0, 0.0, 0.0]]])
    camera = torch.tensor([[8.0, 0.01, -0.03]])
    expected = torch.tensor([[[8 * 0.06, -8 * -0.01, -0.8], [0.08, 0.24, 0.0]]])
    assert torch.allclose(project(points, camera), expected, atol=1e-6)


def test_landmarks_alone_are_those_of_the_whole_head() -> None:
    head = load_open_head()
    random = torch.Generator().manual_seed(0)
    given = [torch.randn(3, size, generator=random) * 0.2 for size in (300, 50, 3, 3, 2)]
    whole, few = HeadLayer(head)(*given), HeadLayer(head, landmarks_only=True)(*given)
    assert few.vertices.shape[1] < whole.vertices.shape[1] / 3
    for name in ("landmarks", "full", "mediapipe"):
        torch.testing.assert_close(getattr(few, name), getattr(whole, name), atol=1e-6, rtol=0)
