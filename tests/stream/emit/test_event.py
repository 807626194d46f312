from dataclasses import replace

import numpy as np
import pytest

from models.emotion import EMOTIONS
from models.errors import EngineError
from models.spec import Affect
from stream.emit.event import SHAPE_EVERY_S, EventMaker, FrameEvents, new_run_id
from stream.emit.smooth import SmoothingSettings
from stream.frame import AnalysedFrame
from tests.stream.emit.support import PROVENANCE, RUN, make_face, make_frames, make_params, make_stamp


def maker() -> EventMaker:
    return EventMaker(PROVENANCE, SmoothingSettings(), RUN)


def test_one_emotion_and_one_flame_event_per_face_in_order() -> None:
    faces = (make_face(7, affect=Affect(0.5, 0.25)), make_face(3, affect=Affect(-0.5, 0.0)))
    events = maker().frame(AnalysedFrame(make_stamp(4), faces))
    assert [event.track for event in events.emotion] == [event.track for event in events.flame] == [7, 3]
    emotion, flame = events.emotion[0], events.flame[0]
    assert (emotion.valence_raw, emotion.arousal_raw, emotion.seq, emotion.run) == (0.5, 0.25, 4, RUN)
    assert (emotion.model, emotion.head, emotion.basis) == ("mediapipe", "prototype", "open")
    assert (flame.crop_x, flame.crop_y, flame.crop_side, flame.width, flame.height) == (320, 240, 200, 640, 480)
    np.testing.assert_array_equal(np.float32(flame.expression_raw), faces[0].params.expression)
    np.testing.assert_array_equal(np.float32(flame.eyelids), faces[0].params.eyelids)


def test_smoothed_values_are_published_beside_raw_ones() -> None:
    making = maker()
    making.frame(AnalysedFrame(make_stamp(0), (make_face(affect=Affect(0.0, 0.0)),)))
    [emotion] = making.frame(AnalysedFrame(make_stamp(1), (make_face(affect=Affect(1.0, 1.0)),))).emotion
    assert emotion.valence_raw == 1.0
    assert 0 < emotion.valence < 0.1


def test_same_frames_give_the_same_events() -> None:
    assert make_frames(20, tracks=(0, 1)) == make_frames(20, tracks=(0, 1))


def test_shape_is_the_mean_of_the_track_sent_on_start_on_change_and_now_and_then() -> None:
    making = maker()
    params = make_params()
    shapes: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []

    def sends(
        seq: int, *, shift: float = 0.0, is_new: bool = False, epoch: int = 0, pts_s: float | None = None
    ) -> bool:
        shape = params.shape.copy()
        shape[17] += shift
        shapes.append(shape)
        face = make_face(params=replace(params, shape=shape), is_new=is_new)
        [flame] = making.frame(AnalysedFrame(make_stamp(seq, epoch=epoch, pts_s=pts_s), (face,))).flame
        if flame.shape is not None:
            np.testing.assert_allclose(flame.shape, np.mean(shapes, axis=0), atol=1e-6)
        return flame.shape is not None

    assert sends(0, is_new=True)
    assert not sends(1)
    assert not sends(2, shift=0.1), "the mean of three moved by 0.033"
    assert sends(3, shift=0.3), "the mean of four moved by 0.1"
    assert not sends(4, shift=0.1)
    assert sends(5, pts_s=3 / 30 + SHAPE_EVERY_S)
    assert sends(6, epoch=1, pts_s=0.0)
    shapes.clear()
    assert sends(7, epoch=1, is_new=True, shift=1.0), "another person starts afresh"


def test_noise_of_the_encoder_is_not_sent_every_frame() -> None:
    making, params = maker(), make_params()
    rng = np.random.default_rng(0)
    sent = 0
    for seq in range(120):
        noisy = replace(params, shape=(params.shape + rng.normal(0, 0.1, 300)).astype(np.float32))
        [flame] = making.frame(AnalysedFrame(make_stamp(seq), (make_face(params=noisy, is_new=seq == 0),))).flame
        sent += flame.shape is not None
    assert 1 <= sent < 20


def test_shape_array_may_be_reused_by_the_face_model() -> None:
    making = maker()
    params = make_params()
    making.frame(AnalysedFrame(make_stamp(0), (make_face(params=params),)))
    params.shape[0] += 1.0
    [flame] = making.frame(AnalysedFrame(make_stamp(1), (make_face(params=params),))).flame
    assert flame.shape is not None


def test_emotions_are_smoothed_named_and_stay_probabilities() -> None:
    making = maker()
    calm, glad = (1.0, *[0.0] * 7), (0.0, 1.0, *[0.0] * 6)
    events = []
    for seq in range(60):
        affect = Affect(0.0, 0.0, calm if seq < 5 else glad)
        events += making.frame(AnalysedFrame(make_stamp(seq), (make_face(affect=affect, is_new=seq == 0),))).emotion
    assert (events[0].emotion, events[6].emotion, events[-1].emotion) == ("neutral", "neutral", "happiness")
    for event in events:
        assert event.emotions is not None
        assert sum(event.emotions.values()) == pytest.approx(1, abs=1e-6)
    assert events[6].emotions_raw == dict(zip(EMOTIONS, glad, strict=True))


def test_frames_without_faces_end_tracks() -> None:
    making = maker()
    making.frame(AnalysedFrame(make_stamp(0), (make_face(5),)))
    assert making.frame(AnalysedFrame(make_stamp(15), ())).status == ()
    events = making.frame(AnalysedFrame(make_stamp(45), ()))
    assert events.emotion == events.flame == ()
    [status] = events.status
    assert (status.state, status.track, status.epoch, status.source) == ("track_ended", 5, 0, "cam")
    assert status.at_ms == make_stamp(45).captured_ms


def test_end_of_a_source_ends_its_tracks_only() -> None:
    making = maker()
    for source in ("cam", "door"):
        making.frame(AnalysedFrame(make_stamp(0, source), (make_face(1), make_face(2))))
    ended = making.end_source("cam", at_ms=5)
    assert [(status.source, status.track, status.at_ms) for status in ended] == [("cam", 1, 5), ("cam", 2, 5)]
    assert making.end_source("cam", at_ms=6) == ()
    assert len(making.end_source("door", at_ms=7)) == 2


@pytest.mark.parametrize("field", ["expression", "pose", "jaw", "eyelids", "camera", "shape"])
def test_a_network_that_gives_no_number_is_an_error_that_names_it(field: str) -> None:
    params = make_params()
    getattr(params, field)[0] = np.nan
    with pytest.raises(EngineError, match=r"frame 2 of cam, track 4: mediapipe or prototype .* --engine torch"):
        maker().frame(AnalysedFrame(make_stamp(2), (make_face(4, params=params),)))


def test_affect_that_is_no_number_is_an_error() -> None:
    with pytest.raises(EngineError):
        maker().frame(AnalysedFrame(make_stamp(2), (make_face(affect=Affect(float("nan"), 0.0)),)))


def test_frame_events_refuse_halves() -> None:
    [whole] = make_frames(1)
    with pytest.raises(ValueError, match="1 emotion events but 0"):
        FrameEvents(whole.stamp, whole.emotion, (), ())


def test_run_ids_are_eight_hex_digits() -> None:
    assert len({new_run_id() for _ in range(20)}) == 20
    assert len(f"{int(new_run_id(), 16):08x}") == 8
