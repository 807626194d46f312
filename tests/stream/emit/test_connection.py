"""What becomes of a connection that a server, or what is there instead, does not let us have."""

import socket
import threading
from collections.abc import Iterator

import pytest

from stream.emit.redis_sink import RedisSink
from stream.errors import ConfigError, SinkRefused, SinkUnreachable
from tests.stream.emit.support import RealServer, StartServer

REFUSED_AT_START = [
    ("redis://:wrong@{host}", r"redis://\*\*\*@{host} refused the user name or password; check the password"),
    ("redis://{host}", "asks for a password; add it"),
    ("redis://reader:pw@{host}", "does not allow this user that.*grant the user's ACL"),
]


@pytest.mark.parametrize(("url", "message"), REFUSED_AT_START, ids=["wrong password", "no password", "no permission"])
def test_start_is_refused_with_a_remedy(start_server: StartServer, url: str, message: str) -> None:
    server = start_server(requirepass="secret", user="reader on >pw ~* +ping +xread")
    host = f"127.0.0.1:{server.port}/0"
    with pytest.raises(SinkRefused, match=message.format(host=host)) as caught:
        RedisSink(url.format(host=host), sources=["cam"]).open()
    assert "wrong" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://:pw@127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(SinkUnreachable, match=r"redis://\*\*\*@.*cannot be reached.*refused") as caught:
            RedisSink(url).open()
    assert caught.value.retryable


def test_a_host_that_does_not_exist_is_unreachable() -> None:
    with pytest.raises(SinkUnreachable, match=r"no such host|cannot be reached"):
        RedisSink("redis://no-such-host.invalid").open()


def test_something_that_accepts_and_is_silent_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = RedisSink(f"redis://127.0.0.1:{silent.getsockname()[1]}", connect_timeout_s=0.3, reply_timeout_s=0.3)
        with pytest.raises(SinkUnreachable, match="does not answer"):
            sink.open()


@pytest.fixture
def web_server() -> Iterator[int]:
    """The port of something that answers like a web server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        yield listener.getsockname()[1]
        answering.join()


def test_what_is_not_redis_is_refused(web_server: int) -> None:
    with pytest.raises(SinkRefused, match="not a Redis server"):
        RedisSink(f"redis://127.0.0.1:{web_server}").open()


def test_tls_to_a_server_without_it_is_told(server: RealServer) -> None:
    with pytest.raises((SinkRefused, SinkUnreachable), match="TLS") as caught:
        RedisSink(f"rediss://127.0.0.1:{server.port}", connect_timeout_s=1, reply_timeout_s=1).open()
    assert str(server.port) in str(caught.value)


@pytest.mark.parametrize("url", ["http://:secret@host", "redis://host?db=x&password=secret", "rtsp://u:secret@h"])
def test_urls_that_are_not_of_redis_are_config_errors_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError, match="expected redis://host:6379/0") as caught:
        RedisSink(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("option", ["protocol=3", "decode_responses=true"])
def test_url_cannot_change_the_shape_of_replies(option: str) -> None:
    with pytest.raises(ConfigError, match="is not free to choose"):
        RedisSink(f"redis://127.0.0.1?{option}")
