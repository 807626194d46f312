"""Pictures decoded on the CPU reach a device within its memory budget; the CPU stands in for the device."""

import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
from av.container import InputContainer

from models.device import CPU, DeviceArray, MemoryBudget
from stream.frame import Frame
from stream.ingest.decode_upload import UploadDecoding
from stream.ingest.decoder import Decoded
from stream.ingest.file import FileSource
from stream.ingest.rtsp import RtspSettings, RtspSource
from stream.ingest.source import SourceState
from stream.ingest.timeline import ignore_drops

WriteVideo = Callable[..., Path]
Number = Callable[..., int]
PICTURE = 192 * 96 * 3
AMPLE = 1000 * PICTURE


def pixels(frame: Frame) -> npt.NDArray[np.uint8]:
    assert isinstance(frame.rgb, DeviceArray)
    return frame.rgb.here().cpu().numpy()


def test_a_file_gives_the_same_frames_as_on_the_cpu(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "a.mp4", 20, b_frames=2)
    budget, stop = MemoryBudget(AMPLE), threading.Event()
    states: list[tuple[SourceState, str]] = []
    source = FileSource(path, name="clip", decoding=UploadDecoding(CPU, budget, "DALI does not open it"))
    assert source.decoder == ""
    found = list(source.frames(stop, lambda *state: states.append(state)))
    expected = list(FileSource(path, name="clip").frames(stop, lambda *_: None))
    assert [frame.stamp.pts_s for frame in found] == [frame.stamp.pts_s for frame in expected]
    for device, cpu in zip(found, expected, strict=True):
        np.testing.assert_array_equal(pixels(device), cpu.rgb)
    assert source.decoder == "CPU (DALI does not open it)"
    assert states[-1] == (SourceState.ONLINE, "h264, 192x96, decoded on the CPU (DALI does not open it)")
    assert budget.held_bytes == budget.peak_bytes == 20 * PICTURE
    del device, found
    assert budget.held_bytes == 0


def test_plain_decoding_on_the_cpu_goes_without_saying(tmp_path: Path, numbered_video: WriteVideo) -> None:
    states: list[tuple[SourceState, str]] = []
    path = numbered_video(tmp_path / "a.mp4", 3)
    for decoding in (None, UploadDecoding(CPU, MemoryBudget(AMPLE))):
        source = FileSource(path, name="clip", decoding=decoding)
        list(source.frames(threading.Event(), lambda *state: states.append(state)))
        assert states.pop() == (SourceState.ONLINE, "h264, 192x96")
        assert source.decoder == "CPU"


def test_a_file_waits_for_room_and_loses_nothing(
    tmp_path: Path, numbered_video: WriteVideo, frame_number: Number
) -> None:
    path = numbered_video(tmp_path / "a.mp4", 12)
    budget = MemoryBudget(2 * PICTURE)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = UploadDecoding(CPU, budget).decoder(stream, live=False)
        held: list[Decoded] = []
        numbers, waits = [], 0
        for packet in container.demux(stream):
            for decoded in decoder.decode(packet if packet.size else None):
                if decoded is None:
                    waits += 1
                    held.clear()
                    continue
                assert isinstance(decoded.rgb, DeviceArray)
                numbers.append(frame_number(decoded.rgb.here().numpy()))
                held.append(decoded)
                del decoded
    assert numbers == list(range(12))
    assert waits == 5  # the third picture waits for the first two, the fifth for the next two ...
    assert budget.peak_bytes == 2 * PICTURE
    assert decoder.lost_at_end() == 0


def test_a_file_that_waits_for_room_can_be_stopped(tmp_path: Path, numbered_video: WriteVideo) -> None:
    stop, kept = threading.Event(), []
    source = FileSource(
        numbered_video(tmp_path / "a.mp4", 12), name="clip", decoding=UploadDecoding(CPU, MemoryBudget(3 * PICTURE))
    )
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    kept += source.frames(stop, lambda *_: None)
    timer.join()
    assert len(kept) == 3


class LocalFile(UploadDecoding):
    """Opens one file, whatever address is asked for; the second time nothing answers."""

    def __init__(self, path: Path, budget: MemoryBudget) -> None:
        super().__init__(CPU, budget)
        self._path: Path | None = path

    def open(self, url: str, options: dict[str, str] | None = None, *, demuxer: str | None = None) -> InputContainer:
        if self._path is None:
            raise av.error.ConnectionRefusedError(111, "Connection refused")
        path, self._path = self._path, None
        return super().open(str(path))


def test_a_live_stream_goes_on_without_room_and_counts(
    tmp_path: Path, numbered_video: WriteVideo, frame_number: Number
) -> None:
    budget, stop = MemoryBudget(2 * PICTURE), threading.Event()
    drops: list[tuple[str, int]] = []

    def wait(stop: threading.Event, _: float) -> bool:
        stop.set()
        return True

    source = RtspSource(
        "rtsp://cam/live",
        name="cam",
        settings=RtspSettings(),
        decoding=LocalFile(numbered_video(tmp_path / "a.mp4", 8), budget),
        on_drop=lambda *drop: drops.append(drop),
        wait=wait,
    )
    held: list[Frame] = []
    numbers: list[int] = []
    for frame in source.frames(stop, lambda *_: None):
        numbers.append(frame_number(pixels(frame)))
        assert frame.stamp.seq == numbers[-1]
        if len(numbers) <= 2:
            held.append(frame)
        if len(numbers) == 2:
            threading.Timer(0.06, held.clear).start()  # each waits for 17 ms: some do not get in
        del frame
    lost = sum(count for reason, count in drops if reason == "overload")
    assert {reason for reason, _ in drops} == {"overload"}
    assert numbers == [0, 1, *range(2 + lost, 8)]
    assert 1 <= lost <= 6
    assert budget.peak_bytes == 2 * PICTURE


def test_damage_is_counted_as_on_the_cpu(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "damaged.mp4", 60, codec="mpeg4")
    with av.open(str(path)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][20]
    content = bytearray(path.read_bytes())
    content[position : position + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(content)
    drops: list[tuple[str, int]] = []
    source = FileSource(
        path,
        name="clip",
        decoding=UploadDecoding(CPU, MemoryBudget(AMPLE)),
        on_drop=lambda *drop: drops.append(drop),
    )
    frames = list(source.frames(threading.Event(), lambda *_: None))
    assert drops == [("decode_error", 1)]
    assert [frame.stamp.seq for frame in frames] == [*range(20), *range(21, 60)]


@pytest.mark.gpu
def test_on_a_gpu_the_copy_holds_the_same_pixels(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "a.mp4", 60)
    device = torch.device("cuda", 0)
    with torch.cuda.stream(torch.cuda.Stream(device)):
        source = FileSource(
            path, name="clip", decoding=UploadDecoding(device, MemoryBudget(AMPLE)), on_drop=ignore_drops
        )
        found = list(source.frames(threading.Event(), lambda *_: None))
    expected = list(FileSource(path, name="clip").frames(threading.Event(), lambda *_: None))
    for on_device, cpu in zip(found, expected, strict=True):
        np.testing.assert_array_equal(pixels(on_device), cpu.rgb)
