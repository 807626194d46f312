import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.spec import Affect, FlameParams
from stream.emit.smooth import (
    ONE_EURO_FIELDS,
    OneEuroFilter,
    SmoothedFace,
    Smoother,
    SmoothingSettings,
    TimeConstantFilter,
    nearest_turn,
)
from stream.frame import AnalysedFrame
from tests.stream.emit.support import make_face, make_params, make_stamp

Signal = Callable[[float], float]

SIGNALS: dict[str, Signal] = {
    "step": lambda t: 0.8 if t >= 1.0 else -0.4,
    "sine of 0.25 Hz": lambda t: 0.9 * math.sin(2 * math.pi * 0.25 * t),
    "sine of 1 Hz": lambda t: 0.9 * math.sin(2 * math.pi * t),
}


def smooth_affect(signal: Signal, times_s: list[float]) -> dict[float, float]:
    """Smoothed valence by time."""
    smoother = Smoother(SmoothingSettings())
    smoothed = {}
    for seq, pts_s in enumerate(times_s):
        face = make_face(affect=Affect(signal(pts_s), 0.0))
        [one], _ = smoother.smooth(AnalysedFrame(make_stamp(seq, pts_s=pts_s), (face,)))
        smoothed[pts_s] = one.affect.valence
    return smoothed


def at_rate(rate: int, seconds: float = 6.0) -> list[float]:
    return [i / rate for i in range(int(seconds * rate) + 1)]


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=SIGNALS)
def test_valence_is_the_same_at_10_15_and_30_frames_a_second(signal: Signal) -> None:
    results = {rate: smooth_affect(signal, at_rate(rate)) for rate in (10, 15, 30)}
    common = at_rate(5)
    # Between two frames a step is a ramp, so at 10 fps it is seen up to half of 0.1 s off: 1.2 * 0.05 / 0.8 at worst.
    # Curves are off by what they bend between frames: a sine of 1 Hz, amplitude 0.9, is 0.044 off its chord at 10 fps.
    tolerance = 0.075 if signal is SIGNALS["step"] else 0.02
    for rate in (10, 15):
        for t in common:
            near = min(results[rate], key=lambda one: abs(one - t))
            near_30 = min(results[30], key=lambda one: abs(one - t))
            assert results[rate][near] == pytest.approx(results[30][near_30], abs=tolerance), (rate, t)


def test_valence_matches_the_continuous_filter_on_a_ramp_however_frames_fall() -> None:
    random = np.random.default_rng(5)
    times_s = np.cumsum(random.uniform(0.005, 0.4, 40)).tolist()
    smoothed = smooth_affect(lambda t: 0.05 * t, times_s)
    tau = SmoothingSettings().affect_s
    for t, value in smoothed.items():
        since = t - times_s[0]
        exact = 0.05 * (t - tau + (tau - 0) * math.exp(-since / tau))
        assert value == pytest.approx(exact, abs=1e-9)


def test_dropped_and_jittered_frames_change_little() -> None:
    signal = SIGNALS["sine of 0.25 Hz"]
    whole = smooth_affect(signal, at_rate(30))
    random = np.random.default_rng(1)
    kept = [t for t in at_rate(30) if t == 0 or random.random() > 0.4]
    dropped = smooth_affect(signal, kept)
    assert max(abs(dropped[t] - whole[t]) for t in kept) < 0.01


def test_time_constant_is_the_time_to_63_percent() -> None:
    smoothed = smooth_affect(lambda t: 0.0 if t == 0 else 1.0, [0.0, 1e-6, *[1e-6 + i / 100 for i in range(1, 101)]])
    assert smoothed[1e-6 + 80 / 100] == pytest.approx(1 - math.exp(-1), abs=0.001)


def test_time_constant_of_zero_leaves_values_raw() -> None:
    smoother = TimeConstantFilter(0.0, 0.5)
    assert [smoother(-0.25, 0.03), smoother(0.75, 0.03)] == [-0.25, 0.75]


def test_expression_steps_alike_at_15_and_30_frames_a_second() -> None:
    def run(rate: int) -> float:
        smoother = Smoother(SmoothingSettings())
        for seq, pts_s in enumerate(at_rate(rate, 1.4)):
            params = with_values(expression=0.0 if pts_s < 1.0 else 0.6)
            [one], _ = smoother.smooth(AnalysedFrame(make_stamp(seq, pts_s=pts_s), (make_face(params=params),)))
        return float(one.expression[0])

    # One-Euro's cut-off follows the measured speed, which a slower camera sees later: alike, not equal.
    assert run(15) == pytest.approx(run(30), abs=0.05)
    assert run(30) > 0.5, "0.4 s after a step of 0.6 the mouth must nearly be there"


def with_values(**values: float) -> FlameParams:
    fields = {"shape": 300, "expression": 50, "pose": 3, "jaw": 3, "eyelids": 2, "camera": 3}
    return FlameParams(**{name: np.full(size, values.get(name, 0.0), np.float32) for name, size in fields.items()})


def test_one_euro_calms_noise_at_rest() -> None:
    random = np.random.default_rng(2)
    smoother = Smoother(SmoothingSettings())
    raw, smoothed = [], []
    for seq in range(300):
        params = with_values(pose=float(random.normal(0.2, 0.01)))
        [one], _ = smoother.smooth(AnalysedFrame(make_stamp(seq), (make_face(params=params),)))
        raw.append(params.pose[0])
        smoothed.append(one.pose[0])
    assert np.diff(smoothed[30:]).std() < np.diff(raw[30:]).std() / 4


def smooth_all(seeds: list[int]) -> list[SmoothedFace]:
    smoother = Smoother(SmoothingSettings())
    return [
        smoother.smooth(
            AnalysedFrame(
                make_stamp(seq), (make_face(params=make_params(seed), affect=Affect(math.sin(seed), math.cos(seed))),)
            )
        )[0][0]
        for seq, seed in enumerate(seeds)
    ]


def test_the_future_changes_nothing() -> None:
    past = smooth_all([1, 2, 3, 4])
    with_future = smooth_all([1, 2, 3, 4, 99, 98])
    for one, other in zip(past, with_future, strict=False):
        assert one.affect == other.affect
        for name in ONE_EURO_FIELDS:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


UNIT = st.floats(-1, 1)
DT = st.floats(0.001, 0.9)


@given(st.lists(st.tuples(UNIT, DT), min_size=1, max_size=30), UNIT, st.floats(0, 5))
def test_low_pass_stays_within_its_inputs(steps: list[tuple[float, float]], first: float, tau_s: float) -> None:
    smoother = TimeConstantFilter(tau_s, first)
    seen = [first]
    for value, dt_s in steps:
        seen.append(value)
        assert min(seen) <= smoother(value, dt_s) <= max(seen)


@given(st.lists(st.tuples(arrays(np.float64, 4, elements=st.floats(-10, 10)), DT), min_size=1, max_size=30))
def test_one_euro_stays_within_its_inputs(steps: list[tuple[np.ndarray, float]]) -> None:
    first = np.zeros(4)
    smoother = OneEuroFilter(np.full(4, 1.5), np.full(4, 2.0), 1.0, first)
    low, high = first, first
    for values, dt_s in steps:
        low, high = np.minimum(low, values), np.maximum(high, values)
        smoothed = smoother(values, dt_s)
        assert (smoothed >= low - 1e-12).all()  # one rounding of x + a * (y - x)
        assert (smoothed <= high + 1e-12).all()


@pytest.mark.parametrize(
    ("stamp", "is_new", "fresh"),
    [
        (make_stamp(1, pts_s=1.0), False, False),
        (make_stamp(1, pts_s=1.0001), False, True),
        (make_stamp(1, pts_s=0.1, epoch=1), False, True),
        (make_stamp(1, pts_s=0.1), True, True),
        (make_stamp(1, pts_s=0.0), False, True),
        (make_stamp(1, source="other", pts_s=0.1), False, True),
    ],
    ids=["gap_s is no gap", "gap", "new epoch", "new track", "time stands still", "other source"],
)
def test_what_starts_afresh(stamp: object, is_new: bool, fresh: bool) -> None:
    smoother = Smoother(SmoothingSettings())
    smoother.smooth(AnalysedFrame(make_stamp(0), (make_face(affect=Affect(1.0, 1.0)),)))
    [one], _ = smoother.smooth(AnalysedFrame(stamp, (make_face(affect=Affect(0.0, 0.0), is_new=is_new),)))
    assert (one.affect == Affect(0.0, 0.0)) is fresh


def test_faces_are_smoothed_apart() -> None:
    smoother = Smoother(SmoothingSettings())
    for seq in range(30):
        faces = (make_face(1, affect=Affect(1.0, 0.0)), make_face(2, affect=Affect(-1.0, 0.0)))
        smoothed, _ = smoother.smooth(AnalysedFrame(make_stamp(seq), faces))
    assert [one.affect.valence for one in smoothed] == [1.0, -1.0]


def test_tracks_end_after_the_gap_and_are_forgotten() -> None:
    smoother = Smoother(SmoothingSettings())
    smoother.smooth(AnalysedFrame(make_stamp(0), (make_face(1), make_face(2))))
    _, ended = smoother.smooth(AnalysedFrame(make_stamp(1, pts_s=0.9), (make_face(2),)))
    assert ended == []
    _, ended = smoother.smooth(AnalysedFrame(make_stamp(2, pts_s=1.1), ()))
    assert [(gone.track, gone.epoch) for gone in ended] == [(1, 0)]
    _, ended = smoother.smooth(AnalysedFrame(make_stamp(3, pts_s=1.2, epoch=1), ()))
    assert [gone.track for gone in ended] == [2]
    assert smoother.end_source("cam") == []


def test_memory_does_not_grow_with_the_tracks_that_were() -> None:
    smoother = Smoother(SmoothingSettings())
    for seq in range(500):
        smoother.smooth(AnalysedFrame(make_stamp(seq), (make_face(seq, is_new=True),)))
    assert len(smoother.end_source("cam")) <= 31


def test_a_head_near_half_a_turn_does_not_flip() -> None:
    smoother = Smoother(SmoothingSettings())
    for seq in range(60):
        params = with_values()
        params.pose[2] = (math.pi - 0.01) * (1 if seq % 2 else -1)  # the same rotation but for 0.02 rad
        [one], _ = smoother.smooth(AnalysedFrame(make_stamp(seq), (make_face(params=params),)))
        assert math.pi - 0.02 < np.linalg.norm(one.pose) <= math.pi + 1e-6


def test_nearest_turn_keeps_the_rotation() -> None:
    turned = nearest_turn(np.array([0.0, 0.0, -3.0]), np.array([0.0, 0.0, 3.0]))
    np.testing.assert_allclose(turned, [0, 0, 2 * math.pi - 3.0])
    np.testing.assert_array_equal(nearest_turn(np.zeros(3), np.full(3, 2.0)), np.zeros(3))


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValueError, match="extra"):
        SmoothingSettings.model_validate({"alpha": 0.5})
    with pytest.raises(ValueError, match="greater than 0"):
        SmoothingSettings.model_validate({"gap_s": 0})
    assert SmoothingSettings.model_validate({"jaw": {"cutoff_hz": 2, "speed_gain": 0}}).jaw.cutoff_hz == 2
