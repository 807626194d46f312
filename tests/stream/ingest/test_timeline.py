"""Whatever stamps a stream sends, what comes out is strictly increasing."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.ingest.timeline import Timeline, ignore_drops

STAMPS = st.none() | st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.tuples(STAMPS, st.none() | st.floats(0, 100), st.booleans(), st.integers(0, 3)), max_size=30))
def test_pts_increase_within_an_epoch_and_seq_over_all(
    steps: list[tuple[float | None, float | None, bool, int]],
) -> None:
    drops: list[int] = []
    timeline = Timeline("camera", lambda _, count: drops.append(count))
    stamps = []
    for pts_s, elapsed_s, reconnected, lost in steps:
        if reconnected:
            timeline.reconnected()
        timeline.dropped("decode_error", lost)
        assert timeline.step(pts_s, elapsed_s) >= 0
        stamps.append(timeline.stamp(0, 1, 1))
    for before, after in pairwise(stamps):
        assert after.seq > before.seq
        assert after.epoch in (before.epoch, before.epoch + 1)
        assert after.epoch > before.epoch or after.pts_s > before.pts_s
    assert timeline.received == len(stamps) + sum(drops)


def play(*stamps: float | None, elapsed_s: float | None = None) -> list[tuple[int, float]]:
    timeline = Timeline("clip", ignore_drops, interval_s=0.04)
    played = []
    for pts_s in stamps:
        timeline.step(pts_s, elapsed_s)
        stamp = timeline.stamp(0, 1, 1)
        played.append((stamp.epoch, pytest.approx(stamp.pts_s)))
    return played


def test_missing_and_repeated_stamps_are_filled_in() -> None:
    assert play(None, None, 1.0, 1.0, 0.5, 1.2) == [(0, 0), (0, 0.04), (0, 1), (0, 1.001), (0, 1.002), (0, 1.2)]


def test_a_step_back_begins_an_epoch() -> None:
    assert play(50.0, 50.04, 3.0, 3.04) == [(0, 50), (0, 50.04), (1, 3), (1, 3.04)]


def test_a_gap_is_a_jump_only_when_live() -> None:
    assert play(1.0, 3600.0) == [(0, 1), (0, 3600)]
    assert play(1.0, 3600.0, elapsed_s=0.04) == [(0, 1), (1, 3600)]
    assert play(1.0, 9.0, elapsed_s=8.5) == [(0, 1), (0, 9)]


def test_a_live_start_without_a_stamp_keeps_its_distance() -> None:
    assert play(None, 0.0, 0.04, elapsed_s=0.04) == [(0, -0.04), (0, 0), (0, 0.04)]
