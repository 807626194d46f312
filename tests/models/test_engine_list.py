"""What the cache holds is told as it is: how well it agrees, and whether anything will load it again."""

import json
from pathlib import Path

import pytest
import torch

from models.engine_list import kept_engines
from models.export import load_or_build


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the only engine."""
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path))
    torch.manual_seed(0)
    load_or_build("net", torch.nn.Linear(3, 2).eval(), (torch.rand(2, 3),))
    (only,) = (tmp_path / "engines").iterdir()
    return only


def change(folder: Path, **entries: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_an_engine_of_today_is_described() -> None:
    (kept,) = kept_engines()
    assert kept.outdated is None
    assert kept.worst is not None
    error, allowed = kept.worst
    assert 0 <= error < 1e-5 < allowed
    described = kept.to_json()
    assert json.loads(json.dumps(described)) == described
    assert (described["name"], described["runtime"], described["precision"]) == ("net", "openvino", "f32")
    assert described["checked_on"] == "its example"
    assert described["size_bytes"] > 100
    assert kept.device_name.startswith("CPU")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"manifest_version": 1}, "manifest 1, now 2"),
        ({"versions": {"torch": "2.11", "openvino": "0"}}, "versions.openvino (0, expected"),
        ({"device": "CPU riscv64"}, "device (CPU riscv64, expected CPU"),
        ({"runtime": "onnx"}, "no runtime is called onnx"),
        ({"files": None}, "cannot be read"),
    ],
)
def test_what_nothing_will_load_again_says_why(folder: Path, entries: dict[str, object], said: str) -> None:
    change(folder, **entries)
    (kept,) = kept_engines()
    assert said in str(kept.outdated)
    json.dumps(kept.to_json())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_engine_for_a_gpu_that_is_not_here_is_left_alone(folder: Path) -> None:
    change(folder, runtime="inductor", device={"name": "NVIDIA H100", "compute_capability": "9.0"})
    (kept,) = kept_engines()
    assert kept.outdated is None
    assert kept.device_name == "NVIDIA H100"
