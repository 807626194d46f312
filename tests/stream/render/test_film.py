"""A film takes each frame's own picture, forgets what nobody asks for, and fails alone and once."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import av
import numpy as np
import pytest
import torch
from pydantic import SecretStr

from models.device import DeviceArray
from models.open_head import load_open_head
from stream.config import RunSettings, SourceSettings
from stream.errors import ConfigError
from stream.frame import AnalysedFrame, Frame, FrameStamp
from stream.ingest.source import Source
from stream.render.film import MOST_BEHIND, Film, plan_videos
from stream.render.mesh import MeshPainter


@pytest.fixture(scope="module")
def painter() -> MeshPainter:
    return MeshPainter(load_open_head())


def frame(seq: int, source: str = "cam") -> Frame:
    stamp = FrameStamp(source, 0, seq, seq / 30, 1000 + 33 * seq, 64, 48)
    return Frame(stamp, np.full((48, 64, 3), 10 * seq, np.uint8))


def analysed(seq: int, source: str = "cam") -> AnalysedFrame:
    return AnalysedFrame(frame(seq, source).stamp, ())


def levels(path: Path) -> list[int]:
    """Which of the frames are in a video, read off their greys."""
    with av.open(str(path)) as played:
        return [round(picture.to_ndarray(format="rgb24").mean() / 10) for picture in played.decode(video=0)]


def settings(*sources: str | Path) -> RunSettings:
    return RunSettings(sources=tuple(SourceSettings(url=SecretStr(str(source))) for source in sources))


def test_every_frame_is_filmed_in_its_own_picture(tmp_path: Path, painter: MeshPainter) -> None:
    film = Film(painter, {"cam": tmp_path / "a.mp4", "other": tmp_path / "b.mp4"})
    for seq in range(6):
        film.see([frame(seq), frame(20 - seq, "other")] if seq == 0 else [frame(seq)])
    for seq in (0, 1, 3, 5):  # 2 and 4 never come out of the pipeline
        film(analysed(seq), ())
    film(analysed(7), ())  # and 7 was never seen
    film.close()
    assert levels(tmp_path / "a.mp4") == [0, 1, 3, 5]
    assert not (tmp_path / "b.mp4").exists()
    assert film.ok
    assert film.to_json()["cam"] == {"path": str(tmp_path / "a.mp4"), "frames": 4, "skipped": 0, "error": None}


def test_a_picture_in_a_devices_memory_is_filmed_too(tmp_path: Path, painter: MeshPainter) -> None:
    film = Film(painter, {"cam": tmp_path / "a.mp4"})
    here = frame(3)
    film.see([Frame(here.stamp, DeviceArray(torch.from_numpy(here.rgb)))])
    film(analysed(3), ())
    film.close()
    assert levels(tmp_path / "a.mp4") == [3]


def test_a_camera_is_drawn_less_often_rather_than_published_late(tmp_path: Path, painter: MeshPainter) -> None:
    for live, filmed in ((True, [5, 6, 7, 8, 9]), (False, list(range(10)))):
        film = Film(painter, {"cam": tmp_path / f"{live}.mp4"})
        film.start([cast(Source, SimpleNamespace(name="cam", live=live))])
        film.see([frame(seq) for seq in range(10)])
        for seq in range(10):
            film(analysed(seq), ())
        film.close()
        assert levels(tmp_path / f"{live}.mp4") == filmed
        assert film.reports["cam"].skipped == 10 - len(filmed)
    assert MOST_BEHIND == 4


def test_a_video_that_cannot_be_written_is_told_once_and_the_others_go_on(
    tmp_path: Path, painter: MeshPainter, caplog: pytest.LogCaptureFixture
) -> None:
    film = Film(painter, {"bad": tmp_path / "nowhere" / "a.mp4", "good": tmp_path / "b.mp4"})
    with caplog.at_level(logging.ERROR):
        for seq in range(4):
            film.see([frame(seq, "bad"), frame(seq, "good")])
            film(analysed(seq, "bad"), ())
            film(analysed(seq, "good"), ())
        film.close()
    assert [record.getMessage().count("nowhere/a.mp4") for record in caplog.records] == [1]
    assert levels(tmp_path / "b.mp4") == [0, 1, 2, 3]
    assert not film.ok
    assert film.reports["good"].error is None
    assert "cannot be written" in str(film.reports["bad"].error)


def test_one_source_takes_the_name_and_several_add_theirs(tmp_path: Path) -> None:
    out = tmp_path / "over.mp4"
    assert plan_videos(settings("a.mp4"), out) == {"a": out}
    assert plan_videos(settings("a.mp4", "x/a.mp4", "rtsp://host/live"), out) == {
        "a": tmp_path / "over-a.mp4",
        "a-2": tmp_path / "over-a-2.mp4",
        "host-live": tmp_path / "over-host-live.mp4",
    }


def test_places_that_cannot_work_are_refused_before_anything_starts(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    (tmp_path / "folder.mp4").mkdir()
    for sources, out, expected in (
        ([clip], clip, "would write over the source"),
        ([clip, tmp_path / "over-clip.mp4"], tmp_path / "over.mp4", "would write over the source"),
        ([clip], tmp_path / "over.gif", r"ends in \.mp4"),
        ([clip], tmp_path / "none" / "over.mp4", "there is no folder"),
        ([clip], tmp_path / "folder.mp4", "is a folder"),
    ):
        with pytest.raises(ConfigError, match=expected):
            plan_videos(settings(*sources), out)
