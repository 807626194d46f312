"""The search for the most cameras, and real trials of few."""

from dataclasses import replace

import pytest

from benchmarks.figures import Section
from benchmarks.live import Footage
from benchmarks.max_streams import Criterion, Found, measure_max_streams, search, try_streams
from benchmarks.media import Video
from models.device import CPU
from stream.config import RunSettings
from stream.load import Networks

EASY = Criterion(fps=5, p95_ms=20_000, seconds=1, warmup_s=1)


def always() -> bool:
    return True


@pytest.mark.parametrize("truth", [0, 1, 2, 3, 5, 16, 31, 40])
@pytest.mark.parametrize("first", [1, 16])
def test_the_search_finds_the_most_that_pass(truth: int, first: int) -> None:
    tried: list[int] = []

    def passes(number: int) -> bool:
        tried.append(number)
        return number <= truth

    found = search(passes, first=first, most=512, has_time=always)
    assert found.complete
    assert found.failed is not None
    assert found.best <= truth < found.failed
    assert found.failed - found.best <= max(1, found.best // 16)
    assert len(set(tried)) == len(tried) <= 12, "nothing is tried twice"


def test_the_search_is_quicker_the_larger_the_number() -> None:
    found = search(lambda number: number <= 300, first=16, most=512, has_time=always)
    assert 282 <= found.best <= 300


def test_the_search_ends_at_the_most_that_may_be_tried() -> None:
    assert search(lambda number: True, first=4, most=10, has_time=always) == Found(10, None, complete=True)


def test_a_search_without_time_tells_how_far_it_came() -> None:
    turns = iter([True, True, False])
    assert search(lambda number: True, first=4, most=64, has_time=lambda: next(turns)) == Found(8, None, complete=False)


@pytest.fixture(scope="module")
def settings() -> RunSettings:
    return RunSettings(device="cpu")


def test_a_trial_accounts_for_every_frame_of_its_cameras(
    short: Video, networks: Networks, settings: RunSettings
) -> None:
    trial = try_streams(2, Footage.read(short.path), networks, settings, EASY)
    assert (trial.streams, trial.frames) == (2, 10)
    assert trial.failed == ("" if not trial.dropped else f"{trial.dropped} of 10 frames dropped")
    assert 0 < trial.p50_ms <= trial.p95_ms <= trial.max_ms
    assert set(trial.busy) == {"decode", "find", "crop", "infer", "emit"}
    assert trial.busiest in trial.busy
    assert trial.decoder == "CPU"
    assert trial.no_face == 0


def test_cameras_that_are_late_do_not_pass(short: Video, networks: Networks, settings: RunSettings) -> None:
    section = Section("max_streams")
    strict = replace(EASY, p95_ms=0.001)
    measure_max_streams(section, CPU, short, networks, settings, strict, first=1, most=2)
    (row,) = section.rows
    assert row.figure.median == 0
    assert row.details == {"best": 0, "failed": 1, "complete": True}
    (trial,) = section.details["trials"]
    assert "p95" in trial["failed"]
    assert section.details["criterion"]["p95_ms"] == 0.001


def test_every_trial_is_reported(short: Video, networks: Networks, settings: RunSettings) -> None:
    section = Section("max_streams")
    measure_max_streams(section, CPU, short, networks, settings, replace(EASY, seconds=0.6), first=1, most=1)
    (row,) = section.rows
    (trial,) = section.details["trials"]
    assert row.figure.median == (0 if trial["failed"] else 1)
    assert row.bottleneck is not None
    assert "busy" in row.bottleneck
