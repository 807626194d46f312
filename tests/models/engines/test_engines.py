"""What every engine promises: right shapes, its own memory, threads, and items that do not see each other."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.engines import openvino
from models.engines.engine import Engine
from models.engines.openvino import OpenVINOEngine, available_cores
from models.engines.torch import TorchEngine
from models.errors import EngineError


class TwoInputs(torch.nn.Module):
    """A convolution over a picture beside a linear layer over numbers: two inputs, two outputs, one an echo."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.linear = torch.nn.Linear(8 + 5, 7)

    def forward(self, picture: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = torch.relu(self.conv(picture)).mean((2, 3))
        return self.linear(torch.cat((pooled, numbers), 1)), numbers * 1.0


def inputs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((count, 3, 17, 16), np.float32), rng.standard_normal((count, 5), np.float32)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return TwoInputs().eval()


@pytest.fixture(scope="module")
def example() -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in inputs(2))


@pytest.fixture(scope="module")
def saved(
    network: torch.nn.Module, example: tuple[torch.Tensor, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("engine") / "model.xml"
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, example, dynamic_shapes=({0: batch}, {0: batch}))
    openvino.save(program, path, [tensor.shape[1:] for tensor in example])
    return path


Make = Callable[[], Engine]


@pytest.fixture(params=["torch", "openvino"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "torch":
        return TorchEngine(request.getfixturevalue("network"), request.getfixturevalue("example"))
    return OpenVINOEngine(request.getfixturevalue("saved"))


def test_agrees_with_the_network(engine: Engine, network: torch.nn.Module) -> None:
    pictures, numbers = inputs(5)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pictures), torch.from_numpy(numbers))
    found = engine(pictures, numbers)
    assert len(found) == 2
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-5, atol=1e-5)


def test_no_items_give_empty_outputs_of_the_right_shape(engine: Engine) -> None:
    assert [output.shape for output in engine(*inputs(0))] == [(0, 7), (0, 5)]


def test_an_item_does_not_depend_on_the_batch_around_it(engine: Engine) -> None:
    pictures, numbers = inputs(7)
    whole = engine(pictures, numbers)
    for i in range(7):
        alone = engine(pictures[i : i + 1], numbers[i : i + 1])
        for a, b in zip(alone, whole, strict=True):
            np.testing.assert_array_equal(a[0], b[i])
    backwards = engine(pictures[::-1], numbers[::-1])  # not contiguous: an engine must cope
    for a, b in zip(backwards, whole, strict=True):
        np.testing.assert_array_equal(a[::-1], b)


@pytest.mark.parametrize("count", [1, 3])
def test_outputs_and_inputs_are_not_shared(engine: Engine, count: int) -> None:
    pictures, numbers = inputs(count)
    pictures.flags.writeable = numbers.flags.writeable = False
    kept = engine(pictures, numbers)
    copies = [output.copy() for output in kept]
    engine(*inputs(count, seed=1))
    for output, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(output, copy)
        output += 1  # its own memory, and writeable
    np.testing.assert_array_equal(inputs(count)[1], numbers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, n: (p, n.astype(np.float64)), r"input 1 is float64 \[2, 5\], expected float32 \[B, 5\]"),
        (lambda p, n: (p[:, :, :-1], n), r"input 0 is float32 \[2, 3, 16, 16\], expected float32 \[B, 3, 17, 16\]"),
        (lambda p, n: (p[:1], n), r"differ in batch size: \[1, 2\]"),
        (lambda p, _: (p,), "takes 2 inputs, got 1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    engine: Engine, change: Callable[..., tuple[np.ndarray, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        engine(*change(*inputs(2)))


def test_threads_may_share_an_engine(engine: Engine) -> None:
    batches = [inputs(1 + seed % 4, seed) for seed in range(8)]
    expected = [engine(*batch) for batch in batches]
    found: dict[int, list[tuple[np.ndarray, ...]]] = {}

    def run(index: int) -> None:
        found[index] = [engine(*batches[index]) for _ in range(10)]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, repeats in found.items():
        for outputs in repeats:
            for a, b in zip(outputs, expected[index], strict=True):
                np.testing.assert_array_equal(a, b)
    assert len(found) == len(batches)


def test_the_number_of_streams_does_not_change_a_bit(saved: Path) -> None:
    one, two = (OpenVINOEngine(saved, streams=n)(*inputs(9)) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_streams_default_to_the_cores_this_process_may_use(saved: Path) -> None:
    assert OpenVINOEngine(saved).streams == available_cores() >= 1


def test_a_network_in_training_mode_is_refused(example: tuple[torch.Tensor, ...]) -> None:
    with pytest.raises(ValueError, match="training mode"):
        TorchEngine(TwoInputs().train(), example)


def test_a_missing_model_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot load") as caught:
        OpenVINOEngine(tmp_path / "gone.xml")
    assert "\n" not in str(caught.value)
    assert "remove its folder" in str(caught.value)


def in_a_fresh_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120, env=environment
    )


def test_openvino_is_imported_when_first_used_and_without_telemetry_or_noise(saved: Path, tmp_path: Path) -> None:
    code = f"""
import pathlib, sys, numpy
from models.engines.openvino import OpenVINOEngine
assert "openvino" not in sys.modules
engine = OpenVINOEngine(pathlib.Path({str(saved)!r}))
engine(numpy.zeros((3, 3, 17, 16), numpy.float32), numpy.zeros((3, 5), numpy.float32))
assert "openvino_telemetry" not in sys.modules
assert "openvino_telemetry.main" not in sys.modules
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub"
"""
    done = in_a_fresh_process(code, HOME=str(tmp_path), PYTHONPATH=str(Path(__file__).parents[3]))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "intel").exists()


def test_without_openvino_the_error_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["openvino"] = None
from models.engines.openvino import library
from models.errors import EngineError
del sys.modules["openvino"]
sys.path[:] = [p for p in sys.path if "site-packages" not in p]
try:
    library()
except EngineError as error:
    print(error)
"""
    done = in_a_fresh_process(code, HOME=str(tmp_path), PYTHONPATH=str(Path(__file__).parents[3]))
    assert "pip install 'openvino>=2026.4'" in done.stdout, done
