"""The `flamestream` command as a user meets it: exit codes, one-line errors, no passwords, clean endings."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from stream.emit.embedded import EmbeddedServer, server_binary

PASSWORD = "hunter2"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "stream", *map(str, arguments)]


def flamestream(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    finished = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})}, check=False
    )
    assert "Traceback" not in finished.stderr, finished.stderr
    assert PASSWORD not in finished.stdout + finished.stderr
    return finished


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def write_no_frames(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=30)
        stream.width = stream.height = 64
        output.start_encoding()
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_each_bad_source_fails_alone_with_one_line_and_the_good_one_is_published(
    tmp_path: Path, numbered_video: Callable[..., Path]
) -> None:
    good = numbered_video(tmp_path / "good.mp4", frames=40)
    text = tmp_path / "text.mp4"
    text.write_text("this is not a video\n" * 50)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    bad = {
        "missing": tmp_path / "missing.mp4",
        "folder": tmp_path,
        "text": text,
        "sound": write_sound(tmp_path / "sound.m4a"),
        "empty": write_no_frames(tmp_path / "empty.mp4"),
        "cut": cut,
        "camera": f"rtsp://admin:{PASSWORD}@127.0.0.1:{free_port()}/stream",
    }
    config = tmp_path / "run.toml"
    config.write_text("[rtsp]\nconnect_deadline_s = 1.0\nbackoff_max_s = 0.5\n")
    names = [part for name in [*bad, "good"] for part in ("--name", name)]
    finished = flamestream("run", *bad.values(), good, *names, "--config", config, "--json")

    assert finished.returncode == 1
    sources = json.loads(finished.stdout)["sources"]
    assert sources["good"] == {
        "received": 40,
        "published": 0,
        "no_face": 40,
        "dropped": {},
        "decoder": "CPU",
        "error": None,
    }
    for name, spec in bad.items():
        error = sources[name]["error"]
        assert error, f"{name} did not fail"
        assert "\n" not in error
        shown = "127.0.0.1" if name == "camera" else str(spec)
        assert shown in error, f"{name}: the input is not named in {error!r}"
        assert error in finished.stderr, f"{name}: not told on standard error"
        assert sum(sources[name][key] for key in ("published", "no_face")) <= sources[name]["received"]


def test_a_clip_over_a_server_of_ones_own(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    clip = numbered_video(tmp_path / "clip.mp4", frames=20)
    with EmbeddedServer() as server:
        finished = flamestream("run", clip, "--redis", server.url, "--json")
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout)
    assert report["sources"]["clip"]["received"] == 20
    assert report["redis"] == server.url


@pytest.mark.parametrize("user", ["", "default"], ids=["password only", "user and password"])
def test_a_wrong_redis_password_is_one_line_without_it(
    tmp_path: Path, numbered_video: Callable[..., Path], user: str
) -> None:
    clip = numbered_video(tmp_path / "clip.mp4", frames=5)
    port = free_port()
    server = subprocess.Popen(
        [server_binary(), "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "right", "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"redis://{user}:{PASSWORD}@127.0.0.1:{port}/0"
        finished = flamestream("run", clip, "--redis", url)
    finally:
        server.terminate()
        server.wait()
    assert finished.returncode == 1
    message = finished.stderr.strip().splitlines()[-1]
    assert f"127.0.0.1:{port}" in message
    assert "password" in message


def test_an_unreachable_redis_is_one_line(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    clip = numbered_video(tmp_path / "clip.mp4", frames=5)
    port = free_port()
    finished = flamestream("run", clip, "--redis", f"redis://:{PASSWORD}@127.0.0.1:{port}/0")
    assert finished.returncode == 1
    assert f"127.0.0.1:{port}" in finished.stderr.strip().splitlines()[-1]


def test_a_corrupt_asset_is_one_line(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    clip = numbered_video(tmp_path / "clip.mp4", frames=5)
    asset = tmp_path / "face_landmarker.task"
    asset.write_bytes(b"not the model")
    finished = flamestream("run", clip, env={"FLAMESTREAM_ASSET_FACE_LANDMARKER": str(asset)})
    assert finished.returncode == 1
    message = finished.stderr.strip().splitlines()[-1]
    assert str(asset) in message
    assert "expected" in message


def test_a_checkpoint_of_another_shape_is_one_line(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    clip = numbered_video(tmp_path / "clip.mp4", frames=5)
    checkpoint = tmp_path / "other.pt"
    torch.save({"smirk_encoder.pose_encoder.pose_cam_layers.0.weight": torch.zeros(7, 7)}, checkpoint)
    finished = flamestream("run", clip, "--face-model", "smirk", "--checkpoint", checkpoint)
    assert finished.returncode == 1
    assert str(checkpoint) in finished.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run"], "no source given"),
        (["run", "x.mp4", "--face-model", "smirk"], "--checkpoint FILE"),
        (["run", "x.mp4", "--checkpoint", "y.pt"], "smirk or smirk-open"),
        (["run", "x.mp4", "--name", "a/b"], "name"),
        (["run", f"http://user:{PASSWORD}@host/x"], "rtsp://"),
        (["tail"], "--redis"),
        (["demo", "--clip", "x.mp4", "--engine", "tpu"], "engine"),
    ],
)
def test_wrong_usage_says_what_to_do(arguments: list[str], expected: str) -> None:
    finished = flamestream(*arguments)
    assert finished.returncode == 2
    assert expected in finished.stderr.strip().splitlines()[-1]


def test_ctrl_c_ends_a_camera_run_cleanly(
    tmp_path: Path, numbered_video: Callable[..., Path], rtsp_server: Callable[..., object]
) -> None:
    numbered_video(tmp_path / "clip.mp4", frames=60)
    camera = rtsp_server(tmp_path)
    with EmbeddedServer() as server:
        arguments = command("run", camera.url("clip.mp4"), "--redis", server.url, "--json")  # type: ignore[attr-defined]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            for line in running.stderr:
                if "online" in line:
                    break
            time.sleep(1)
            running.send_signal(signal.SIGINT)
            output, errors = running.communicate(timeout=30)
    assert running.returncode == 0, errors
    (account,) = json.loads(output)["sources"].values()
    assert account["received"] > 10
    assert account["received"] == account["published"] + account["no_face"] + sum(account["dropped"].values())


def test_tail_prints_events_for_machines(tmp_path: Path) -> None:
    import redis

    from stream.emit.schema import EmotionEvent, emotion_key

    event = EmotionEvent(
        source="cam", run="00000000", epoch=0, seq=3, pts_s=0.1, captured_ms=1000, published_ms=1001, track=1,
        confidence=0.9, model="mediapipe", model_hash="0" * 12, basis="open", valence=0.25, arousal=-0.5,
        valence_raw=0.3, arousal_raw=-0.4, head="emfacs", head_hash="0" * 12,
    )  # fmt: skip
    with EmbeddedServer() as server, redis.Redis.from_url(server.url) as client:
        client.sadd("flamestream:sources", "cam")
        client.xadd(emotion_key("flamestream", "cam"), event.to_fields(), id="1000-0")
        finished = flamestream("tail", "cam", "--redis", server.url, "--from", "start", "-n", "1", "--json")
    assert finished.returncode == 0, finished.stderr
    printed = json.loads(finished.stdout)
    assert (printed["valence"], printed["arousal"], printed["seq"]) == (0.25, -0.5, 3)
