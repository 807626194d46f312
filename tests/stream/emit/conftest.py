"""Real servers, one for each test that asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stream.emit.support import Proxy, RealServer, StartServer


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """`start_server(requirepass="x")`: a real server of the test's own."""
    started: list[RealServer] = []

    def start(**config: str) -> RealServer:
        started.append(RealServer(tmp_path / f"server{len(started)}", **config))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def server(start_server: StartServer) -> RealServer:
    return start_server()


@pytest.fixture
def proxy(server: RealServer) -> Iterator[Proxy]:
    running = Proxy(server.port)
    yield running
    running.close()
