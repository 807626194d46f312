"""Groups cut from real encoders' streams, each decoded alone and compared with the stream decoded whole."""

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.stream import VideoStream

from stream.ingest import gop as gop_module
from stream.ingest.decoder import MediaPacket
from stream.ingest.gop import Gop, GopCutter, contain

Rgb = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 192, 96

STREAMS = {
    "h264 in mp4": ("libx264", "mp4", {}),
    "h264 in mpegts": ("libx264", "mpegts", {}),
    "h264 raw in mkv, ms stamps": ("libx264", "matroska", {}),
    "hevc closed in mp4": ("libx265", "mp4", {"x265-params": "log-level=none:open-gop=0"}),
    "hevc open in mp4": ("libx265", "mp4", {"x265-params": "log-level=none:open-gop=1"}),
    "hevc open in mpegts": ("libx265", "mpegts", {"x265-params": "log-level=none:open-gop=1"}),
    "hevc with RADL": ("libx265", "mp4", {"x265-params": "log-level=none:open-gop=0:radl=2"}),
    "vp9 in webm": ("libvpx-vp9", "webm", {"lag-in-frames": "0"}),
    "vp9 with hidden pictures": ("libvpx-vp9", "webm", {"lag-in-frames": "16", "auto-alt-ref": "1"}),
    "av1 in mp4": ("libsvtav1", "mp4", {"preset": "12", "svtav1-params": "keyint=15"}),
}


def write(file: Path, name: str, picture: Callable[..., Rgb], *, width: int = WIDTH) -> Path:
    encoder, container, options = STREAMS[name]
    with av.open(str(file), "w", format=container) as output:
        stream = output.add_stream(encoder, rate=30)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 15
        if encoder.startswith("libx26"):
            stream.codec_context.max_b_frames = 3
        stream.codec_context.options = options
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.tile(picture(number), (1, width // WIDTH, 1)), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file


@pytest.fixture
def picture() -> Callable[[int], Rgb]:
    """A drifting picture, so that pictures between others refer to both sides."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)

    def make(number: int) -> Rgb:
        waves = [np.sin((columns + 3 * number) / 17 + k) + np.cos((rows + number) / 9 - k) for k in range(3)]
        return np.clip(128 + 50 * np.stack(waves, axis=-1), 0, 255).astype(np.uint8)

    return make


def decode(file: Path | io.BytesIO) -> list[tuple[int | None, Rgb]]:
    with av.open(file if isinstance(file, io.BytesIO) else str(file)) as container:
        return [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def cut(stream: VideoStream, packets: Iterable[MediaPacket]) -> tuple[list[Gop], GopCutter]:
    cutter = GopCutter(stream)
    gops = [gop for packet in packets if packet.size for gop in cutter.add(packet)]
    return gops + cutter.finish(), cutter


def shown_alone(gop: Gop, stream: VideoStream, *, width: int = WIDTH) -> Iterator[tuple[int | None, Rgb]]:
    alone = decode(io.BytesIO(contain(gop, stream, width, HEIGHT)))
    assert len(alone) == len(gop.data)
    assert [pts for pts, _ in alone] == sorted(pts for pts, _ in alone if pts is not None)
    for shown in gop.shown:
        yield shown.pts, alone[shown.place][1]


@pytest.mark.parametrize("name", STREAMS)
def test_groups_alone_show_what_the_whole_stream_shows(
    name: str, tmp_path: Path, picture: Callable[[int], Rgb]
) -> None:
    file = write(tmp_path / "video", name, picture)
    whole = decode(file)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        gops, cutter = cut(stream, container.demux(stream))
        alone = [entry for gop in gops for entry in shown_alone(gop, stream)]
    assert len(gops) >= 3
    assert cutter.lost_at_end() == 0
    assert all(shown.lost == 0 for gop in gops for shown in gop.shown)
    assert [pts for pts, _ in alone] == [pts for pts, _ in whole]
    assert len(whole) == 50
    for (_, ours), (_, theirs) in zip(alone, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_open_groups_end_with_a_copy_of_the_next_key_picture(tmp_path: Path, picture: Callable[[int], Rgb]) -> None:
    file = write(tmp_path / "video", "hevc open in mp4", picture)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        gops, _ = cut(stream, container.demux(stream))
    for before, after in itertools.pairwise(gops):
        assert after.data[0] in before.data
        assert after.shown[0].pts == after.key.pts
    assert any(len(gop.data) > len(gop.shown) for gop in gops)


def test_h264_with_open_groups_is_not_cut_at_its_recovery_points(
    tmp_path: Path, picture: Callable[[int], Rgb], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STREAMS, "open", ("libx264", "mpegts", {"x264-params": "open-gop=1"}))
    file = write(tmp_path / "video", "open", picture)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert sum(packet.is_keyframe for packet in packets) >= 3
        assert len(cut(stream, packets)[0]) == 1
        monkeypatch.setattr(gop_module, "MAX_PICTURES", 20)
        cutter = GopCutter(stream)
        lengths = itertools.takewhile(lambda packet: not (cutter.add(packet) or cutter.too_long), packets)
        assert len(list(lengths)) == 20
        assert cutter.pending() == packets[:21]


def test_a_stream_that_is_joined_late_loses_what_refers_back(tmp_path: Path, picture: Callable[[int], Rgb]) -> None:
    for name, leading in (("h264 in mp4", 0), ("vp9 in webm", 0), ("hevc open in mp4", 1)):
        file = write(tmp_path / "video", name, picture)
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size][6:]
            start = next(index for index, packet in enumerate(packets) if packet.is_keyframe)
            gops, cutter = cut(stream, packets)
        assert start > 0
        assert gops[0].shown[0].lost == start
        assert gops[0].shown[0].pts == packets[start].pts
        # Pictures before the first key picture that refer to what never came are no loss: nobody could show them.
        assert leading <= len(packets) - start - sum(len(gop.shown) for gop in gops) <= 3 * leading
        assert cutter.lost_at_end() == 0


def test_without_any_key_picture_all_is_lost(tmp_path: Path, picture: Callable[[int], Rgb]) -> None:
    file = write(tmp_path / "video", "vp9 in webm", picture)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size][1:15]
        gops, cutter = cut(stream, packets)
    assert (gops, cutter.lost_at_end(), cutter.pending()) == ([], 14, packets)


def test_parameters_in_a_packet_of_their_own_belong_to_the_next(tmp_path: Path, picture: Callable[[int], Rgb]) -> None:
    file = write(tmp_path / "video", "h264 in mpegts", picture)
    whole = decode(file)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        parted: list[MediaPacket] = []
        for packet in container.demux(stream):
            data = bytes(packet)
            place = max(data.find(b"\0\0\1\x65"), data.find(b"\0\0\1\x41"), data.find(b"\0\0\1\x01"))
            for piece in (data[:place], data[place:]) if packet.is_keyframe else (data,):
                if not piece:
                    continue
                part = av.Packet(piece)
                part.stream, part.pts, part.dts = packet.stream, packet.pts, packet.dts
                part.time_base, part.is_keyframe = packet.time_base, packet.is_keyframe
                parted.append(part)
        gops, _ = cut(stream, parted)
        alone = [entry for gop in gops for entry in shown_alone(gop, stream)]
    assert len(parted) > 50
    assert len(gops) >= 3
    for (ours_pts, ours), (pts, theirs) in zip(alone, whole, strict=True):
        assert ours_pts == pts
        np.testing.assert_array_equal(ours, theirs)


def test_a_group_is_used_up_to_what_is_known_to_be_damaged(tmp_path: Path, picture: Callable[[int], Rgb]) -> None:
    file = write(tmp_path / "video", "h264 in mp4", picture)
    whole = decode(file)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        packets[20].is_corrupt = True
        short = av.Packet(bytes(packets[40])[:-1])
        short.stream, short.pts, short.dts = packets[40].stream, packets[40].pts, packets[40].dts
        packets[40] = short
        gops, _ = cut(stream, packets)
        alone = dict(entry for gop in gops for entry in shown_alone(gop, stream))
    lost = sum(shown.lost for gop in gops for shown in gop.shown) + sum(gop.lost_after for gop in gops)
    assert lost == 10 + 5
    assert len(alone) == 50 - lost
    for pts, theirs in whole:
        if pts in alone:
            np.testing.assert_array_equal(alone[pts], theirs)
    damaged = next(gop for gop in gops if packets[20] in gop.packets)
    stamps = sorted(packet.pts or 0 for packet in damaged.packets)
    missing = 0
    for shown in damaged.shown:  # each loss is counted where it is
        missing += shown.lost
        assert stamps.index(shown.pts or 0) == damaged.shown.index(shown) + missing


def test_missing_stamps_and_a_clock_set_back(tmp_path: Path, picture: Callable[[int], Rgb]) -> None:
    file = write(tmp_path / "video", "vp9 in webm", picture)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size][:15]
        packets[0].pts = packets[3].pts = None
        for packet in packets[8:]:
            packet.pts = packet.dts = (packet.pts or 0) - 1000
        (gop,), _ = cut(stream, packets)
        assert [shown.pts for shown in gop.shown] == [packet.pts for packet in packets]
        assert gop.order == tuple(range(15))
        assert len(decode(io.BytesIO(contain(gop, stream, WIDTH, HEIGHT)))) == 15


def test_new_parameters_beside_a_packet_hold_from_it_on(tmp_path: Path, picture: Callable[[int], Rgb]) -> None:
    """As MP4 files with several sample descriptions give them; here FFmpeg's own filter puts them there."""
    files = [write(tmp_path / f"{width}", "h264 in mpegts", picture, width=width) for width in (WIDTH, 2 * WIDTH)]
    with av.open(str(files[0])) as one, av.open(str(files[1])) as other:
        stream = one.streams.video[0]
        cutter, gops = GopCutter(stream), list[Gop]()
        for container in (one, other):
            moved = BitStreamFilterContext("extract_extradata=remove=1", in_stream=container.streams.video[0])
            packets = [out for packet in container.demux(video=0) if packet.size for out in moved.filter(packet)]
            assert any(packet.has_sidedata("new_extradata") for packet in packets)
            assert not any(b"\0\0\1\x67" in bytes(packet) for packet in packets)
            gops += [gop for packet in packets for gop in cutter.add(packet)]
        gops += cutter.finish()
        looks = list(dict.fromkeys(gop.parameters for gop in gops))
        assert len(looks) == 2
        alone = [
            pair for gop in gops for pair in shown_alone(gop, stream, width=WIDTH * (1 + looks.index(gop.parameters)))
        ]
    for (_, ours), (_, theirs) in zip(alone, decode(files[0]) + decode(files[1]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def remux(file: Path, copy: Path, *, shift: int) -> Path:
    """The same packets, `shift` pictures earlier: those before 0 are hidden by an edit list."""
    with av.open(str(file)) as container, av.open(str(copy), "w", options={"avoid_negative_ts": "disabled"}) as output:
        stream = container.streams.video[0]
        target = output.add_stream_from_template(stream, opaque=True)
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None and packet.dts is not None and packet.time_base:
                packet.pts -= round(shift / 30 / packet.time_base)
                packet.dts -= round(shift / 30 / packet.time_base)
                packet.stream = target
                output.mux(packet)
    return copy


def test_pictures_that_an_edit_list_hides_are_decoded_and_not_shown(
    tmp_path: Path, picture: Callable[[int], Rgb]
) -> None:
    file = remux(write(tmp_path / "video", "h264 in mp4", picture), tmp_path / "cut.mp4", shift=4)
    whole = decode(file)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        gops, _ = cut(stream, container.demux(stream))
        alone = [entry for gop in gops for entry in shown_alone(gop, stream)]
    assert len(whole) == 46
    assert sum(len(gop.data) for gop in gops) == 50
    assert [pts for pts, _ in alone] == [pts for pts, _ in whole]
    assert all(shown.lost == 0 for gop in gops for shown in gop.shown)
    for (_, ours), (_, theirs) in zip(alone, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)
