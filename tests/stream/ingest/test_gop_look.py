"""What a group's first picture tells, on the CPU."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from models.device import CPU
from stream.ingest.gop import Gop, GopCutter
from stream.ingest.gop_look import declares_full_range, look_of, unreadable


@pytest.fixture
def h264(tmp_path: Path) -> Path:
    return encode(tmp_path / "video.mp4", {})


def encode(file: Path, options: dict[str, str]) -> Path:
    noise = np.random.default_rng(0)
    with av.open(str(file), "w") as output:
        stream = output.add_stream("libx264", rate=30)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 192, 96, "yuv420p"
        stream.codec_context.options = options
        for number in range(20):
            picture = av.VideoFrame.from_ndarray(noise.integers(0, 256, (96, 192, 3)).astype(np.uint8), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 30)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return file


def groups(stream: VideoStream) -> list[Gop]:
    cutter = GopCutter(stream)
    packets = [packet for packet in stream.container.demux(stream) if packet.size]
    return [gop for packet in packets for gop in cutter.add(packet)] + cutter.finish()


def test_the_streams_decoder_is_left_as_new(h264: Path) -> None:
    with av.open(str(h264)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        (gop,) = groups(stream)
        look = look_of(gop, stream, CPU)
        assert look is not None
        assert (look.width, look.height, look.unreadable, look.colours) == (192, 96, "", None)
        assert look_of(gop, stream, CPU) == look
        decode = stream.codec_context.decode
        pictures = [picture for packet in [*gop.packets, None] for picture in decode(packet)]
    assert len(pictures) == 20


def test_a_damaged_first_picture_has_no_look(h264: Path) -> None:
    with av.open(str(h264)) as container:
        stream = container.streams.video[0]
        cutter = GopCutter(stream)
        packets = [packet for packet in container.demux(stream) if packet.size]
        data = bytes(packets[0])
        broken = av.Packet(data[:-4000] + bytes(range(1, 251)) * 16)
        broken.stream, broken.pts, broken.dts, broken.is_keyframe = stream, packets[0].pts, packets[0].dts, True
        for packet in [broken, *packets[1:]]:
            cutter.add(packet)
        (gop,) = cutter.finish()
        assert look_of(gop, stream, CPU) is None


def test_the_range_is_read_from_the_group_and_not_from_its_container(h264: Path, tmp_path: Path) -> None:
    file = tmp_path / "tagged.mp4"
    with av.open(str(h264)) as container, av.open(str(file), "w") as output:
        target = output.add_stream_from_template(container.streams.video[0], opaque=True)
        context = target.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = ColorRange.JPEG
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = target
                output.mux(packet)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        (gop,) = groups(stream)
        look = look_of(gop, stream, CPU)
        assert look is not None
        assert look.colours is not None
        assert not declares_full_range(gop, "h264")


@pytest.mark.parametrize("full_range", [False, True])
def test_the_range_of_av1_is_read_though_ffmpegs_own_decoder_needs_a_gpu(full_range: bool, tmp_path: Path) -> None:
    file = tmp_path / "video.mkv"
    with av.open(str(file), "w") as output:
        target = output.add_stream("libsvtav1", rate=30)
        assert isinstance(target, VideoStream)
        target.width, target.height, target.pix_fmt = 192, 96, "yuv420p"
        target.codec_context.color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
        output.mux([*target.encode(av.VideoFrame(192, 96, "yuv420p")), *target.encode(None)])
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        (gop,) = groups(stream)
        assert declares_full_range(gop, stream.codec_context.name) == full_range
        look = look_of(gop, stream, torch.device("cuda", 0))  # no tensor is made there, since DALI's colours are right
    assert look is not None
    assert look.colours is None


def test_what_dali_cannot_read(tmp_path: Path, h264: Path) -> None:
    fields = encode(tmp_path / "fields.mp4", {"x264-params": "interlaced=1"})
    for file, expected in ((h264, ""), (fields, "interlaced pictures")):
        with av.open(str(file)) as container:
            picture = next(container.decode(video=0))
            assert [unreadable(picture, device) for device in ("cpu", "cuda")] == [expected] * 2
    deep = av.VideoFrame(64, 64, "yuv420p10le")
    assert [unreadable(deep, device) for device in ("cpu", "cuda")] == ["cannot read yuv420p10le", ""]
