"""Synthetic cameras: frames at the pace of the clock, numbered on through the repetitions."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.live import Footage, Gate, LiveSource
from stream.frame import Frame
from stream.ingest.decode_cpu import CpuDecoding

NumberedVideo = Callable[..., Path]


def ignore(*_: object) -> None:
    """Nobody asks for the states."""


@pytest.fixture
def footage(tmp_path: Path, numbered_video: NumberedVideo) -> Footage:
    """Ten frames."""
    return Footage.read(numbered_video(tmp_path / "ten.mp4", frames=10))


def play(camera: LiveSource, stop: threading.Event | None = None) -> list[Frame]:
    return list(camera.frames(stop or threading.Event(), ignore))


def test_a_camera_plays_on_past_the_end_of_its_file(footage: Footage) -> None:
    camera = LiveSource(footage, CpuDecoding(), Gate(1), name="cam", fps=100, frames=25)
    frames = play(camera)
    assert [frame.stamp.seq for frame in frames] == list(range(25))
    assert [frame.stamp.epoch for frame in frames] == [0] * 25
    assert [frame.stamp.pts_s for frame in frames] == pytest.approx([number / 100 for number in range(25)])
    assert camera.sent == 25
    assert camera.decoder == "CPU"
    assert camera.decode_s > 0
    first, again = (frame.rgb for frame in (frames[3], frames[13]))
    assert (first == again).all(), "frame 13 of ten frames is frame 3 again"


def test_frames_come_no_sooner_than_they_are_due_and_are_stamped_with_that_moment(footage: Footage) -> None:
    camera = LiveSource(footage, CpuDecoding(), Gate(1), name="cam", fps=20, frames=6, delay_s=0.2)
    came_ms = []
    stamps = []
    for frame in camera.frames(threading.Event(), ignore):
        came_ms.append(time.time() * 1000)
        stamps.append(frame.stamp.captured_ms)
    assert [stamp - stamps[0] for stamp in stamps] == pytest.approx([50 * number for number in range(6)], abs=1)
    assert all(came >= stamp - 2 for came, stamp in zip(came_ms, stamps, strict=True))


def test_time_that_the_reader_takes_does_not_move_what_comes_after(footage: Footage) -> None:
    camera = LiveSource(footage, CpuDecoding(), Gate(1), name="cam", fps=50, frames=5)
    frames = camera.frames(threading.Event(), ignore)
    first = next(frames)
    time.sleep(0.3)
    stamps = [frame.stamp.captured_ms for frame in frames]
    assert stamps[-1] - first.stamp.captured_ms == pytest.approx(80, abs=1)
    assert camera.latest_s > 0.1, "the delay is told"


def test_cameras_begin_together(footage: Footage) -> None:
    gate = Gate(2)
    cameras = [LiveSource(footage, CpuDecoding(), gate, name=f"cam-{n}", fps=50, frames=2) for n in range(2)]
    starts: list[int] = []
    threads = [
        threading.Thread(target=lambda camera=camera: starts.append(play(camera)[0].stamp.captured_ms))
        for camera in cameras
    ]
    threads[0].start()
    time.sleep(0.3)
    assert starts == [], "the first waits for the second"
    threads[1].start()
    for thread in threads:
        thread.join(10)
    assert abs(starts[0] - starts[1]) <= 2


def test_stop_ends_a_camera_that_waits_or_plays(footage: Footage) -> None:
    stop = threading.Event()
    stop.set()
    assert play(LiveSource(footage, CpuDecoding(), Gate(2), name="waiting", fps=1, frames=100), stop) == []
    stop = threading.Event()
    playing = LiveSource(footage, CpuDecoding(), Gate(1), name="playing", fps=10, frames=1000).frames(stop, ignore)
    next(playing)
    stop.set()
    assert len(list(playing)) <= 1


def test_a_file_with_b_frames_is_refused(tmp_path: Path, numbered_video: NumberedVideo) -> None:
    with pytest.raises(ValueError, match="without B-frames"):
        Footage.read(numbered_video(tmp_path / "b.mp4", frames=10, b_frames=2))
