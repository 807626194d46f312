"""Events, frames and real servers for the tests of publishing and subscribing."""

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import redis

from models.spec import Affect, FlameParams
from stream.emit.embedded import server_binary
from stream.emit.event import EventMaker, FrameEvents, Provenance
from stream.emit.smooth import SmoothingSettings
from stream.frame import AnalysedFace, AnalysedFrame, FrameStamp, TrackedFace

RUN = "0badcafe"
START_MS = 1_700_000_000_000
PROVENANCE = Provenance("mediapipe", "0123456789ab", "prototype", "ba9876543210", "open")


def make_params(seed: int = 0) -> FlameParams:
    random = np.random.default_rng(seed)

    def array(size: int) -> np.ndarray:
        return random.uniform(0, 0.5, size).astype(np.float32)

    return FlameParams(array(300), array(50), array(3), array(3), array(2), array(3))


def make_face(
    track: int = 0,
    *,
    is_new: bool = False,
    affect: Affect | None = None,
    params: FlameParams | None = None,
) -> AnalysedFace:
    tracked = TrackedFace(track, is_new, 0.9, np.zeros((478, 3), np.float32))
    return AnalysedFace(tracked, (320.0, 240.0, 200.0), params or make_params(track), affect or Affect(0.25, -0.5))


def make_stamp(seq: int, source: str = "cam", *, pts_s: float | None = None, epoch: int = 0) -> FrameStamp:
    pts_s = seq / 30 if pts_s is None else pts_s
    return FrameStamp(source, epoch, seq, pts_s, START_MS + round(1000 * pts_s), 640, 480)


def make_frames(
    count: int, source: str = "cam", *, first: int = 0, tracks: tuple[int, ...] = (0,)
) -> list[FrameEvents]:
    """The events of `count` frames, each with the same faces."""
    maker = EventMaker(PROVENANCE, SmoothingSettings(), RUN)
    return [
        maker.frame(AnalysedFrame(make_stamp(seq, source), tuple(make_face(track) for track in tracks)))
        for seq in range(first, first + count)
    ]


def wait_until(condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.005)


class RealServer:
    """A Valkey server whose folder survives `kill` and `start`."""

    def __init__(self, folder: Path, **config: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        folder.mkdir()
        lines = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": folder,
            "save": '""',
            "logfile": folder / "log",
            **config,
        }
        self._config = folder / "valkey.conf"
        self._config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=2)

    def start(self) -> None:
        self._process = subprocess.Popen([server_binary(), self._config])
        wait_until(self._answers)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def entries(self, key: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        with self.client as client:
            return list(client.xrange(key))

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._config.with_name("log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


StartServer = Callable[..., RealServer]
"""Of the fixture `start_server`."""


class Proxy:
    """A TCP proxy in front of a server that can swallow what the server answers."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.swallow_after: bytes | None = None
        """Once a request holds this, its connection's replies are swallowed and it is cut."""
        self.swallowed = threading.Event()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            while request := client.recv(1 << 20):
                server.sendall(request)
                reply = server.recv(1 << 20)
                if self.swallow_after is not None and self.swallow_after in request:
                    self.swallow_after = None
                    self.swallowed.set()
                    return
                client.sendall(reply)
