"""What the user types becomes the right source, under a name that gives nothing away."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import ConfigError, SourceInvalid
from stream.ingest.file import FileSource
from stream.ingest.open import open_source, source_name
from stream.ingest.rtsp import RtspSource


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("/videos/Front door (2).mp4", "Front-door-2"),
        ("clip.tar.mkv", "clip.tar"),
        ("...", "source"),
        ("rtsp://admin:hunter2@10.0.0.5:554/Streaming/Channels/101", "10.0.0.5-Streaming-Channels-101"),
        ("rtsp://admin:hunter2@10.0.0.5:8554/live?password=hunter2", "10.0.0.5-8554-live"),
        ("rtsp://cam/user=admin_password=hunter2_channel=1.sdp", "cam-user-_password-_channel-1.sdp"),
        ("rtsps://[fe80::1]:322/a", "fe80-1-a"),
        ("rtsp://cam/" + "x" * 100, "cam-" + "x" * 60),
    ],
)
def test_names(spec: str, name: str) -> None:
    assert source_name(spec) == name


@given(st.text(min_size=1), st.sampled_from(["", "rtsp://", "rtsp://u:p@"]))
def test_any_name_fits_a_redis_key(text: str, prefix: str) -> None:
    if not prefix and "://" in text:
        prefix = "rtsp://"
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", source_name(prefix + text))


def test_names_that_are_taken_get_a_number() -> None:
    taken: set[str] = set()
    for expected in ("a", "a-2", "a-3"):
        taken.add(source_name("x/a.mp4", taken))
        assert expected in taken
    assert source_name("x" * 80 + ".mp4", {"x" * 64}) == "x" * 62 + "-2"


def test_files_and_cameras(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    clip = open_source(str(numbered_video(tmp_path / "a.mp4", 5)))
    assert isinstance(clip, FileSource)
    assert (clip.name, clip.live, clip.total_frames) == ("a", False, 5)
    camera = open_source("RTSP://u:p@127.0.0.1/live", name="door", taken={"a"})
    assert isinstance(camera, RtspSource)
    assert (camera.name, camera.live, camera.total_frames) == ("door", True, None)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("http://u:hunter2@host/a.m3u8", "not http://"),
        ("udp://239.0.0.1:1234?password=hunter2", "not udp://"),
        ("rtsp://u:hunter2/3@host/live", "percent-encode"),
        ("rtsp://u:hunter2@host:99999/live", "percent-encode"),
        ("rtsp://", "expected rtsp://"),
    ],
)
def test_urls_that_cannot_work_are_refused_without_their_password(spec: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        open_source(spec)
    assert "hunter2" not in str(caught.value)


def test_names_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected 1 to 64 letters"):
        open_source("rtsp://cam/live", name="front door")
    with pytest.raises(ConfigError, match="given twice"):
        open_source("rtsp://cam/live", name="door", taken={"door"})


def test_a_missing_file_is_invalid() -> None:
    with pytest.raises(SourceInvalid, match="no such file"):
        open_source("nowhere.mp4")
