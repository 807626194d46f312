"""How flamestream talks to a Redis server, and what it makes of the server's refusals.

The publisher and the subscribers share this, so that the same trouble reads the same in both.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from stream.errors import ConfigError, SinkError, SinkRefused, SinkUnreachable
from stream.redact import redact, redact_text

REFUSALS: dict[str, tuple[str, str]] = {
    "NOAUTH": ("asks for a password", "add it to the Redis URL (--redis), as in redis://:PASSWORD@host"),
    "WRONGPASS": ("refused the user name or password", "check the password in the Redis URL (--redis)"),
    "NOPERM": ("does not allow this user that", "grant the user's ACL the commands and keys named in the README"),
    "WRONGTYPE": ("holds something else under a key of ours", "choose another --prefix, or delete that key"),
    "OOM": ("is full", "raise its maxmemory, or keep fewer entries (--max-stream-length)"),
    "MISCONF": ("refuses writes because it cannot save to disk", "see to its disk or its save settings"),
    "MOVED": ("is part of a cluster", "give the address of a server that is not"),
    "NOREPLICAS": ("has too few replicas to accept writes", "see to its replicas or its min-replicas-to-write"),
}
"""Error code of a reply that a retry will not change: what it means, and the remedy."""

DELAYS: dict[str, str] = {
    "LOADING": "is still loading its data",
    "BUSY": "is busy with a script",
    "READONLY": "is a read-only replica; give the primary's address, or wait until it is promoted",
    "MASTERDOWN": "is a replica that has lost its primary",
    "CLUSTERDOWN": "is in a cluster that is down",
    "TRYAGAIN": "is moving keys",
    "UNBLOCKED": "changed its role",
    "FAILOVER": "is failing over",
}
"""Error code of a reply that will pass: what it means."""


PINNED: dict[str, Any] = {"protocol": 2, "decode_responses": False}
"""What no URL may change: the shape of replies."""


def open_client(url: str, *, connect_timeout_s: float, reply_timeout_s: float) -> redis.Redis:
    """A client that has not connected yet, and never by itself sends anything twice.

    Raises ConfigError when the URL is not one of a Redis server.
    """
    timeouts = {"socket_connect_timeout": connect_timeout_s, "socket_timeout": reply_timeout_s}
    with _url_checked(url):
        pool = redis.ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **timeouts, **PINNED)
        _check_pinned(pool.connection_kwargs)
    return redis.Redis.from_pool(pool)


def open_async_client(url: str, *, connect_timeout_s: float, reply_timeout_s: float) -> redis.asyncio.Redis:
    """As `open_client`, for asyncio."""
    timeouts = {"socket_connect_timeout": connect_timeout_s, "socket_timeout": reply_timeout_s}
    with _url_checked(url):
        pool = redis.asyncio.ConnectionPool.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **timeouts, **PINNED)
        _check_pinned(pool.connection_kwargs)
    return redis.asyncio.Redis.from_pool(pool)


def _check_pinned(options: dict[str, Any]) -> None:
    for name, value in PINNED.items():
        if options[name] != value:
            raise ValueError(f"{name} is not free to choose")


@contextmanager
def _url_checked(url: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigError(
            f"{redact(url)}: not the URL of a Redis server ({redact_text(str(error))}); "
            "expected redis://host:6379/0, rediss:// for TLS, or unix:///path/to/socket"
        ) from None  # the cause could print the password


def explain(error: Exception, url: str, *, key: str | None = None) -> SinkError:
    """The error to report for one of redis-py: SinkRefused when a retry cannot help, SinkUnreachable when it may.

    `key` names the stream or set that the command was about, where the reply itself does not.
    """
    where = f"Redis at {redact(url)}"
    about = f" (key {key})" if key is not None else ""
    text = redact_text(str(error))
    code = error_code(error)
    if code in DELAYS:
        return SinkUnreachable(f"{where} {DELAYS[code]}")
    if code in REFUSALS:
        meaning, remedy = REFUSALS[code]
        detail = f": {text}" if code in ("NOPERM", "MISCONF") else ""
        return SinkRefused(f"{where} {meaning}{about}{detail}; {remedy}")
    if isinstance(error, AuthenticationError):
        return SinkRefused(f"{where} refused the password: {text}; check the password in the Redis URL (--redis)")
    if isinstance(error, InvalidResponse):
        return SinkRefused(f"{where}: what answers there is not a Redis server; check the address and port of --redis")
    if isinstance(error, ResponseError):
        return SinkRefused(f"{where} refused{about}: {text}; flamestream needs Redis 5 or later, or Valkey")
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return SinkRefused(f"{where}: its certificate is not trusted; add ?ssl_ca_certs=FILE to the URL")
    if any(isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER" for cause in _causes(error)):
        return SinkRefused(f"{where} does not speak TLS; use redis:// instead of rediss://")
    if isinstance(error, RedisTimeoutError):
        hint = "that it speaks TLS" if url.startswith("rediss:") else "that the server is not overloaded"
        return SinkUnreachable(f"{where} does not answer; check the address, and {hint}")
    if any(isinstance(cause, socket.gaierror) for cause in _causes(error)):
        return SinkUnreachable(f"{where}: no such host; check the address in the Redis URL (--redis)")
    return SinkUnreachable(f"{where} cannot be reached ({text}); check the address and that the server is running")


def error_code(error: Exception) -> str:
    """First word of an error reply, as READONLY; empty when it was not a reply."""
    if not isinstance(error, RedisError):
        return ""
    if error.status_code is not None:
        return error.status_code
    return str(error).partition(" ")[0] if isinstance(error, ResponseError) else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
