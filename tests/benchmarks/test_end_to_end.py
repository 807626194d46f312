"""Whole runs: verified before they count, beside their slowest part alone."""

from dataclasses import replace

import pytest

from benchmarks.end_to_end import measure_end_to_end, run_once, sources_of
from benchmarks.figures import BenchmarkInvalid, Section
from benchmarks.live_run import busy_shares
from benchmarks.media import Video
from benchmarks.verify import check_sources
from models.device import CPU
from stream.config import RunSettings
from stream.load import Networks
from stream.run import SourceReport

SOUND = SourceReport(received=5, published=0, no_face=5, dropped={}, decoder="CPU", error=None)


def test_whole_runs_are_measured_beside_their_parts(short: Video, networks: Networks) -> None:
    section = Section("end_to_end")
    measure_end_to_end(section, CPU, networks, RunSettings(device="cpu"), [(short, 2)], repeats=1)
    (row,) = section.rows
    assert row.figure.unit == "frames/s"
    alone = row.details["alone_frames_per_second"]
    assert set(alone) == {"decode", "find", "infer"}
    assert row.floor is not None
    assert row.floor.value == min(alone.values())
    assert row.bottleneck is not None
    assert row.bottleneck.split(",")[0] in row.details["stage_ms"]
    assert row.details["decoder"] == "CPU"


def test_a_run_without_time_is_not_begun(short: Video, networks: Networks) -> None:
    section = Section("end_to_end", limit_s=-1)
    measure_end_to_end(section, CPU, networks, RunSettings(device="cpu"), [(short, 2)], repeats=1)
    assert section.rows == []
    assert len(section.not_measured) == 1


def test_a_source_that_fails_is_no_figure(short: Video, networks: Networks) -> None:
    gone = replace(short, path=short.path.with_name("gone.mp4"))
    with pytest.raises(BenchmarkInvalid, match="no such file"):
        run_once(sources_of(gone, 1, RunSettings(device="cpu")), networks)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (replace(SOUND, received=6), "1 frames unaccounted for"),
        (replace(SOUND, published=5, no_face=0), "5 frames published, 0 on the server"),
        (replace(SOUND, error="broken"), "broken"),
    ],
)
def test_what_does_not_add_up_is_no_figure(source: SourceReport, message: str) -> None:
    check_sources({"clip": SOUND}, {})
    with pytest.raises(BenchmarkInvalid, match=message):
        check_sources({"clip": source}, {})


def test_reading_is_shared_by_the_threads_of_the_sources() -> None:
    assert busy_shares({"read": 10.0, "find": 4.0}, 100, 5) == {"read": 0.2, "find": 0.4}
