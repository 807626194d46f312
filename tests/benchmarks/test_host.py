"""The host's own work per frame is measured on faces that are really followed and published."""

import json
from pathlib import Path

import pytest

from benchmarks import host
from benchmarks.figures import BenchmarkInvalid


def test_figures_of_every_step_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "host.json"
    monkeypatch.setattr("sys.argv", ["host", "--sources", "2", "--repeats", "1", "--out", str(out)])
    monkeypatch.setattr(host, "FRAMES", 10)
    host.main()
    (row,) = json.loads(out.read_text())["results"]
    assert set(row["cpu_ms"]) == {"find", "crop", "infer", "events", "publish"}
    assert all(ms > 0 for ms in row["cpu_ms"].values())


def test_a_face_that_is_lost_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = host.Host(2)
    measured.step(0)
    monkeypatch.setattr(measured._finder, "find", lambda frames: [[] for _ in frames])
    with pytest.raises(BenchmarkInvalid, match="expected one face in each"):
        measured.step(1)
