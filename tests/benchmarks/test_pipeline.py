"""The benchmark: it verifies what it measures, and writes the machine beside the figures."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import pipeline
from stream.emit.embedded import EmbeddedServer
from stream.run import RunReport, SourceReport

REPORT = RunReport(
    run="00000000",
    redis="redis://127.0.0.1/0",
    face_model="mediapipe",
    head="emfacs",
    device="cpu",
    engine="openvino",
    precision="f32",
    picture_memory_mib=None,
    picture_memory_limit_mib=None,
    seconds=1.0,
    frames_per_second=5.0,
    stage_ms={},
    sources={"clip": SourceReport(received=5, published=0, no_face=5, dropped={}, decoder="CPU", error=None)},
)


def test_figures_are_written_with_the_machine(
    tmp_path: Path, numbered_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out = numbered_video(tmp_path / "clip.mp4", frames=10), tmp_path / "figures.json"
    arguments = ["--clip", clip, "--engines", "openvino", "--repeats", "1", "--warmup", "0", "--out", out]
    monkeypatch.setattr("sys.argv", ["pipeline", *map(str, arguments)])
    pipeline.main()
    figures = json.loads(out.read_text())
    (row,) = figures["results"]
    assert row["engine"] == "openvino"
    assert row["frames_per_second"] > 0
    assert set(row["stage_ms"]) == {"read", "find", "crop", "infer", "emit"}
    assert figures["machine"]["cores"] >= 1
    assert figures["machine"]["libraries"]["openvino"]


@pytest.mark.parametrize(
    "account",
    [
        SourceReport(received=6, published=0, no_face=5, dropped={}, decoder="CPU", error=None),
        SourceReport(received=5, published=5, no_face=0, dropped={}, decoder="CPU", error=None),
        SourceReport(received=5, published=0, no_face=5, dropped={}, decoder="CPU", error="broken"),
    ],
    ids=["unaccounted", "not on the server", "failed"],
)
def test_a_run_that_does_not_add_up_is_no_figure(account: SourceReport) -> None:
    with EmbeddedServer() as server:
        pipeline._verify(REPORT, server.url)
        with pytest.raises(SystemExit, match="benchmark invalid"):
            pipeline._verify(replace(REPORT, sources={"clip": account}), server.url)
