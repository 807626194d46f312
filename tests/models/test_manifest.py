"""A manifest that does not fit says which field, and every field decides the key."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.engines.engine import Target
from models.manifest import difference, expected_manifest, key, misfit, read_manifest, write_manifest

IDENTITY: dict[str, Any] = {
    "device": {"name": "NVIDIA H100", "compute_capability": "9.0"},
    "versions": {"cuda": "13.0"},
    "batch": {"max": 128, "buckets": [1, 2]},
}


def manifest(**changes: object) -> dict[str, Any]:
    torch.manual_seed(0)
    return expected_manifest("net", torch.nn.Linear(3, 2), [(3,)], Target("inductor", "f16"), IDENTITY | changes)


def test_every_entry_changes_the_key() -> None:
    original = manifest()
    keys = {key(original)}
    keys |= {key(original | {entry: "another"}) for entry in original}
    assert len(keys) == len(original) + 1
    assert key(manifest()) == key(original)


def test_versions_of_the_network_and_of_the_runtime_stand_together() -> None:
    assert manifest()["versions"] == {"torch": torch.__version__, "cuda": "13.0"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": {"max": 64, "buckets": [1, 2]}}, "another batch.max (64, expected 128)"),
        (
            {"device": {"name": "NVIDIA L4", "compute_capability": "8.9"}},
            "device.compute_capability (8.9, expected 9.0), another device.name (NVIDIA L4, expected NVIDIA H100)",
        ),
        ({"versions": {"cuda": "12.8"}}, "another versions.cuda (12.8, expected 13.0)"),
        ({"device": "CPU"}, "another device (CPU, expected {'name'"),
    ],
)
def test_a_misfit_names_the_field_and_both_values(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    (tmp_path / "model").write_text("compiled")
    write_manifest(tmp_path, manifest(**changes))
    assert said in str(misfit(tmp_path, manifest()))


def test_what_fits_fits_until_a_file_changes_or_goes(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model").write_text("compiled")
    write_manifest(tmp_path, manifest())
    assert set(read_manifest(tmp_path)["files"]) == {"deep/model"}
    assert misfit(tmp_path, manifest()) is None
    (tmp_path / "deep" / "model").write_text("compiler")
    assert misfit(tmp_path, manifest()) == "deep/model is damaged"
    (tmp_path / "deep" / "model").unlink()
    assert misfit(tmp_path, manifest()) == "model: No such file or directory"
    (tmp_path / "manifest.json").write_text("[]")
    assert misfit(tmp_path, manifest()) == "its manifest cannot be read"


def test_equal_entries_do_not_differ() -> None:
    assert difference("batch", {"max": 1}, {"max": 1}) is None
    assert difference("batch", {"max": 1}, {"max": 1, "min": 0}) == "batch.min (None, expected 0)"
