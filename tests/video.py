"""Videos whose frames carry their number, and a real RTSP server to play them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

Rgb = npt.NDArray[np.uint8]
WIDTH, HEIGHT, BITS = 192, 96, 10
PAINTED = (200, 60, 40)
"""The colour of the lower half of every numbered frame."""


def numbered_picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> Rgb:
    """A frame whose upper half holds `number` as black and white blocks, and whose lower half is PAINTED."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = PAINTED
    block = width // BITS
    for bit in range(BITS):
        picture[: height // 2, bit * block : (bit + 1) * block] = 255 if number >> bit & 1 else 0
    return picture


def number_in(rgb: Rgb) -> int:
    """The number in a picture of `numbered_picture`, however compressed."""
    height, width = rgb.shape[:2]
    block = width // BITS
    return sum(int(rgb[height // 4, bit * block + block // 2, 1] > 127) << bit for bit in range(BITS))


WriteVideo = Callable[..., Path]


@pytest.fixture(scope="session")
def frame_number() -> Callable[[Rgb], int]:
    """Reads the number of a frame that `numbered_video` wrote."""
    return number_in


@pytest.fixture(scope="session")
def painted() -> tuple[int, int, int]:
    """RGB of the lower half of each frame of `numbered_video`."""
    return PAINTED


@pytest.fixture(scope="session")
def numbered_video() -> WriteVideo:
    """`numbered_video(path, frames=60)` writes a video of numbered frames, 30 a second, key frames 15 apart."""

    def write(
        path: Path,
        frames: int = 60,
        *,
        codec: str = "libx264",
        b_frames: int = 0,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        pts: Callable[[int], int] = lambda number: number,
        time_base: Fraction = Fraction(1, 30),
        container: dict[str, str] | None = None,
        first: int = 0,
        title: str = "",
    ) -> Path:
        with av.open(str(path), "w", options=container or {}) as output:
            output.metadata.update({"title": title} if title else {})
            stream = output.add_stream(codec, rate=30)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.time_base = stream.codec_context.time_base = time_base
            stream.codec_context.gop_size = 15
            stream.codec_context.max_b_frames = b_frames
            for number in range(first, first + frames):
                frame = av.VideoFrame.from_ndarray(numbered_picture(number, *size), "rgb24")
                frame.pts, frame.time_base = pts(number), time_base
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path

    return write


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtspServer:
    """An RTSP server in a process of its own, playing the files of a folder in real time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._control_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, file: str, *, loop: bool = True, user: str = "") -> str:
        """The address of one file; `user` may be 'name:password@', which the server ignores."""
        return f"rtsp://{user}127.0.0.1:{self.port}/{file}?play_count={0 if loop else 1}"

    def start(self) -> None:
        """Returns once connections are taken."""
        program = Path(sys.executable).with_name("rtsp-server")
        arguments = ["--dir", self.folder, "--host", "127.0.0.1", "--port", self.port, "--control-port"]
        self._process = subprocess.Popen(
            [program, *map(str, arguments), str(self._control_port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, "the RTSP server ended at once"
            assert time.monotonic() < deadline_s, "the RTSP server does not listen"
            time.sleep(0.05)

    def stop(self) -> None:
        """Kills it, as a camera loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Keeps its connections open and says nothing more, as when a cable is pulled."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)


@pytest.fixture
def rtsp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RtspServer]]:
    """`rtsp_server(folder)` starts a server on a free port of 127.0.0.1; it is gone when the test ends."""
    servers: list[RtspServer] = []

    def start(folder: Path) -> RtspServer:
        server = RtspServer(folder)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()
