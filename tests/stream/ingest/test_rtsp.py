"""A camera that comes, goes, hangs and lies, over real sockets."""

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.container import InputContainer

from stream.errors import SourceUnreachable
from stream.frame import Frame
from stream.ingest.decode_cpu import CpuDecoding
from stream.ingest.rtsp import RtspSettings, RtspSource
from stream.ingest.source import SourceState
from stream.redact import redact

WriteVideo = Callable[..., Path]
Number = Callable[..., int]
CONNECTING, ONLINE, RECONNECTING = SourceState.CONNECTING, SourceState.ONLINE, SourceState.RECONNECTING
QUICK = RtspSettings(io_timeout_s=0.7, connect_deadline_s=1.5, backoff_min_s=0.1, backoff_max_s=0.2)


class Watched:
    """A source read by a thread of its own, as the pipeline does."""

    def __init__(self, url: str, settings: RtspSettings = QUICK) -> None:
        self.frames: queue.Queue[Frame] = queue.Queue()
        self.states: queue.Queue[tuple[SourceState, str]] = queue.Queue()
        self.drops: list[tuple[str, int]] = []
        self.error: SourceUnreachable | None = None
        self.stop = threading.Event()
        self._source = RtspSource(url, name="cam", settings=settings, on_drop=lambda *drop: self.drops.append(drop))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for frame in self._source.frames(self.stop, lambda *state: self.states.put(state)):
                self.frames.put(frame)
        except SourceUnreachable as error:
            self.error = error

    def take(self, count: int) -> list[Frame]:
        return [self.frames.get(timeout=10) for _ in range(count)]

    def reason_of(self, wanted: SourceState) -> str:
        """Waits for a state, and returns what was said with it."""
        while True:
            state, reason = self.states.get(timeout=10)
            if state is wanted:
                return reason

    def end(self) -> float:
        """Stops it; returns how long that took."""
        started_s = time.monotonic()
        self.stop.set()
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()
        return time.monotonic() - started_s

    def join(self) -> None:
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    """Makes `Watched` that are ended with the test, however it goes."""
    all_watched: list[Watched] = []

    def make(url: str, settings: RtspSettings = QUICK) -> Watched:
        all_watched.append(Watched(url, settings))
        return all_watched[-1]

    yield make
    for watched in all_watched:
        watched.end()


def test_a_camera_plays_dies_and_comes_back(
    tmp_path: Path,
    numbered_video: WriteVideo,
    frame_number: Number,
    painted: tuple[int, int, int],
    rtsp_server: Callable[..., Any],
    watch: Callable[..., Watched],
) -> None:
    numbered_video(tmp_path / "cam.mp4", 45)
    server = rtsp_server(tmp_path)
    watched = watch(server.url("cam.mp4", user="admin:hunter2@"))
    before_ms = time.time() * 1000

    frames = watched.take(50)
    assert [frame_number(frame.rgb) for frame in frames] == [number % 45 for number in range(50)]
    assert [frame.stamp.seq for frame in frames] == list(range(50))
    assert {frame.stamp.epoch for frame in frames} == {0}
    pts_s = [frame.stamp.pts_s for frame in frames]
    assert all(a < b for a, b in pairwise(pts_s))
    assert pts_s[-1] - pts_s[0] == pytest.approx(49 / 30, abs=0.1)
    assert before_ms <= frames[0].stamp.captured_ms <= frames[-1].stamp.captured_ms <= time.time() * 1000
    np.testing.assert_allclose(frames[7].rgb[60:].reshape(-1, 3).mean(0), painted, atol=6)
    assert "***@127.0.0.1" in watched.reason_of(CONNECTING)
    assert watched.reason_of(ONLINE) == "h264, 192x96"

    server.stop()
    assert "ended by the server" in watched.reason_of(RECONNECTING)
    assert "connection refused" in watched.reason_of(RECONNECTING)
    last_seq = frames[-1].stamp.seq
    while not watched.frames.empty():
        last_seq = watched.frames.get().stamp.seq
    server.start()
    watched.reason_of(ONLINE)
    again = watched.take(5)
    assert {frame.stamp.epoch for frame in again} == {1}
    assert [frame.stamp.seq for frame in again] == list(range(last_seq + 1, last_seq + 6))
    assert watched.end() < 2  # frames come every 33 ms
    assert watched.error is None
    assert watched.drops == []


def test_a_stall_is_noticed_and_healed(
    tmp_path: Path,
    numbered_video: WriteVideo,
    rtsp_server: Callable[..., Any],
    watch: Callable[..., Watched],
) -> None:
    numbered_video(tmp_path / "cam.mp4", 30)
    server = rtsp_server(tmp_path)
    watched = watch(server.url("cam.mp4"))
    watched.take(3)
    server.freeze()
    assert "timed out" in watched.reason_of(RECONNECTING)
    assert watched.end() < QUICK.io_timeout_s * 2 + 3  # though nothing answers
    assert watched.error is None


def test_no_video_and_no_such_stream(
    tmp_path: Path,
    rtsp_server: Callable[..., Any],
    watch: Callable[..., Watched],
) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        output.mux([*stream.encode(sound), *stream.encode(None)])
    server = rtsp_server(tmp_path)
    silent, absent = watch(server.url("sound.wav")), watch(server.url("nothing.mp4"))
    for watched, said in ((silent, "check that this path has video"), (absent, "(404 no such stream)")):
        watched.join()
        assert said in str(watched.error)


def test_an_unreachable_camera_fails_at_the_deadline(watch: Callable[..., Watched]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # not listening: refuses
        url = f"rtsp://admin:hunter2@127.0.0.1:{unused.getsockname()[1]}/live?token=hunter2"
        started_s = time.monotonic()
        watched = watch(url)
        watched.join()
    assert QUICK.connect_deadline_s <= time.monotonic() - started_s < QUICK.connect_deadline_s + 5
    message = str(watched.error)
    assert message.startswith(f"{redact(url)}: no picture within 1.5 s (connection refused); check the address")
    said = [message, *(reason for _, reason in list(watched.states.queue))]
    assert "hunter2" not in " ".join(said)
    assert watched.error is not None
    assert watched.error.retryable
    assert {state for state, _ in list(watched.states.queue)} == {CONNECTING}
    assert watched.error.__suppress_context__  # FFmpeg's own error quotes the whole URL


@contextmanager
def listener(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """A TCP server that replies to each request with `answer(request)`; yields its address."""
    server = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def talk(connection: socket.socket) -> None:
        try:
            while request := connection.recv(4096):
                connection.sendall(answer(request))
        except OSError:
            pass  # closed from either side

    def accept() -> None:
        try:
            while True:
                connections.append(server.accept()[0])
                threading.Thread(target=talk, args=(connections[-1],)).start()
        except OSError:
            pass  # closed by the test

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for connection in connections:
            connection.close()


def test_a_server_that_accepts_and_says_nothing(watch: Callable[..., Watched]) -> None:
    with listener(lambda _: b"") as address:
        watched = watch(f"rtsp://{address}/live")
        watched.join()
    assert "(timed out); check that the camera is on" in str(watched.error)


def test_a_server_that_refuses_the_password(watch: Callable[..., Watched]) -> None:
    def refuse(request: bytes) -> bytes:
        number = request.split(b"CSeq: ")[1].split(b"\r\n")[0]
        challenge = b'WWW-Authenticate: Basic realm="cam"\r\n'
        return b"RTSP/1.0 401 Unauthorized\r\nCSeq: " + number + b"\r\n" + challenge + b"\r\n"

    with listener(refuse) as address:
        watched = watch(f"rtsp://admin:hunter2@{address}/live")
        watched.join()
    assert "(401 not authorized); check user and password" in str(watched.error)
    assert "hunter2" not in str(watched.error)


class LocalFiles(CpuDecoding):
    """Opens the next of `paths`, or fails as it says, whatever address is asked for."""

    def __init__(self, paths: list[Path | Exception]) -> None:
        self._paths = paths

    def open(self, url: str, options: dict[str, str] | None = None, *, demuxer: str | None = None) -> InputContainer:
        assert (url, (options or {})["timeout"], demuxer) == ("rtsp://cam/live", "5000000", "rtsp")
        path = self._paths.pop(0)
        if isinstance(path, Exception):
            raise path
        return super().open(str(path))


class Scripted:
    """Connections that are local files, and clocks that only move when told: the rest is the real thing."""

    def __init__(self, *paths: Path | Exception, settings: RtspSettings | None = None, frame_s: float = 1 / 30) -> None:
        self.now_s = 1000.0
        self.waits: list[float] = []
        self.states: list[tuple[SourceState, str]] = []
        self.drops: list[tuple[str, int]] = []
        self._paths = list(paths)
        self._frame_s = frame_s
        self._stop = threading.Event()
        self._source = RtspSource(
            "rtsp://cam/live",
            name="cam",
            settings=settings or RtspSettings(),
            decoding=LocalFiles(self._paths),
            on_drop=lambda *drop: self.drops.append(drop),
            monotonic_s=self._monotonic_s,
            wait=self._wait,
            jitter=lambda: 1.0,
        )

    def play(self) -> list[Frame]:
        return list(self._source.frames(self._stop, lambda *state: self.states.append(state)))

    def _monotonic_s(self) -> float:
        self.now_s += self._frame_s  # asked once for each packet
        return self.now_s

    def _wait(self, stop: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_s += seconds
        if not self._paths:
            stop.set()
        return stop.is_set()


def refused() -> Exception:
    return av.error.ConnectionRefusedError(111, "Connection refused")


def test_waits_double_up_to_the_longest_and_start_again_after_health(
    tmp_path: Path, numbered_video: WriteVideo
) -> None:
    path = numbered_video(tmp_path / "a.mp4", 60)
    settings = RtspSettings(healthy_s=1.5, backoff_max_s=4, connect_deadline_s=0)
    script = Scripted(*[refused() for _ in range(5)], path, refused(), path, settings=settings)
    assert len(script.play()) == 120
    assert script.waits == [0.5, 1, 2, 4, 4, 0.5, 1, 0.5]
    states = [state for state, _ in script.states]
    assert states == [CONNECTING] * 6 + [ONLINE, RECONNECTING, RECONNECTING, ONLINE, RECONNECTING]


def test_a_short_connection_does_not_count_as_health(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "a.mp4", 15)
    assert Scripted(path, path, path).play()[-1].stamp.epoch == 2
    script = Scripted(path, path, path)
    script.play()
    assert script.waits == [0.5, 1.0, 2.0]


def without_first_key_frame(source: Path, target: Path) -> Path:
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(given.demux(video=0)):
            if packet.size and number >= 5:
                packet.stream = stream
                output.mux(packet)
    return target


def test_frames_before_the_first_key_frame_are_counted_not_shown(
    tmp_path: Path, numbered_video: WriteVideo, frame_number: Number
) -> None:
    path = without_first_key_frame(numbered_video(tmp_path / "a.mp4", 40), tmp_path / "mid.mkv")
    script = Scripted(path, path)
    frames = script.play()
    assert [frame_number(frame.rgb) for frame in frames] == [*range(15, 40)] * 2
    assert [frame.stamp.seq for frame in frames] == [*range(10, 35), *range(45, 70)]
    assert [frame.stamp.epoch for frame in frames] == [0] * 25 + [1] * 25
    assert script.drops == [("await_keyframe", 1)] * 20


def test_packets_without_a_picture_are_an_outage(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = without_first_key_frame(numbered_video(tmp_path / "a.mp4", 40), tmp_path / "mid.mkv")
    settings = RtspSettings(picture_timeout_s=1.0)
    script = Scripted(path, settings=settings, frame_s=0.5)
    assert script.play() == []
    assert "packets but no picture" in script.states[-1][1]
    assert 1 <= len(script.drops) <= 6


def test_a_leap_of_the_time_stamps_begins_an_epoch(tmp_path: Path, numbered_video: WriteVideo) -> None:
    path = numbered_video(tmp_path / "a.mkv", 30, pts=lambda number: number + 108_000 * (number >= 20))
    stamps = [frame.stamp for frame in Scripted(path).play()]
    assert [stamp.epoch for stamp in stamps] == [0] * 20 + [1] * 10
    assert [stamp.seq for stamp in stamps] == list(range(30))


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="stimeout"):
        RtspSettings.model_validate({"stimeout": 5})
    with pytest.raises(ValueError, match="backoff_min_s 9 is more than backoff_max_s 1"):
        RtspSettings(backoff_min_s=9, backoff_max_s=1)
