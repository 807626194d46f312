"""The videos: every frame at its own time, in a form that browsers play, and one line when there is no room."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stream.errors import RenderError
from stream.frame import FrameStamp
from stream.render.video import TICKS, PlayingTime, VideoWriter

UNEVEN_S = [0.0, 0.033, 0.1, 0.104, 0.5, 0.533]


def stamp(pts_s: float, *, epoch: int = 0, captured_ms: int = 0) -> FrameStamp:
    return FrameStamp("cam", epoch, 0, pts_s, captured_ms, 64, 48)


def grey(number: int, height: int = 48, width: int = 64) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((height, width, 3), 40 * number, np.uint8)


def test_uneven_times_sizes_and_colours_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    time = PlayingTime()
    with VideoWriter(out) as video:
        for number, pts_s in enumerate(UNEVEN_S):
            video.write(grey(number), time.ticks(stamp(7.0 + pts_s)))
    with av.open(str(out)) as played:
        stream = played.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.time_base is not None
        pictures = list(played.decode(stream))
        assert stream.duration is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(0.566, abs=0.002)
    assert [float(p.pts * p.time_base) for p in pictures] == pytest.approx(UNEVEN_S, abs=1e-4)
    for number, picture in enumerate(pictures):
        rgb = picture.to_ndarray(format="rgb24")
        assert rgb.shape == (48, 64, 3)
        assert rgb.mean() == pytest.approx(40 * number, abs=4)


def test_the_index_comes_before_the_pictures(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with VideoWriter(out) as video:
        video.write(grey(1), 0)
    content = out.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_an_outage_lasts_as_long_in_the_video_and_time_never_goes_back() -> None:
    time = PlayingTime()
    shown = [
        time.ticks(stamp(100.0, captured_ms=5_000)),
        time.ticks(stamp(100.04, captured_ms=5_040)),
        time.ticks(stamp(0.0, epoch=1, captured_ms=9_040)),  # 4 s later, on a clock that began again
        time.ticks(stamp(0.04, epoch=1, captured_ms=9_090)),
        time.ticks(stamp(0.0, epoch=2, captured_ms=1_000)),  # the wall clock was put back
    ]
    assert [Fraction(ticks, TICKS) for ticks in shown] == [
        0,
        Fraction(4, 100),
        Fraction(404, 100),
        Fraction(408, 100),
        Fraction(4081, 1000),
    ]


def test_roundings_do_not_add_up() -> None:
    time = PlayingTime()
    interval_s = 1001 / 24000  # 3753.75 ticks
    shown = [time.ticks(stamp(5 + n * interval_s)) for n in range(5000)]
    assert shown[-1] == pytest.approx(4999 * interval_s * TICKS, abs=1)


def test_odd_sides_lose_a_line_and_later_sizes_are_fitted(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with VideoWriter(out) as video:
        video.write(grey(1, 49, 65), 0)
        video.write(grey(1, 96, 128), 3000)
    with av.open(str(out)) as played:
        sizes = {(picture.width, picture.height) for picture in played.decode(video=0)}
    assert sizes == {(64, 48)}


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"nowhere/out\.mp4: the video cannot be written \(No such file"):
        VideoWriter(tmp_path / "nowhere" / "out.mp4").write(grey(1), 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").symlink_to("/dev/full")
    noise = np.random.default_rng(0)
    video = VideoWriter(tmp_path / "out.mp4")

    def film() -> None:
        for number in range(60):
            video.write(noise.integers(0, 256, (96, 128, 3), np.uint8), 3000 * number)
        video.close()

    with pytest.raises(RenderError, match=r"out\.mp4: the video cannot be written \(No space left on device\)"):
        film()


def test_closing_twice_does_nothing_more(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "out.mp4")
    video.write(grey(1), 0)
    video.close()
    before = (tmp_path / "out.mp4").read_bytes()
    video.close()
    assert (tmp_path / "out.mp4").read_bytes() == before
