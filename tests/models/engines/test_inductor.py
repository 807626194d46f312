"""A real AOTInductor package of a small network: every batch size, every kind of input, and what it says when it fails.

Building needs a C++ compiler; without one these tests are skipped, and say so.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.device import CPU
from models.engines.engine import Precision, Target
from models.engines.inductor import BACKEND, MODEL_FILE, InductorEngine
from models.engines.torch import TorchEngine
from models.errors import EngineError
from models.export import load_or_build
from models.parity import CUDA_FLOAT32, HALF, Tolerance

compiled = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler, without which inductor builds nothing"
)


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.linear = torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.linear(torch.relu(self.conv(x)).mean((2, 3))), x.mean((2, 3))


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(count))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In half precision, so that the conversions are compiled too."""
    folder = tmp_path_factory.mktemp("package")
    # The tests' compiles are few: trying out vector instructions and compiling headers ahead would take longer.
    quick = {"aot_inductor.precompile_headers": False, "cpp.vec_isa_ok": True}
    with torch._inductor.config.patch(quick):
        BACKEND.build(Network().eval(), [pictures(2)], folder, Target("inductor", "f16", max_batch=8))
    return folder


@compiled
@pytest.mark.timeout(600)
def test_every_batch_size_agrees_with_eager(package: Path) -> None:
    engine = InductorEngine(package / MODEL_FILE, CPU, [(3, 16, 16)], (1, 2, 4, 8))
    for count in range(10):
        with torch.inference_mode():
            expected = [output.numpy() for output in Network().eval()(pictures(count))]
        for batch in (pictures(count), pictures(count).numpy()):
            found = engine(batch)
            assert [output.shape for output in found] == [(count, 5), (count, 3)]
            for a, b in zip(found, expected, strict=True):
                assert a.dtype == np.float32
                np.testing.assert_allclose(a, b, atol=HALF.atol)


@compiled
@pytest.mark.timeout(600)
def test_on_the_cpu_an_item_does_not_depend_on_its_batch(package: Path) -> None:
    engine = BACKEND.load(package, Target("inductor", "f16"), [(3, 16, 16)])
    whole = engine(pictures(5))
    for i in range(5):
        for a, b in zip(engine(pictures(5)[i : i + 1]), whole, strict=True):
            np.testing.assert_array_equal(a[0], b[i])
    with pytest.raises(ValueError, match=r"input 0 is float64 \[2, 3, 16, 16\], expected float32"):
        engine(pictures(2).double())


def test_a_package_that_is_none_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_bytes(b"nothing")
    with pytest.raises(EngineError, match="remove its folder") as caught:
        BACKEND.load(tmp_path, Target("inductor"), [(3,)])
    assert "\n" not in str(caught.value)


def test_without_a_compiler_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(EngineError, match=r"no-such-compiler is not found; install one .*apt install g\+\+"):
        BACKEND.build(Network().eval(), [pictures(2)], tmp_path, Target("inductor"))


def test_identity_tells_buckets_and_device() -> None:
    identity = BACKEND.identity(Target("inductor", "f16", max_batch=5))
    assert identity["batch"]["buckets"] == [1]
    assert set(identity["device"]) == {"name", "instructions"}


@pytest.mark.gpu
def test_identity_names_the_gpu_and_the_buckets_of_its_batches() -> None:
    identity = BACKEND.identity(Target("inductor", "f16", torch.device("cuda", 0), max_batch=5))
    assert identity["batch"]["buckets"] == [1, 2, 4, 5]
    assert set(identity["device"]) == {"name", "compute_capability"}
    assert identity["versions"] == {"cuda": torch.version.cuda}


@compiled
@pytest.mark.gpu
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("precision", "tolerance"), [("f32", CUDA_FLOAT32), ("f16", HALF)])
def test_on_a_gpu_it_is_built_kept_and_agrees(
    precision: Precision, tolerance: Tolerance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path))
    device = torch.device("cuda", 0)
    target = Target("inductor", precision, device, max_batch=8)
    for _ in range(2):  # built, then loaded
        engine = load_or_build("net", Network().eval(), (pictures(3),), target)
        for count in (0, 1, 3, 8, 19):
            expected = TorchEngine(Network().eval(), (pictures(2),), device)(pictures(count))
            for batch in (pictures(count).numpy(), pictures(count).to(device)):
                for a, b in zip(engine(batch), expected, strict=True):
                    np.testing.assert_allclose(a, b, atol=tolerance.atol)
    assert len(list((tmp_path / "engines").iterdir())) == 1
