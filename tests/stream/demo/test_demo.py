"""The demo's pictures: what is drawn is where it was seen, and every frame is in the video."""

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from models.assets import fetch
from models.errors import AssetUnavailable
from models.spec import Affect
from stream.demo.annotate import PANEL_HEIGHT, draw_frame, write_video
from stream.demo.plot import plot_affect
from stream.demo.record import Recording, SeenFace, SeenFrame
from stream.demo.style import AROUSAL, LANDMARK, VALENCE


def seen_face(centre: tuple[float, float], affect: Affect) -> SeenFace:
    angles = np.linspace(0, 2 * np.pi, 478, dtype=np.float32)
    landmarks = np.stack([centre[0] + 25 * np.cos(angles), centre[1] + 30 * np.sin(angles), 0 * angles], axis=1)
    return SeenFace(1, (*centre, 80.0), landmarks, affect, affect)


def recording(frames: int) -> Recording:
    made = Recording()
    for seq in range(frames):
        affect = Affect(valence=0.6 * seq / frames, arousal=-0.5 * seq / frames)
        faces = () if seq == 3 else (seen_face((96, 48), affect),)
        made.frames.append(SeenFrame(seq, seq / 30, faces))
    return made


def coloured(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - colour).max(axis=2) <= 2).sum())


def test_landmarks_are_drawn_where_they_are_and_the_traces_below() -> None:
    past = recording(30).frames
    rgb = np.full((97, 193, 3), 128, np.uint8)  # odd sides, which H.264 cannot take
    picture = draw_frame(rgb, past)
    assert picture.shape == (96 + PANEL_HEIGHT, 192, 3)
    x, y = np.rint(past[-1].faces[0].landmarks[60, :2]).astype(int)  # lower right, away from the box and its label
    assert tuple(picture[y, x]) == LANDMARK
    panel = picture[96:]
    assert coloured(panel, VALENCE) > 10
    assert coloured(panel, AROUSAL) > 10
    assert coloured(draw_frame(rgb, past[:4])[:96], LANDMARK) == 0, "frame 3 has no face"


def test_the_video_has_every_frame_at_the_clips_rate(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    clip = numbered_video(tmp_path / "clip.mp4", frames=20)
    out = tmp_path / "drawn.mp4"
    assert list(write_video(clip, recording(20), out)) == list(range(1, 21))
    with av.open(str(out)) as drawn:
        stream = drawn.streams.video[0]
        assert stream.average_rate == Fraction(30)
        assert sum(1 for _ in drawn.decode(stream)) == 20


def test_the_plot_shows_both_values(tmp_path: Path) -> None:
    out = tmp_path / "affect.png"
    plot_affect(recording(30), "a title", out)
    with Image.open(out) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert coloured(pixels, VALENCE) > 100
    assert coloured(pixels, AROUSAL) > 100


def test_the_whole_demo_on_a_short_clip(tmp_path: Path) -> None:
    try:
        whole = fetch("demo_clip")
    except AssetUnavailable as error:
        pytest.skip(f"the demo clip could not be fetched: {error}")
    short = tmp_path / "short.mp4"
    with av.open(str(whole)) as source, av.open(str(short), "w") as target:
        stream = target.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number, picture in enumerate(source.decode(video=0)):
            if number == 24:
                break
            frame = av.VideoFrame.from_ndarray(picture.to_ndarray(format="yuv420p"), format="yuv420p")
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    out = tmp_path / "out"
    finished = subprocess.run(
        [sys.executable, "-m", "stream", "demo", "--clip", short, "--out", out],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "flamestream tail" in finished.stderr
    assert (out / "affect.png").stat().st_size > 10_000
    with av.open(str(out / "annotated.mp4")) as drawn:
        pictures = [frame.to_ndarray(format="rgb24") for frame in drawn.decode(video=0)]
    assert len(pictures) == 24
