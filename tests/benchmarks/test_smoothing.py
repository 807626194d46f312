"""The study of smoothing: filters against closed forms, the choice of settings, refusals, and the command."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks import smoothing, smoothing_filters
from benchmarks.smoothing_clips import jitter, lag_s, late_truth, read_clips, refuse_shared
from benchmarks.smoothing_filters import (
    RAW,
    SHIPPED,
    DoubleArray,
    centred_window,
    kalman_position,
    kalman_velocity,
    one_euro,
    time_constant,
)
from stream.emit.smooth import OneEuroFilter, TimeConstantFilter
from train.errors import TrainingError
from train.ig3d.bootstrap import Plan
from train.ig3d.predictions import Predictions, write_predictions

FRAMES, RATE = 250, 25
TIMES_S = np.arange(FRAMES) / RATE


def write(
    path: Path,
    clips: int = 4,
    columns: Mapping[str, list[str]] | None = None,
    *,
    seed: int = 0,
    delay_frames: int = 0,
    noise: float = 0.3,
) -> Path:
    """A file of clips: two slow waves, predicted late and with noise; `columns` in place of its own."""
    random = np.random.default_rng(seed)
    found, true, names, times = [], [], [], []
    for clip in range(clips):
        phase, period_s = random.uniform(0, 6, 2), random.uniform(5, 8, 2)
        turns = (np.arange(-delay_frames, FRAMES)[:, None] / RATE / period_s) * 2 * np.pi + phase
        waves = 0.6 * np.sin(turns)
        true.append(waves[delay_frames:])
        found.append(waves[:FRAMES] + random.normal(0, noise, (FRAMES, 2)))
        names += [f"c{seed}.{clip}"] * FRAMES
        times += [repr(time_s) for time_s in TIMES_S.tolist()]
    extra = {"clip": names, "time_s": times} | dict(columns or {})
    write_predictions(path, Predictions("made", np.concatenate(found), np.concatenate(true), extra=extra))
    return path


def noise(seed: int = 0) -> DoubleArray:
    return np.random.default_rng(seed).uniform(-1, 1, (FRAMES, 2))


def test_the_time_constant_is_the_streams() -> None:
    values = noise()
    theirs = [TimeConstantFilter(0.8, value) for value in values[0].tolist()]
    for dt_s, row in zip(np.diff(TIMES_S).tolist(), values[1:].tolist(), strict=True):
        expected = [each(value, dt_s) for each, value in zip(theirs, row, strict=True)]
    assert time_constant(0.8)(TIMES_S, values)[-1].tolist() == expected


def test_one_euro_is_the_streams() -> None:
    values = noise()
    theirs = OneEuroFilter(np.full(2, 0.4), np.full(2, 0.8), 1.0, values[0])
    for dt_s, row in zip(np.diff(TIMES_S).tolist(), values[1:], strict=True):
        expected = theirs(row, dt_s)
    assert one_euro(0.4, 0.8)(TIMES_S, values)[-1].tolist() == expected.tolist()


def test_a_kalman_filter_of_what_never_wanders_is_the_mean_of_all_so_far() -> None:
    values = noise()
    means = np.cumsum(values, axis=0) / np.arange(1, FRAMES + 1)[:, None]
    assert np.allclose(kalman_position(1e-12)(TIMES_S, values), means, atol=1e-8)


def test_a_settled_kalman_filter_has_the_gain_of_the_riccati_equation() -> None:
    ratio = 2.0 / RATE
    gain = (-ratio + np.sqrt(ratio * ratio + 4 * ratio)) / 2
    step = np.zeros((FRAMES, 2))
    step[-1] = 1
    assert np.allclose(kalman_position(2.0)(TIMES_S, step)[-1], gain, atol=1e-9)


@pytest.mark.parametrize("smooth", [kalman_position(0.5), kalman_velocity(0.5), one_euro(0.4, 0.4), time_constant(0.8)])
def test_every_causal_filter_comes_to_a_constant_and_looks_at_no_later_frame(smooth: smoothing_filters.Smooth) -> None:
    values = np.full((FRAMES, 2), 0.4)
    values[0] = -0.4
    assert np.allclose(smooth(TIMES_S, values)[-1], 0.4, atol=1e-3)
    values = noise()
    assert np.array_equal(smooth(TIMES_S, values)[:100], smooth(TIMES_S[:100], values[:100]))


def test_a_kalman_filter_with_a_velocity_follows_a_ramp_without_lag_and_stays_in_range() -> None:
    ramp = np.linspace(-1, 1, FRAMES)[:, None].repeat(2, axis=1)
    assert np.allclose(kalman_velocity(1.0)(TIMES_S, ramp)[-1], ramp[-1], atol=1e-3)
    assert ramp[-1, 0] - kalman_position(1.0)(TIMES_S, ramp)[-1, 0] > 0.03
    ramp[FRAMES // 2 :] = ramp[FRAMES // 2]
    edge = np.concatenate([2 * ramp[: FRAMES // 2] + 1, np.ones((FRAMES - FRAMES // 2, 2))])
    assert np.abs(kalman_velocity(1.0)(TIMES_S, edge)).max() == 1


def test_a_centred_window_of_a_ramp_is_the_ramp_and_elsewhere_the_mean_of_its_frames() -> None:
    ramp = np.linspace(-1, 1, FRAMES)[:, None].repeat(2, axis=1)
    assert np.allclose(centred_window(0.4)(TIMES_S, ramp), ramp, atol=1e-12)
    values = noise()
    smoothed = centred_window(0.4)(TIMES_S, values)
    assert np.allclose(smoothed[100], values[90:111].mean(axis=0))
    assert np.allclose(smoothed[3], values[:7].mean(axis=0))
    assert np.allclose(smoothed[[0, -1]], values[[0, -1]])


def test_settings_at_the_edge_of_what_was_tried_are_told() -> None:
    tried = smoothing_filters.candidates()["One-Euro"]
    lowest = next(one for one in tried if one.settings == {"cutoff_hz": 0.01, "speed_gain": 0.5})
    assert smoothing_filters.at_edge(lowest, tried) == ["cutoff_hz"]
    (shipped,) = smoothing_filters.candidates()[SHIPPED]
    assert smoothing_filters.at_edge(shipped, [shipped]) == []


def test_lag_and_jitter_are_those_that_were_put_in(tmp_path: Path) -> None:
    clips = read_clips(write(tmp_path / "late.csv", delay_frames=10, noise=0))
    assert lag_s(clips, clips.found) == 0.4
    assert lag_s(clips, clips.true) == 0
    assert np.allclose(late_truth(clips, 0.4)[10:FRAMES], clips.true[: FRAMES - 10])
    assert np.allclose(late_truth(clips, 0.4)[FRAMES : FRAMES + 10], clips.true[FRAMES])
    still = read_clips(write(tmp_path / "still.csv", noise=0.1))
    added = still.found - still.true
    assert jitter(still, still.true + added) > 0.1 > jitter(still, still.true)
    assert jitter(still, added) == pytest.approx(0.1 * np.sqrt(2), rel=0.05)


def test_the_best_known_settings_are_picked_and_measured_on_other_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, ahead = time_constant(0.3), centred_window(0.4)
    made = {
        RAW: smoothing_filters.candidates()[RAW],
        SHIPPED: smoothing_filters.candidates()[SHIPPED],
        "EMA": [smoothing_filters.Candidate("EMA", time_constant(tau), {"tau_s": tau}) for tau in (0.02, 0.3, 3.0)],
        "ahead": [smoothing_filters.Candidate("ahead", ahead, {"half_width_s": 0.4}, 0.4)],
    }
    monkeypatch.setattr(smoothing, "candidates", lambda quick: made)
    tune = read_clips(write(tmp_path / "tune.csv"))
    report = read_clips(write(tmp_path / "report.csv", seed=1))
    result = smoothing.compare(tune, report, Plan(200))
    rows = {row["filter"]: row for row in result["filters"]}
    assert rows["EMA"]["settings"] == {"tau_s": 0.3}
    assert rows["EMA"]["at_the_edge_of_what_was_tried"] == []
    gained = rows["EMA"]["ccc_minus_raw"]["mean"]
    assert 0 < gained["low"] <= gained["value"] <= gained["high"]
    assert rows["EMA"]["ccc_minus_shipped"]["mean"]["low"] > 0
    assert rows[RAW]["ccc_minus_raw"]["mean"] == {"value": 0, "low": 0, "high": 0}
    assert rows["ahead"]["ccc"]["mean"]["value"] > rows["EMA"]["ccc"]["mean"]["value"]
    assert rows["ahead"]["looks_ahead_s"] == 0.4
    assert abs(rows["ahead"]["lag_s"]) <= 1 / RATE < 0.1 < rows["EMA"]["lag_s"]
    late = {row["delay_s"]: row["settings"]["tau_s"] for row in result["late_labels"]}
    assert (late[0], late[0.4]) == (0.3, 0.3)
    assert rows["EMA"]["jitter"] == round(jitter(report, report.smoothed(right)), 5)


def test_filters_start_afresh_with_every_clip_wherever_its_rows_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", clips=2)
    header, *rows = path.read_text().splitlines()
    mixed = tmp_path / "b.csv"
    both = [row for pair in zip(rows[:FRAMES], rows[FRAMES:], strict=True) for row in pair]
    still = ",".join(["0", "0", "0", "0", "", ""])
    mixed.write_text("\n".join([header, still, *both, still]) + "\n")
    one, other = read_clips(path), read_clips(mixed)
    assert (one.stills, other.stills) == (0, 2)
    assert np.array_equal(one.smoothed(time_constant(0.8)), other.smoothed(time_constant(0.8)))
    assert one.smoothed(time_constant(0.8))[FRAMES].tolist() == one.found[FRAMES].tolist()


BACKWARDS = [repr(time_s) for time_s in TIMES_S.tolist()[::-1]] * 2
REFUSED: list[tuple[dict[str, list[str]], str]] = [
    ({"time_s": BACKWARDS}, r"row 2: 9\.92 s of clip c0\.0 comes after 9\.96 s, expected times that increase"),
    ({"time_s": ["0"] * 2 * FRAMES}, "expected times that increase"),
    ({"time_s": ["soon"] * 2 * FRAMES}, "row 1: clip 'c0.0' at 'soon' s"),
    ({"clip": [""] * 2 * FRAMES}, "expected both or neither"),
    ({"time_s": [""] * 2 * FRAMES}, "0 clips, expected at least 2"),
]


@pytest.mark.parametrize(("changed", "message"), REFUSED)
def test_files_that_are_no_clips_are_refused(tmp_path: Path, changed: dict[str, list[str]], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_clips(write(tmp_path / "bad.csv", 2, changed))


def test_files_without_clips_and_files_that_share_some_are_refused(tmp_path: Path) -> None:
    bare = tmp_path / "bare.csv"
    bare.write_text("val_pred,val_true,aro_pred,aro_true\n0,0,0,0\n")
    with pytest.raises(TrainingError, match="no columns clip and time_s"):
        read_clips(bare)
    with pytest.raises(TrainingError, match=r"share 4 clips \(c0\.0, c0\.1, c0\.2\)"):
        refuse_shared(read_clips(write(tmp_path / "a.csv")), read_clips(write(tmp_path / "b.csv", noise=0.1)))
    renamed = write(tmp_path / "c.csv", 4, {"clip": [f"x{row // FRAMES}" for row in range(4 * FRAMES)]})
    with pytest.raises(TrainingError, match="shares 1000 rows"):
        refuse_shared(read_clips(tmp_path / "a.csv"), read_clips(renamed))


def test_the_command_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tune, report = write(tmp_path / "tune.csv"), write(tmp_path / "report.csv", seed=1)
    out = tmp_path / "figures.json"
    command = ["smoothing", str(tune), str(report), "--quick", "--json", "--out", str(out)]
    monkeypatch.setattr("sys.argv", command)
    smoothing.main()
    printed, shown = capsys.readouterr()
    result = json.loads(out.read_text())
    assert json.loads(printed) == result
    assert [row["filter"] for row in result["filters"]] == list(smoothing_filters.candidates(quick=True))
    assert result["bootstrap"] == {"over": "clips", "repeats": 200, "seed": 0, "confidence": 0.95}
    assert result["report"] | {"sha256": ""} == {
        "file": "report.csv",
        "sha256": "",
        "clips": 4,
        "frames": 4 * FRAMES,
        "stills_left_out": 0,
    }
    assert len(result["tune"]["sha256"]) == 64
    assert result["machine"]["cores"] > 0
    assert "smoothing" in shown
    monkeypatch.setattr("sys.argv", ["smoothing", str(tune), str(tune)])
    with pytest.raises(SystemExit, match=r"benchmark invalid: .*share 4 clips"):
        smoothing.main()
