"""`flamestream engine`: builds what a run would load, lists it, and removes what nothing will load again."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.assets import fetch
from stream.engine_command import app


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLAMESTREAM_ASSET_FACE_LANDMARKER", str(fetch("face_landmarker")))
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path))
    return tmp_path / "engines"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_build_show_and_prune(cache: Path) -> None:
    built = json.loads(run("build", "--device", "cpu", "--json"))
    assert [each["name"] for each in built] == ["face_blendshapes", "face_detector", "face_landmarks"]
    for each in built:
        assert (each["runtime"], each["precision"]) == ("openvino", "f32")
        assert 0 <= each["max_abs_error"] <= each["allowed"]
    assert len(json.loads(run("build", "--device", "cpu", "--json"))) == 3  # from the cache, and told all the same
    manifest = cache.joinpath(Path(built[0]["folder"]).name, "manifest.json")
    manifest.write_text(manifest.read_text().replace('"manifest_version": 2', '"manifest_version": 1'))
    table = run("show")
    assert "openvino f32" in table
    assert "face_landmarks" in table
    assert len(json.loads(run("show", "--prune", "--json"))) == 2
    assert not manifest.exists()


def test_eager_networks_leave_nothing_to_keep(cache: Path) -> None:
    assert json.loads(run("build", "--device", "cpu", "--engine", "torch", "--json")) == []
    assert not cache.exists()


def test_an_empty_cache_is_shown_as_such() -> None:
    assert json.loads(run("show", "--json")) == []
    assert "0 engines" in run("show")
