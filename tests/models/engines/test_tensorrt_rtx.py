"""Plans are built without a GPU, from the very networks that stream runs, and say what they should."""

import ctypes
import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from models.assets import fetch
from models.blaze_face import BlazeFace
from models.engines import tensorrt_rtx
from models.engines.engine import Precision, Target
from models.engines.openvino import OpenVINOEngine
from models.engines.tensorrt import profile_shapes
from models.engines.tensorrt_rtx import BACKEND, CAPABILITIES, Plan, PlanRunner, build_plan, compile_onnx, export_onnx
from models.engines.torch import as_tuple
from models.errors import EngineError
from models.face_mesh import Blendshapes, FaceMesh
from models.parity import check_parity, tolerance_for
from models.precision import in_precision
from models.smirk import SmirkEncoder
from models.tflite import import_graph

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX has wheels for Linux on x86-64 only")

MAX_BATCH = 48
TYPES: dict[Precision, str] = {"f32": "FLOAT", "f16": "HALF", "bf16": "BF16"}


class Tiny(torch.nn.Module):
    """A picture and numbers in, two outputs out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.linear = torch.nn.Linear(8 + 5, 4)

    def forward(self, picture: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = self.conv(picture).relu().mean((2, 3))
        return self.linear(torch.cat((pooled, numbers), 1)), numbers * 2


@pytest.fixture(scope="module")
def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    return Tiny().eval()


EXAMPLE = (torch.ones(2, 3, 8, 8), torch.ones(2, 5))


def mediapipe(file: str, network: Callable[..., torch.nn.Module]) -> torch.nn.Module:
    with ZipFile(fetch("face_landmarker")) as task:
        return network(import_graph(task.read(file), file)).eval()


def smirk() -> torch.nn.Module:
    torch.manual_seed(0)
    return SmirkEncoder().eval()


NETWORKS: dict[str, tuple[Callable[[], torch.nn.Module], tuple[int, ...], float]] = {
    "detector": (lambda: mediapipe("face_detector.tflite", BlazeFace), (3, 128, 128), 255),
    "landmarks": (lambda: mediapipe("face_landmarks_detector.tflite", FaceMesh), (3, 256, 256), 255),
    "blendshapes": (lambda: mediapipe("face_blendshapes.tflite", Blendshapes), (478, 3), 500),
    "smirk": (smirk, (3, 224, 224), 1),
}
"""Name: how to make it, the shape of an item, and its largest number."""


@pytest.mark.parametrize(
    ("name", "precision", "convolutions"),
    [("detector", "f32", 37), ("landmarks", "f32", 105), ("blendshapes", "f32", 19), ("smirk", "f16", 126)],
)
def test_the_networks_of_stream_are_exported_right_and_become_plans(
    name: str, precision: Precision, convolutions: int, tmp_path: Path
) -> None:
    make, shape, largest = NETWORKS[name]
    network = make()
    example = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) * largest
    onnx = export_onnx(in_precision(network, precision), (example,), MAX_BATCH)

    # OpenVINO reads the same file and runs it one item at a time, which a batch left inside would not survive.
    (tmp_path / "model.onnx").write_bytes(onnx)
    with torch.inference_mode():
        reference = [output.numpy() for output in as_tuple(network(example))]
    found = OpenVINOEngine(tmp_path / "model.onnx")(example.numpy())
    check_parity(f"ONNX of {name}", reference, found, tolerance_for(Target(precision=precision)))

    plan = compile_onnx(onnx, profile_shapes((example,), MAX_BATCH), tmp_path / "model.engine", ("8.6",))
    assert plan.inputs == {"input0": ("FLOAT", [-1, *shape])}
    assert plan.outputs == {f"output{i}": ("FLOAT", [-1, *array.shape[1:]]) for i, array in enumerate(reference)}
    assert plan.profile == {"input0": [[1, *shape], [32, *shape], [48, *shape]]}
    assert {kind: count for kind, count in plan.layers.items() if kind[0] == "CONVOLUTION"} == {
        ("CONVOLUTION", TYPES[precision]): convolutions
    }
    assert (tmp_path / "model.engine").stat().st_size == plan.size_bytes
    weights = sum(tensor.numel() for tensor in network.state_dict().values() if tensor.dim() > 1)
    assert plan.size_bytes > weights * (2 if precision == "f16" else 4)


@pytest.mark.parametrize("precision", ["f32", "f16", "bf16"])
def test_a_plan_for_all_cards_computes_in_the_precision_asked_for(
    tiny: torch.nn.Module, precision: Precision, tmp_path: Path
) -> None:
    plan: Plan = build_plan(tiny, EXAMPLE, tmp_path / "model.engine", precision, 16)
    assert plan.inputs == {"input0": ("FLOAT", [-1, 3, 8, 8]), "input1": ("FLOAT", [-1, 5])}
    assert plan.outputs == {"output0": ("FLOAT", [-1, 4]), "output1": ("FLOAT", [-1, 5])}
    assert plan.profile["input1"] == [[1, 5], [16, 5], [16, 5]]
    computing = {kind: type_ for kind, type_ in plan.layers if kind in ("CONVOLUTION", "MATRIX_MULTIPLY")}
    assert computing == dict.fromkeys(("CONVOLUTION", "MATRIX_MULTIPLY"), TYPES[precision])


class Determinant(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.det(x)


class SingularValues(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svdvals(x)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Determinant(), "TensorRT-RTX cannot read the network .*Det"),
        (SingularValues(), "the network cannot be written as ONNX .*; use the inductor engine"),
    ],
)
def test_what_cannot_be_built_is_refused(network: torch.nn.Module, message: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=message):
        build_plan(network.eval(), (torch.rand(2, 3, 3),), tmp_path / "model.engine", "f32", 8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("precision", "capability"), [("f16", "9.0"), ("bf16", "7.5")])
def test_cards_it_does_not_build_for_are_refused(
    tiny: torch.nn.Module, precision: Precision, capability: str, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=rf"does not build for compute capability {capability} in {precision}"):
        build_plan(tiny, EXAMPLE, tmp_path / "model.engine", precision, 8, capabilities=(capability,))


def test_without_a_card_it_says_so(tmp_path: Path) -> None:
    target = Target("tensorrt-rtx", "f16", torch.device("cpu"))
    for refused in (lambda: BACKEND.identity(target), lambda: BACKEND.load(tmp_path, target, [(5,)])):
        with pytest.raises(EngineError, match="runs on GeForce and RTX cards, but device cpu"):
            refused()


def test_a_card_of_another_kind_is_pointed_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100")
    with pytest.raises(
        EngineError, match=r"H100 has compute capability 9\.0, .* use the tensorrt or the inductor engine"
    ):
        BACKEND.identity(Target("tensorrt-rtx", "f16", torch.device("cuda", 0)))


class DoublingContext:
    """What an IExecutionContext does, for a plan of two inputs whose outputs are twice them, in the CPU's memory."""

    NAMES: ClassVar = ["output1", "input0", "output0", "input1"]
    LARGEST = 4

    def __init__(self) -> None:
        self.engine = SimpleNamespace(num_io_tensors=len(self.NAMES), get_tensor_name=self.NAMES.__getitem__)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = self.shapes[name.replace("in", "out")] = shape
        return shape[0] <= self.LARGEST

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        for number in range(2):
            output, array = f"output{number}", ctypes.c_float * int(np.prod(self.shapes[f"input{number}"]))
            source = np.frombuffer(array.from_address(self.addresses[f"input{number}"]), np.float32)
            np.frombuffer(array.from_address(self.addresses[output]), np.float32)[:] = source * 2
        return stream == 0


def test_a_plan_gets_its_inputs_and_gives_its_outputs_by_name() -> None:
    run = PlanRunner(DoublingContext(), torch.device("cpu"))
    picture = torch.arange(2 * 4 * 3.0).reshape(2, 4, 3).transpose(1, 2)  # not contiguous
    numbers = torch.arange(10.0).reshape(2, 5)
    doubled, also_doubled = run([picture, numbers])
    assert torch.equal(doubled, picture * 2)
    assert torch.equal(also_doubled, numbers * 2)
    with pytest.raises(EngineError, match=r"does not take input0 of \[5, 3\]"):
        run([torch.ones(5, 3), torch.ones(5, 5)])


@pytest.fixture(scope="module")
def card() -> torch.device:
    device = torch.device("cuda", 0)
    major, minor = torch.cuda.get_device_capability(device)
    if f"{major}.{minor}" not in CAPABILITIES:
        pytest.skip(f"TensorRT-RTX does not run on {torch.cuda.get_device_name(device)}")
    return device


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_an_rtx_card_runs_the_plan(
    precision: Precision, tiny: torch.nn.Module, card: torch.device, tmp_path: Path
) -> None:
    target = Target("tensorrt-rtx", precision, card, max_batch=6)
    BACKEND.build(tiny, EXAMPLE, tmp_path, target)
    engine = BACKEND.load(tmp_path, target, [(3, 8, 8), (5,)])
    for count, on_card in itertools.product((1, 5, 13), (False, True)):
        inputs = torch.rand(count, 3, 8, 8), torch.rand(count, 5)
        with torch.inference_mode():
            reference = [output.numpy() for output in tiny(*inputs)]
        found = engine(*(tensor.to(card) if on_card else tensor.numpy() for tensor in inputs))
        check_parity("plan", reference, found, tolerance_for(target))


@pytest.mark.gpu
def test_a_damaged_plan_is_not_loaded(card: torch.device, tmp_path: Path) -> None:
    (tmp_path / tensorrt_rtx.PLAN_FILE).write_bytes(b"not a plan" * 100)
    with pytest.raises(EngineError, match=r"TensorRT-RTX cannot load .*; remove its folder"):
        BACKEND.load(tmp_path, Target("tensorrt-rtx", "f16", card), [(5,)])


@pytest.mark.gpu
def test_other_cards_are_refused() -> None:
    device = torch.device("cuda", 0)
    major, minor = torch.cuda.get_device_capability(device)
    if f"{major}.{minor}" in CAPABILITIES:
        assert BACKEND.identity(Target("tensorrt-rtx", "f16", device))["device"]["compute_capability"]
    else:
        with pytest.raises(EngineError, match="compute capability"):
            BACKEND.identity(Target("tensorrt-rtx", "f16", device))
