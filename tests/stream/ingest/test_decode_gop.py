"""Groups decoded by DALI, on the CPU with VP9, which it can decode there; the same for H.264 and HEVC on a GPU."""

import gc
import threading
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from models.device import CPU, DeviceArray, MemoryBudget
from stream.ingest import gop as gop_module
from stream.ingest.dali import Dali
from stream.ingest.decode_cpu import CpuDecoding
from stream.ingest.decode_gop import LARGEST_DIFFERENCE, MEAN_DIFFERENCE, GopDecoder, GopDecoding
from stream.ingest.decoder import Decoded, Decoder, Decoding, MediaPacket

Rgb = npt.NDArray[np.uint8]
WriteVideo = Callable[..., Path]
MIB = 1 << 20
SIZE = 192 * 96 * 3
"""Bytes of one numbered picture."""


@pytest.fixture(scope="module")
def decoding() -> GopDecoding:
    return GopDecoding(CPU, otherwise=CpuDecoding(), budget=MemoryBudget(256 * MIB))


@pytest.fixture(scope="module")
def dali(decoding: GopDecoding) -> Dali:
    return decoding._dali


@pytest.fixture(scope="module")
def clip(numbered_video: WriteVideo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty numbered pictures in four groups."""
    return numbered_video(tmp_path_factory.mktemp("gop") / "clip.webm", 60, codec="libvpx-vp9")


def pixels(decoded: Decoded) -> Rgb:
    assert decoded.rgb is not None
    return decoded.rgb.here().cpu().numpy() if isinstance(decoded.rgb, DeviceArray) else decoded.rgb


def feed(decoder: Decoder, packets: Iterable[MediaPacket | None]) -> list[Decoded]:
    return [decoded for packet in packets for decoded in decoder.decode(packet) if decoded is not None]


def with_end(packets: Iterable[MediaPacket]) -> list[MediaPacket | None]:
    return [*(packet for packet in packets if packet.size), None]


def read(
    decoding: Decoding, file: Path, *, live: bool = False, harm: Callable[[list[MediaPacket]], None] | None = None
) -> tuple[list[Decoded], Decoder, int]:
    with decoding.open(str(file)) as container:
        stream = container.streams.video[0]
        decoder = decoding.decoder(stream, live=live)
        packets = [packet for packet in container.demux(stream) if packet.size]
        if harm:
            harm(packets)
        pictures = feed(decoder, with_end(packets))
        return pictures, decoder, decoder.lost_at_end()


def replace_packet(packets: list[MediaPacket], index: int, data: bytes) -> None:
    old, new = packets[index], av.Packet(data)
    new.stream, new.pts, new.dts, new.time_base = old.stream, old.pts, old.dts, old.time_base
    new.is_keyframe = old.is_keyframe
    packets[index] = new


def noise(packets: list[MediaPacket], index: int) -> None:
    size = packets[index].size
    replace_packet(packets, index, np.random.default_rng(1).integers(0, 256, size).astype(np.uint8).tobytes())


def test_numbers_stamps_and_colours_are_the_cpu_decoders(
    decoding: GopDecoding, numbered_video: WriteVideo, frame_number: Callable[[Rgb], int], tmp_path: Path
) -> None:
    stamps = np.cumsum([0, *np.random.default_rng(0).integers(1, 90, 39)]).tolist()
    file = numbered_video(
        tmp_path / "video.webm", 40, codec="libvpx-vp9", pts=stamps.__getitem__, time_base=Fraction(1, 1000)
    )
    ours, decoder, lost = read(decoding, file)
    theirs, _, _ = read(CpuDecoding(), file)
    assert decoder.description == "DALI"
    assert lost == 0
    assert [frame_number(pixels(decoded)) for decoded in ours] == list(range(40))
    assert [decoded.pts_s for decoded in ours] == [decoded.pts_s for decoded in theirs]
    assert [decoded.pts_s for decoded in ours] == pytest.approx([stamp / 1000 for stamp in stamps])
    assert all(decoded.lost == 0 for decoded in ours)
    for our, their in zip(ours, theirs, strict=True):
        assert np.abs(pixels(our).astype(int) - pixels(their)).mean() < MEAN_DIFFERENCE


@pytest.mark.parametrize("harmed", [[20], [15], [29, 35]])
def test_a_bad_group_costs_itself_and_no_other(
    harmed: list[int], decoding: GopDecoding, clip: Path, frame_number: Callable[[Rgb], int]
) -> None:
    def harm(packets: list[MediaPacket]) -> None:
        for index in harmed:
            noise(packets, index)

    whole, _, _ = read(decoding, clip)
    ours, decoder, lost = read(decoding, clip, harm=harm)
    bad = {index // 15 for index in harmed}
    expected = [number for number in range(60) if number // 15 not in bad]
    assert [frame_number(pixels(decoded)) for decoded in ours] == expected
    assert [decoded.pts_s for decoded in ours] == [whole[number].pts_s for number in expected]
    after = whole[15 * (max(bad) + 1)].pts_s
    assert {decoded.pts_s: decoded.lost for decoded in ours if decoded.lost} == {after: 15 * len(bad)}
    assert (lost, decoder.failures_in_a_row, decoder.description) == (0, 0, "DALI")
    for number, decoded in zip(expected, ours, strict=True):
        np.testing.assert_array_equal(pixels(decoded), pixels(whole[number]))


def test_a_bad_last_group_is_counted_at_the_end(
    decoding: GopDecoding, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours, decoder, lost = read(decoding, clip, harm=lambda packets: noise(packets, 50))
    assert (len(ours), lost, decoder.failures_in_a_row) == (45, 15, 1)
    (warning,) = caplog.messages
    assert warning.startswith(f"{clip}: pictures up to the next key picture are lost, DALI refuses them: ")


def test_a_stream_without_its_first_key_frame_begins_at_the_next(
    decoding: GopDecoding, clip: Path, frame_number: Callable[[Rgb], int]
) -> None:
    ours, decoder, _ = read(decoding, clip, harm=lambda packets: packets.__delitem__(slice(0, 4)))
    assert [frame_number(pixels(decoded)) for decoded in ours] == list(range(15, 60))
    assert (ours[0].lost, decoder.description) == (11, "DALI")


@pytest.mark.parametrize(
    ("harmed", "why"), [(5, "it refuses this stream, "), (0, "its first picture cannot be decoded")]
)
def test_a_first_group_that_cannot_be_decoded_goes_to_the_other_decoder(
    harmed: int, why: str, decoding: GopDecoding, clip: Path
) -> None:
    ours, decoder, lost = read(decoding, clip, harm=lambda packets: noise(packets, harmed))
    theirs, _, _ = read(CpuDecoding(), clip, harm=lambda packets: noise(packets, harmed))
    assert decoder.description.startswith(f"CPU (DALI: {why}")
    assert len(decoder.description.splitlines()) == 1
    assert [(decoded.pts_s, decoded.lost) for decoded in ours] == [(decoded.pts_s, decoded.lost) for decoded in theirs]
    assert len(ours) + sum(decoded.lost for decoded in ours) + lost == 60


@pytest.mark.parametrize(
    ("codec", "name"), [("libx264", "a.mp4"), ("libvpx", "a.webm"), ("mpeg4", "a.avi"), ("mjpeg", "a.mkv")]
)
def test_codecs_that_dali_lacks_here_are_decoded_by_the_other(
    codec: str,
    name: str,
    decoding: GopDecoding,
    numbered_video: WriteVideo,
    frame_number: Callable[[Rgb], int],
    tmp_path: Path,
) -> None:
    file = numbered_video(tmp_path / name, 20, codec=codec) if codec != "mjpeg" else _mjpeg(tmp_path / name)
    ours, decoder, lost = read(decoding, file)
    with av.open(str(file)) as container:
        kind = container.streams.video[0].codec_context.name
    assert decoder.description == f"CPU (DALI: no {kind} on the CPU)"
    assert lost == 0
    if codec != "mjpeg":
        assert [frame_number(pixels(decoded)) for decoded in ours] == list(range(20))


def test_formats_that_dali_cannot_read_are_decoded_by_the_other(decoding: GopDecoding, tmp_path: Path) -> None:
    file = coloured(tmp_path / "video.webm", format_name="yuv444p")
    ours, decoder, lost = read(decoding, file)
    assert decoder.description == "CPU (DALI: cannot read yuv444p)"
    assert (len(ours), lost) == (3, 0)


def test_a_stream_without_places_to_cut_is_decoded_by_the_other(
    decoding: GopDecoding, clip: Path, frame_number: Callable[[Rgb], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gop_module, "MAX_PICTURES", 20)

    def hide_key_frames(packets: list[MediaPacket]) -> None:
        for index in (30, 45):
            packets[index].is_keyframe = False

    ours, decoder, lost = read(decoding, clip, harm=hide_key_frames)
    assert decoder.description.startswith("CPU (DALI: ")
    assert decoder.description.endswith(" pictures without a place to cut)")
    assert [frame_number(pixels(decoded)) for decoded in ours] == list(range(60))
    assert lost == 0


def test_the_size_may_change_between_groups(
    decoding: GopDecoding, dali: Dali, numbered_video: WriteVideo, frame_number: Callable[[Rgb], int], tmp_path: Path
) -> None:
    sizes = [(192, 96), (320, 160), (192, 96)]
    files = [
        numbered_video(tmp_path / f"{index}.webm", 20, codec="libvpx-vp9", size=size, first=20 * index)
        for index, size in enumerate(sizes)
    ]
    with av.open(str(files[0])) as one, av.open(str(files[1])) as two, av.open(str(files[2])) as three:
        decoder = decoding.decoder(one.streams.video[0], live=False)
        packets = [packet for container in (one, two, three) for packet in container.demux(video=0) if packet.size]
        ours = feed(decoder, [*packets, None])
        assert [pixels(decoded).shape for decoded in ours] == [(h, w, 3) for w, h in sizes for _ in range(20)]
        assert [frame_number(pixels(decoded)) for decoded in ours] == list(range(60))


def test_memory_stays_within_the_budget_and_comes_back(
    dali: Dali, clip: Path, frame_number: Callable[[Rgb], int]
) -> None:
    for pictures in (12, 24, 1000):  # groups of 15 in parts of 3 and 6, and several at once
        budget = MemoryBudget(pictures * SIZE)
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            decoder = GopDecoder(stream, dali, CpuDecoding().decoder(stream, live=False), budget)
            numbers = []
            for packet in with_end(container.demux(stream)):
                for decoded in decoder.decode(packet):
                    assert decoded is not None
                    numbers.append(frame_number(pixels(decoded)))
                    del decoded
            assert decoder.description == "DALI"
        gc.collect()
        assert numbers == list(range(60))
        assert SIZE < budget.peak_bytes <= budget.limit_bytes
        assert budget.held_bytes == 0


def test_a_group_far_beyond_the_budget_goes_to_the_other_decoder(
    dali: Dali, clip: Path, frame_number: Callable[[Rgb], int]
) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        decoder = GopDecoder(stream, dali, CpuDecoding().decoder(stream, live=False), MemoryBudget(5 * SIZE))
        ours = feed(decoder, with_end(container.demux(stream)))
        assert decoder.description.startswith("CPU (DALI: groups of 15 pictures want 3 MiB")
    assert [frame_number(pixels(decoded)) for decoded in ours] == list(range(60))


@pytest.mark.parametrize(("sharers", "pictures"), [(1, 30), (16, 3)])
def test_sources_share_the_memory_evenly(
    dali: Dali, clip: Path, frame_number: Callable[[Rgb], int], sharers: int, pictures: int
) -> None:
    budget = MemoryBudget(120 * SIZE)
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        other = CpuDecoding().decoder(stream, live=False)
        decoder = GopDecoder(stream, dali, other, budget, gops_at_once=4, sharers=lambda: sharers)
        numbers = [
            frame_number(pixels(decoded))
            for packet in with_end(container.demux(stream))
            for decoded in decoder.decode(packet)
            if decoded is not None
        ]
    assert decoder.description == "DALI"
    assert numbers == list(range(60))
    assert 0 < budget.peak_bytes <= 2 * pictures * SIZE + SIZE  # as DALI gives them, as copies, and the one looked at


def test_a_file_waits_for_room_and_a_live_stream_drops(dali: Dali, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.ingest.decode_gop._WAIT_S", 0.01)
    for live in (False, True):
        budget = MemoryBudget(100 * SIZE)
        assert budget.reserve(100 * SIZE, 0)
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            other = CpuDecoding().decoder(stream, live=live)
            decoder = GopDecoder(stream, dali, other, budget, gops_at_once=1, live=live)
            packets = with_end(container.demux(stream))
            came = [decoded for packet in packets[:15] for decoded in decoder.decode(packet)]
            assert came == []
            answers = decoder.decode(packets[15])
            if live:
                dropped = list(answers)
                assert [decoded is not None and decoded.rgb for decoded in dropped] == [None] * 15
            else:
                assert [next(answers) for _ in range(12)] == [None] * 12
                budget.release(98 * SIZE)  # room for few: the group is decoded in parts
                assert len([decoded for decoded in answers if decoded is not None]) == 15


def test_pictures_outlive_decoder_and_group(decoding: GopDecoding, clip: Path) -> None:
    ours, decoder, _ = read(decoding, clip)
    kept = ours[7].rgb
    assert isinstance(kept, DeviceArray)
    tensor = kept.here()
    before = tensor.clone()
    assert tensor.untyped_storage().nbytes() == SIZE
    del ours, decoder
    gc.collect()
    read(decoding, clip)
    assert torch.equal(tensor, before)


def test_three_threads_decode_at_once(decoding: GopDecoding, clip: Path, frame_number: Callable[[Rgb], int]) -> None:
    numbers: dict[int, list[int]] = {}

    def work(index: int) -> None:
        start = 15 * index  # each another part of the clip
        for _ in range(2):
            pictures, _, _ = read(decoding, clip, harm=lambda packets: packets.__delitem__(slice(0, start)))
            numbers[index] = [frame_number(pixels(decoded)) for decoded in pictures]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers == {index: list(range(15 * index, 60)) for index in range(3)}


def coloured(
    file: Path,
    *,
    codec: str = "libvpx-vp9",
    matrix: int | None = None,
    full_range: bool = False,
    format_name: str = "yuv420p",
    turn: int = 0,
) -> Path:
    """Three pictures of slowly changing, moderate colours, given as planes."""
    rows, columns = np.mgrid[:192, :320].astype(np.float32)
    with av.open(str(file), "w") as output:
        stream = output.add_stream(codec, rate=30)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 192, format_name
        context = stream.codec_context
        context.options = (
            {"lossless": "1", "deadline": "realtime", "cpu-used": "8"} if codec == "libvpx-vp9" else {"crf": "1"}
        )
        context.color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
        context.colorspace = 2 if matrix is None else matrix
        if turn:
            stream.set_display_rotation(turn)
        for number in range(3):
            frame = av.VideoFrame(320, 192, format_name)
            luma = 120 + 40 * np.sin((columns + number) / 50) + 20 * np.cos(rows / 40)
            chroma = 128 + 44 * np.sin(columns / 60 + rows / 35), 128 + 44 * np.cos(columns / 45)
            step = 1 if format_name == "yuv444p" else 2
            for plane, values in zip(frame.planes, (luma, *(c[::step, ::step] for c in chroma)), strict=True):
                padded = np.zeros((plane.height, plane.line_size), np.uint8)
                padded[:, : plane.width] = values
                plane.update(padded.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 30)
            frame.colorspace, frame.color_range = context.colorspace, context.color_range
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file


def _mjpeg(file: Path) -> Path:
    with av.open(str(file), "w") as output:
        stream = output.add_stream("mjpeg", rate=30)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "rgb24").reformat(format="yuvj420p")
        frame.pts, frame.time_base = 0, Fraction(1, 30)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file


COLOURS = [(None, False), (None, True), (Colorspace.ITU709, False), (Colorspace.ITU709, True), (7, False), (9, False)]


def agree(ours: list[Decoded], theirs: list[Decoded]) -> None:
    assert len(ours) == len(theirs) == 3
    for our, their in zip(ours, theirs, strict=True):
        assert pixels(our).shape == pixels(their).shape
        difference = np.abs(pixels(our).astype(int) - pixels(their))
        assert difference.max() <= LARGEST_DIFFERENCE
        assert difference.mean() <= MEAN_DIFFERENCE


@pytest.mark.parametrize(("matrix", "full_range"), COLOURS)
def test_colours_follow_the_streams_matrix_and_range(
    matrix: int | None, full_range: bool, decoding: GopDecoding, tmp_path: Path
) -> None:
    file = coloured(tmp_path / "video.webm", matrix=matrix, full_range=full_range)
    ours, decoder, _ = read(decoding, file)
    assert decoder.description == "DALI"
    agree(ours, read(CpuDecoding(), file)[0])


def test_pictures_are_turned_upright(decoding: GopDecoding, tmp_path: Path) -> None:
    for turn, shape in ((90, (320, 192, 3)), (180, (192, 320, 3))):
        file = coloured(tmp_path / f"{turn}.mp4", turn=turn, matrix=1)
        ours, decoder, _ = read(decoding, file)
        assert decoder.description == "DALI"
        assert pixels(ours[0]).shape == shape
        agree(ours, read(CpuDecoding(), file)[0])


@pytest.fixture(scope="module")
def on_gpu() -> GopDecoding:
    return GopDecoding(torch.device("cuda", 0), otherwise=CpuDecoding(), budget=MemoryBudget(1024 * MIB))


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_gpu_shows_every_picture_in_order(
    codec: str,
    b_frames: int,
    on_gpu: GopDecoding,
    numbered_video: WriteVideo,
    frame_number: Callable[[Rgb], int],
    tmp_path: Path,
) -> None:
    file = numbered_video(tmp_path / "video.mkv", 70, codec=codec, b_frames=b_frames, size=(320, 192))
    ours, decoder, lost = read(on_gpu, file)
    assert decoder.description == "DALI"
    assert lost == 0
    assert [frame_number(pixels(decoded)) for decoded in ours] == list(range(70))
    assert [decoded.pts_s for decoded in ours] == [decoded.pts_s for decoded in read(CpuDecoding(), file)[0]]


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize(("matrix", "full_range"), COLOURS)
def test_gpu_colours_follow_the_stream(
    matrix: int | None, full_range: bool, codec: str, on_gpu: GopDecoding, tmp_path: Path
) -> None:
    file = coloured(tmp_path / "video.mp4", codec=codec, matrix=matrix, full_range=full_range, turn=90)
    ours, decoder, _ = read(on_gpu, file)
    assert decoder.description == "DALI"
    agree(ours, read(CpuDecoding(), file)[0])


@pytest.mark.gpu
def test_gpu_leaves_streams_without_presentation_times_to_the_other(
    on_gpu: GopDecoding, numbered_video: WriteVideo, tmp_path: Path
) -> None:
    file = numbered_video(tmp_path / "video.avi", 20, codec="libx264")
    ours, decoder, lost = read(on_gpu, file)
    assert decoder.description == "CPU (DALI: this container does not say when pictures are shown)"
    assert len(ours) + lost == 20


@pytest.mark.gpu
def test_gpu_pictures_stay_on_the_gpu_within_the_budget(numbered_video: WriteVideo, tmp_path: Path) -> None:
    budget = MemoryBudget(24 * 320 * 192 * 3)
    decoding = GopDecoding(torch.device("cuda", 0), otherwise=CpuDecoding(), budget=budget)
    file = numbered_video(tmp_path / "video.mp4", 60, codec="libx264", b_frames=2, size=(320, 192))
    count = 0
    with decoding.open(str(file)) as container:
        stream = container.streams.video[0]
        decoder = decoding.decoder(stream, live=False)
        for packet in with_end(container.demux(stream)):
            for decoded in decoder.decode(packet):
                if decoded is not None:
                    assert isinstance(decoded.rgb, DeviceArray)
                    assert decoded.rgb.here().is_cuda
                    count += 1
                del decoded
    gc.collect()
    assert count == 60
    assert 0 < budget.peak_bytes <= budget.limit_bytes
    assert budget.held_bytes == 0
