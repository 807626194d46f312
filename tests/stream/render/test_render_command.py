"""`flamestream run --render` as a user meets it: files, a camera until Ctrl-C, and what cannot be."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

from stream.__main__ import EXIT_FAILED, app
from stream.errors import ConfigError


def times(path: Path) -> list[float]:
    with av.open(str(path)) as played:
        return [float(picture.pts * picture.time_base) for picture in played.decode(video=0)]


def test_two_files_give_a_video_each_with_the_sources_own_times(
    tmp_path: Path, numbered_video: Callable[..., Path], frame_number: Callable[..., int]
) -> None:
    even = numbered_video(tmp_path / "even.mp4", frames=12)
    uneven = numbered_video(tmp_path / "uneven.mp4", frames=8, pts=lambda number: number * number)
    out = tmp_path / "over.mp4"
    result = CliRunner().invoke(app, ["run", str(even), str(uneven), "--render", str(out), "--json"])
    assert result.exit_code == 0, result.output
    videos = json.loads(result.stdout)["videos"]
    assert {name: video["frames"] for name, video in videos.items()} == {"even": 12, "uneven": 8}
    assert times(tmp_path / "over-even.mp4") == pytest.approx([n / 30 for n in range(12)], abs=1e-3)
    assert times(tmp_path / "over-uneven.mp4") == pytest.approx([n * n / 30 for n in range(8)], abs=1e-3)
    with av.open(str(tmp_path / "over-even.mp4")) as played:
        assert [frame_number(picture.to_ndarray(format="rgb24")) for picture in played.decode(video=0)] == [*range(12)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_costs_the_video_but_no_event(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    clip = numbered_video(tmp_path / "clip.mp4", frames=30)
    (tmp_path / "over.mp4").symlink_to("/dev/full")
    result = CliRunner().invoke(app, ["run", str(clip), "--render", str(tmp_path / "over.mp4"), "--json"])
    assert result.exit_code == EXIT_FAILED
    report = json.loads(result.stdout)
    assert report["sources"]["clip"]["no_face"] == 30
    assert report["sources"]["clip"]["error"] is None
    assert "No space left" in report["videos"]["clip"]["error"]


def test_ctrl_c_leaves_a_cameras_video_whole(
    tmp_path: Path, numbered_video: Callable[..., Path], rtsp_server: Callable[..., object]
) -> None:
    numbered_video(tmp_path / "clip.mp4", frames=60)
    camera = rtsp_server(tmp_path)
    out = tmp_path / "over.mp4"
    arguments = [sys.executable, "-m", "stream", "run", camera.url("clip.mp4"), "--render", str(out), "--json"]  # type: ignore[attr-defined]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "online" in line:
                break
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=30)
    assert running.returncode == 0, errors
    (video,) = json.loads(output)["videos"].values()
    shown = times(out)
    assert len(shown) == video["frames"] > 5
    assert 0.3 < shown[-1] < 10


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--render", "over.avi"], r"ends in \.mp4"),
        (["--render", "over.mp4", "--face-model", "smirk", "--checkpoint", "S.pt"], r"--head generic_model\.pkl"),
        (["--head", "generic_model.pkl"], "give --render"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_starts(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, ["run", "no such clip.mp4", *arguments])
    assert isinstance(result.exception, ConfigError)
    with pytest.raises(ConfigError, match=expected):
        raise result.exception
