"""An engine is built once, checked, and refused when anything about it does not fit."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models import export
from models.engines.openvino import OpenVINOEngine
from models.engines.torch import TorchEngine
from models.errors import EngineError, ParityError
from models.export import load_or_build, model_hash
from models.parity import FLOAT32, Tolerance, check_parity


class Net(torch.nn.Module):
    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, stride=stride)
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5), persistent=False)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(picture - self.mean)).mean((2, 3))


EXAMPLE = (torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(1)),)


def make(stride: int = 2) -> Net:
    torch.manual_seed(0)
    return Net(stride).eval()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path))
    return tmp_path / "engines"


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes any further torch.export fail."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("torch.export was called again")

    monkeypatch.setattr(torch.export, "export", refuse)


def folder_of(cache: Path) -> Path:
    (folder,) = cache.iterdir()  # also: no draft is left behind
    return folder


def test_builds_once_and_loads_afterwards(cache: Path, request: pytest.FixtureRequest) -> None:
    built = load_or_build("net", make(), EXAMPLE)
    folder = folder_of(cache)
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.json", "model.bin", "model.xml"]
    request.getfixturevalue("no_export")
    loaded = load_or_build("net", make(), EXAMPLE)
    assert isinstance(loaded, OpenVINOEngine)
    picture = EXAMPLE[0].numpy()
    np.testing.assert_array_equal(built(picture)[0], loaded(picture)[0])
    np.testing.assert_allclose(loaded(picture)[0], make()(EXAMPLE[0]).detach().numpy(), atol=1e-5)


def test_the_manifest_says_what_the_engine_is(cache: Path) -> None:
    network = make()
    load_or_build("net", network, EXAMPLE)
    manifest = json.loads((folder_of(cache) / "manifest.json").read_text())
    assert manifest["model_hash"] == model_hash(network)
    assert manifest["runtime"] == "openvino"
    assert manifest["precision"] == "f32"
    assert manifest["inputs"] == [{"shape": [None, 3, 12, 12], "dtype": "float32"}]
    assert manifest["outputs"] == [{"shape": [None, 4], "dtype": "float32"}]
    assert set(manifest["versions"]) == {"torch", "openvino"}
    (figures,) = manifest["parity"]
    assert 0 <= figures["max_abs_error"] < 1e-5 < figures["max_abs_reference"]
    assert set(manifest["files"]) == {"model.xml", "model.bin"}


def test_weights_are_kept_in_full_precision(cache: Path) -> None:
    load_or_build("net", make(), EXAMPLE)
    assert (folder_of(cache) / "model.bin").stat().st_size >= 4 * 3 * 4 * 3 * 3


def test_another_network_structure_or_shape_is_another_engine(cache: Path) -> None:
    changed = make()
    with torch.no_grad():
        changed.conv.bias[1] += 1e-6
    load_or_build("net", make(), EXAMPLE)
    load_or_build("net", changed, EXAMPLE)
    load_or_build("net", make(stride=1), EXAMPLE)
    load_or_build("net", make(), (torch.rand(2, 3, 16, 12),))
    load_or_build("other", make(), EXAMPLE)
    assert len(list(cache.iterdir())) == 5


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("manifest.json", lambda data: data.replace(b'"f32"', b'"f16"'), "another precision"),
        ("manifest.json", lambda data: data[: len(data) // 2], "cannot be read"),
        ("model.bin", lambda data: bytes([data[0] ^ 1]) + data[1:], "model.bin is damaged"),
        ("model.xml", lambda _: None, "model.xml"),
    ],
)
def test_a_folder_that_does_not_fit_is_built_again(
    cache: Path, caplog: pytest.LogCaptureFixture, file: str, damage: Callable[[bytes], bytes | None], said: str
) -> None:
    expected = load_or_build("net", make(), EXAMPLE)(EXAMPLE[0].numpy())
    path = folder_of(cache) / file
    damaged = damage(path.read_bytes())
    path.unlink() if damaged is None else path.write_bytes(damaged)
    found = load_or_build("net", make(), EXAMPLE)(EXAMPLE[0].numpy())
    np.testing.assert_array_equal(found[0], expected[0])
    assert said in caplog.text
    caplog.clear()
    load_or_build("net", make(), EXAMPLE)
    assert not caplog.records
    folder_of(cache)


class Deep(torch.nn.Module):
    """Sums long enough that two libraries add them up differently in the last bit."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(*(torch.nn.Linear(512, 512) for _ in range(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_an_engine_that_leaves_tolerance_is_refused_and_not_kept(cache: Path) -> None:
    with pytest.raises(
        ParityError, match=r"engine deep \(openvino\), output 0 leaves tolerance.*allowed is 0 \(exact\)"
    ) as caught:
        load_or_build("deep", Deep().eval(), (torch.rand(2, 512),), tolerance=Tolerance(0, 0, "exact"))
    assert "\n" not in str(caught.value)
    assert not list(cache.iterdir())


class BranchesOnValues(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x


class BakesTheBatch(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(3, -1)


@pytest.mark.parametrize("network", [BranchesOnValues(), BakesTheBatch()])
def test_what_cannot_be_exported_is_one_line_with_a_remedy(network: torch.nn.Module, cache: Path) -> None:
    with pytest.raises(EngineError, match="use the torch engine") as caught:
        load_or_build("net", network.eval(), EXAMPLE)
    assert "\n" not in str(caught.value)
    assert not list(cache.iterdir())


def test_training_mode_and_a_batch_of_one_are_refused() -> None:
    with pytest.raises(EngineError, match="training mode"):
        load_or_build("net", make().train(), EXAMPLE)
    with pytest.raises(EngineError, match="two items"):
        load_or_build("net", make(), (EXAMPLE[0][:1],))


def test_the_torch_runtime_writes_nothing(cache: Path) -> None:
    engine = load_or_build("net", make(), EXAMPLE, runtime="torch")
    assert isinstance(engine, TorchEngine)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="set FLAMESTREAM_CACHE"):
        load_or_build("net", make(), EXAMPLE)


def test_model_hash_covers_every_number() -> None:
    original = model_hash(make())
    assert len(original) == 12
    assert int(original, 16) >= 0
    assert model_hash(make()) == original
    weight, buffer = make(), make()
    with torch.no_grad():
        weight.conv.weight[0, 0, 0, 0] *= 1 + 1e-6
        buffer.mean[0, 0, 0, 0] += 1e-6
    assert len({original, model_hash(weight), model_hash(buffer)}) == 3


def test_builders_at_once_share_one_folder(cache: Path) -> None:
    start = threading.Barrier(3)
    found: list[list[float]] = []

    def build(network: Net) -> None:
        start.wait()
        found.append(load_or_build("net", network, EXAMPLE)(EXAMPLE[0].numpy())[0].ravel().tolist())

    threads = [threading.Thread(target=build, args=(make(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert found[0] == found[1] == found[2]
    folder_of(cache)


def test_a_process_that_comes_second_leaves_the_first_ones_engine(cache: Path) -> None:
    load_or_build("net", make(), EXAMPLE)
    folder = folder_of(cache)
    draft = cache / ".draft"
    draft.mkdir()
    (draft / "model.xml").write_text("the second")
    export._publish(draft, folder)
    assert len(list(folder.iterdir())) == 3
    assert "the second" not in (folder / "model.xml").read_text()


def test_parity_names_the_worst_number() -> None:
    reference = np.array([[1.0, 100.0], [0.0, 2.0]], np.float32)
    off = reference.copy()
    off[1, 0] += 0.0009  # inside rtol of the largest number
    (figures,) = check_parity("net", [reference], [off], FLOAT32)
    assert figures.max_abs_error == pytest.approx(0.0009)
    assert figures.max_abs_reference == 100
    off[1, 0] = 0.5
    with pytest.raises(ParityError, match=r"net, output 0 leaves tolerance in 1 of 4 numbers, worst at \[1, 0\]: 0\.5"):
        check_parity("net", [reference], [off], FLOAT32)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_parity_refuses_what_is_not_a_number(bad: float) -> None:
    reference = np.ones((2, 2), np.float32)
    off = reference.copy()
    off[1, 1] = bad
    with pytest.raises(ParityError, match=r"worst at \[1, 1\]"):
        check_parity("net", [reference], [off], FLOAT32)
    with pytest.raises(ParityError, match="reference is not finite"):
        check_parity("net", [off], [off], FLOAT32)


def test_parity_refuses_another_number_or_shape_of_outputs() -> None:
    ones = np.ones((2, 2), np.float32)
    with pytest.raises(ParityError, match="1 outputs, its reference 2"):
        check_parity("net", [ones, ones], [ones], FLOAT32)
    with pytest.raises(ParityError, match=r"\[2, 1\], its reference \[2, 2\]"):
        check_parity("net", [ones], [ones[:, :1]], FLOAT32)
