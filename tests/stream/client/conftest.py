"""The servers of the publisher's tests."""

from tests.stream.emit.conftest import proxy, server, start_server

__all__ = ["proxy", "server", "start_server"]
