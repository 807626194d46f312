"""An engine is built once, checked, and refused when anything about it does not fit."""

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models import export
from models.engines.engine import Target
from models.engines.openvino import OpenVINOEngine
from models.engines.torch import TorchEngine
from models.errors import EngineError, ParityError
from models.export import load_or_build
from models.manifest import model_hash
from models.parity import Tolerance
from models.precision import DTYPES, InPrecision


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
        ("manifest.json", lambda data: data.replace(b'"f32"', b'"f16"'), "another precision (f16, expected f32)"),
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
    engine = load_or_build("net", make(), EXAMPLE, Target("torch"))
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


class Eager:
    """A backend that runs the network eagerly in its precision, for what the others would take minutes to show."""

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        self.made_of: list[torch.Tensor] = []

    def identity(self, target: Target) -> dict[str, Any]:
        facts = {"device": "here", "versions": {"eager": "1"}, "batch": {"max": target.max_batch}}
        return facts | self.facts

    def build(self, network: torch.nn.Module, example: Sequence[torch.Tensor], folder: Path, target: Target) -> None:
        self.made_of = list(example)
        self.network = InPrecision(network, DTYPES[target.precision])
        (folder / "nothing").write_text("here")

    def load(self, folder: Path, target: Target, item_shapes: Sequence[tuple[int, ...]]) -> TorchEngine:
        return TorchEngine(self.network, tuple(self.made_of))


UseBackend = Callable[[Eager], None]


@pytest.fixture
def inductor(monkeypatch: pytest.MonkeyPatch) -> UseBackend:
    """Puts another backend in inductor's place."""

    def use(backend: Eager) -> None:
        monkeypatch.setitem(sys.modules, "models.engines.inductor", SimpleNamespace(BACKEND=backend))

    return use


F16 = Target("inductor", "f16")


def test_each_fact_of_the_backend_and_each_choice_is_another_engine(cache: Path, inductor: UseBackend) -> None:
    backends = [
        Eager(),
        Eager(device={"name": "GPU", "compute_capability": "9.0"}),
        Eager(device={"name": "GPU", "compute_capability": "10.0"}),
        Eager(versions={"eager": "2"}),
        Eager(batch={"max": 4, "buckets": [1, 2, 4]}),
        Eager(batch={"max": 4, "buckets": [1, 4]}),
    ]
    for backend in backends:
        inductor(backend)
        load_or_build("net", make(), EXAMPLE, F16)
    inductor(Eager())
    for target in (Target("inductor", "bf16"), Target("inductor", "f16", max_batch=7)):
        load_or_build("net", make(), EXAMPLE, target)
    assert len(list(cache.iterdir())) == len(backends) + 2
    load_or_build("net", make(), EXAMPLE, F16)
    assert len(list(cache.iterdir())) == len(backends) + 2


def test_half_precision_is_made_for_and_checked_on_real_inputs(cache: Path, inductor: UseBackend) -> None:
    backend, asked = Eager(), []
    inductor(backend)

    def real() -> tuple[torch.Tensor]:
        asked.append("real")
        return (torch.full((4, 3, 12, 12), 0.25),)

    load_or_build("net", make(), EXAMPLE, F16, real_example=real)
    assert backend.made_of[0].shape == (4, 3, 12, 12)
    assert json.loads((folder_of(cache) / "manifest.json").read_text())["checked_on"] == "real faces"
    load_or_build("net", make(), EXAMPLE, F16, real_example=real)  # from the cache: nothing is fetched for it
    load_or_build("exact", make(), EXAMPLE, Target("inductor"), real_example=real)
    assert asked == ["real"]
    with pytest.raises(EngineError, match=r"items of \[\[5\]\], expected \[\[3, 12, 12\]\]"):
        load_or_build("other", make(), EXAMPLE, F16, real_example=lambda: (torch.rand(2, 5),))


class Overflows(torch.nn.Module):
    """Fine in float32; beyond 65504, the largest number of half precision, on the way."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * 1e6).mean((1, 2, 3), keepdim=True).flatten(1) / 1e6


def test_a_network_that_half_precision_breaks_is_refused(cache: Path, inductor: UseBackend) -> None:
    inductor(Eager())
    with pytest.raises(ParityError, match=r"\(inductor in f16 on cpu\), output 0 leaves tolerance.*another precision"):
        load_or_build("net", Overflows().eval(), EXAMPLE, F16)
    assert not list(cache.iterdir())
    load_or_build("net", Overflows().eval(), EXAMPLE, Target("inductor", "bf16"))  # its range is float32's
    folder_of(cache)


def test_what_does_not_go_together_is_refused_before_anything_is_built(cache: Path) -> None:
    with pytest.raises(EngineError, match="openvino does not compute in f16"):
        load_or_build("net", make(), EXAMPLE, Target("openvino", "f16"))
    with pytest.raises(EngineError, match="tensorrt does not run on cpu"):
        load_or_build("net", make(), EXAMPLE, Target("tensorrt"))
    assert not cache.exists()


def test_using_an_engine_is_remembered(cache: Path) -> None:
    load_or_build("net", make(), EXAMPLE)
    folder = folder_of(cache)
    os.utime(folder, (1000, 1000))
    load_or_build("net", make(), EXAMPLE)
    assert folder.stat().st_mtime > 1000


@pytest.mark.gpu
def test_float32_on_a_gpu_is_float32(cache: Path) -> None:
    """TensorFloat-32 would be a hundred times further off."""
    network = Deep().eval()
    example = (torch.rand(64, 512),)
    (found,) = load_or_build("deep", network, example, Target("torch", device=torch.device("cuda", 0)))(example[0])
    with torch.inference_mode():
        np.testing.assert_allclose(found, network(*example).numpy(), atol=2e-6)
