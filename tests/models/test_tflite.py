"""The importer against OpenVINO's own TensorFlow Lite front end, and against files it must refuse."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tflite
import torch

from models.engines import openvino
from models.errors import GraphError
from models.tflite import Graph, import_graph
from models.tflite_ops import same_padding

INPUTS = {
    "face_detector.tflite": ((128, 128, 3), -1.0, 1.0),
    "face_landmarks_detector.tflite": ((256, 256, 3), 0.0, 1.0),
    "face_blendshapes.tflite": ((146, 2), 0.0, 500.0),
}
"""Shape of one item, and the range of its values."""

FloatArray = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def graphs(face_task: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(face_task) as task:
        return {name: task.read(name) for name in INPUTS}


@pytest.fixture(params=INPUTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def items(name: str, count: int) -> torch.Tensor:
    """Inputs like the real ones: smooth pictures, or points on a plane."""
    shape, low, high = INPUTS[name]
    random = torch.Generator().manual_seed(7)
    if len(shape) == 2:
        values = torch.rand(count, *shape, generator=random)
    else:
        coarse = torch.rand(count, 3, 8, 8, generator=random)
        values = torch.nn.functional.interpolate(coarse, shape[:2], mode="bilinear").permute(0, 2, 3, 1).contiguous()
    return values * (high - low) + low


def run(graph: Graph, values: torch.Tensor) -> list[FloatArray]:
    with torch.inference_mode():
        return [output.numpy() for output in graph(values)]


def oracle(file: Path, values: torch.Tensor) -> list[FloatArray]:
    """What OpenVINO computes from the file itself, one item at a time because its batch is baked in."""
    core = openvino.library().Core()
    compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows: list[list[FloatArray]] = []
    for item in values.numpy():
        outputs = compiled(item[None])
        rows.append([np.array(outputs[port]).reshape(1, -1) for port in compiled.outputs])
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def error(found: FloatArray, expected: FloatArray) -> float:
    """Largest difference, over the largest value where that is above 1."""
    return float(np.abs(found.reshape(expected.shape) - expected).max() / max(np.abs(expected).max(), 1))


def test_a_batch_equals_the_oracle_item_by_item(graphs: dict[str, bytes], name: str, tmp_path: Path) -> None:
    values = items(name, 3)
    found = run(import_graph(graphs[name], name), values)
    file = tmp_path / name
    file.write_bytes(graphs[name])
    expected = oracle(file, values)
    assert [len(output) for output in found] == [3] * len(expected)
    for output, reference in zip(found, expected, strict=True):
        # Float32 sums in another order: 3e-6 seen on AVX-512; a wrong padding or weight order gives above 1e-2.
        assert error(output, reference) < 3e-5


def test_an_item_alone_equals_the_same_item_in_a_batch(graphs: dict[str, bytes], name: str) -> None:
    graph, values = import_graph(graphs[name], name), items(name, 3)
    together = run(graph, values)
    alone = [np.concatenate(column) for column in zip(*(run(graph, item[None]) for item in values), strict=True)]
    for output, reference in zip(together, alone, strict=True):
        assert error(output, reference) < 3e-5


def test_the_comparison_notices_one_wrong_bias(graphs: dict[str, bytes], name: str) -> None:
    graph, values = import_graph(graphs[name], name), items(name, 1)
    before = run(graph, values)
    bias = next(tensor for key, tensor in graph.named_buffers() if key.endswith("bias"))
    bias[0] += 0.5
    assert max(error(a, b) for a, b in zip(run(graph, values), before, strict=True)) > 3e-5


def test_weights_are_float32_buffers(graphs: dict[str, bytes], name: str) -> None:
    state = import_graph(graphs[name], name).state_dict()
    assert {tensor.dtype for tensor in state.values()} <= {torch.float32, torch.int32}
    stored = sum(tensor.numel() for tensor in state.values())
    assert stored > len(graphs[name]) / 2 * 0.8  # they lie in the file as float16, and little else does


def test_same_padding_is_tensorflows() -> None:
    # Worked out by hand from TensorFlow's definition: ceil(size / stride) outputs, the odd pixel behind.
    assert same_padding(128, 3, 2, 1) == (0, 1)
    assert same_padding(127, 3, 2, 1) == (1, 1)
    assert same_padding(128, 5, 2, 1) == (1, 2)
    assert same_padding(128, 3, 1, 1) == (1, 1)
    assert same_padding(128, 3, 1, 2) == (2, 2)
    assert same_padding(128, 2, 2, 1) == (0, 0)


@pytest.mark.parametrize("kept", [0, 6, 100, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(graphs: dict[str, bytes], kept: float) -> None:
    data = graphs["face_detector.tflite"]
    end = int(kept * len(data)) if isinstance(kept, float) else kept
    with pytest.raises(GraphError, match=r"cut\.tflite: .* fetch it again"):
        import_graph(data[:end], "cut.tflite")


def test_damage_is_refused_or_harmless_but_never_another_error(graphs: dict[str, bytes]) -> None:
    random = np.random.default_rng(11)
    data = graphs["face_blendshapes.tflite"]
    refusals = []
    for _ in range(15):
        damaged = bytearray(data)
        # The tables lie in the last quarter; further in front there are only weights.
        for position in random.integers(len(data) * 3 // 4, len(data), size=20):
            damaged[position] = random.integers(256)
        try:
            import_graph(bytes(damaged), "damaged.tflite")
        except GraphError as error:
            refusals.append(str(error))
    assert len(refusals) > 4
    assert all(refusal.startswith("damaged.tflite: ") for refusal in refusals)


def with_operator(data: bytes, old: int, new: int) -> bytes:
    """The file with one kind of operator declared to be another."""
    changed = bytearray(data)
    model: Any = tflite.Model.GetRootAsModel(changed, 0)
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        if code.DeprecatedBuiltinCode() == old:
            changed[code._tab.Pos + code._tab.Offset(4)] = new
            return bytes(changed)
    raise AssertionError(f"no operator {old} in the file")


def test_an_unknown_operator_is_named(graphs: dict[str, bytes]) -> None:
    data = with_operator(graphs["face_detector.tflite"], tflite.BuiltinOperator.RELU, tflite.BuiltinOperator.TANH)
    with pytest.raises(GraphError, match=r"^odd\.tflite: operator TANH .*not one the importer knows"):
        import_graph(data, "odd.tflite")


def test_a_custom_operator_is_named(graphs: dict[str, bytes]) -> None:
    data = with_operator(graphs["face_detector.tflite"], tflite.BuiltinOperator.RELU, tflite.BuiltinOperator.CUSTOM)
    with pytest.raises(GraphError, match=r"^odd\.tflite: operator CUSTOM "):
        import_graph(data, "odd.tflite")


def test_something_else_is_not_a_graph() -> None:
    with pytest.raises(GraphError, match="not a TensorFlow Lite file"):
        import_graph(b"PK\x03\x04 a zip file, for example", "face.task")
