"""Passwords never survive `redact`, however they are written."""

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.redact import redact, redact_text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtsp://admin:pw@10.0.0.5:554/live?x=1", "rtsp://***@10.0.0.5:554/live?x=1"),
        ("rtsps://admin@camera/live", "rtsps://***@camera/live"),
        ("redis://:pw@localhost:6379/0", "redis://***@localhost:6379/0"),
        ("rediss://default:p%40w@db.example:6380", "rediss://***@db.example:6380"),
        ("http://u:p@[fe80::1%25eth0]:80/a", "http://***@[fe80::1%25eth0]:80/a"),
        ("rtsp://u:p@ss:w@rd@host/a", "rtsp://***@host/a"),
        ("rtsp://u:pa/ss#wo?rd@host/a", "rtsp://***@host/a"),
        ("rtsp://host/a?channel=1&password=pw&token=t#end", "rtsp://host/a?channel=1&password=***&token=***"),
        (
            "rtsp://h/user=admin_password=pw_channel=1_stream=0.sdp",
            "rtsp://h/user=***_password=***_channel=1_stream=0.sdp",
        ),
        ("unix:///run/redis.sock?password=pw", "unix:///run/redis.sock?password=***"),
        ("rtsp://u:not a port/a", "rtsp://***/a"),
        ("rtsp://10.0.0.5:554/live", "rtsp://10.0.0.5:554/live"),
        ("u:pw@host", "***@host"),
    ],
)
def test_what_is_hidden_and_what_stays(url: str, expected: str) -> None:
    assert redact(url) == expected


SECRETS = st.text(string.ascii_letters + string.digits + "@:/?#&=%+_-[]. !é\x00", min_size=1, max_size=12).map(
    lambda text: f"Zq{text}7Xk"  # marks that no other part of the URLs holds
)
SCHEMES = st.sampled_from(["rtsp", "rtsps", "redis", "rediss", "http", "https"])
TAILS = st.sampled_from(["", "/", "/live", "/live?channel=1", "/a@b", "?x=y@z"])


def leaks(secret: str, shown: str) -> bool:
    return secret in shown or "Zq" in shown or "7Xk" in shown


@given(SCHEMES, SECRETS, SECRETS, st.booleans(), TAILS)
def test_user_and_password_never_appear(scheme: str, user: str, password: str, quoted: bool, tail: str) -> None:
    if quoted:
        user, password = quote(user, safe=""), quote(password, safe="")
    shown = redact(f"{scheme}://{user}:{password}@camera:554{tail}")
    assert not leaks(user, shown)
    assert not leaks(password, shown)


@given(SCHEMES, SECRETS, st.sampled_from(["password", "token", "pwd", "api_key", "Password"]))
def test_secret_parameters_never_appear(scheme: str, secret: str, key: str) -> None:
    shown = redact(f"{scheme}://camera/live?channel=1&{key}={quote(secret, safe='@:/?')}&x=1")
    assert not leaks(secret, shown)


@given(st.text())
def test_any_text_is_taken_and_redacting_twice_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


def test_messages_keep_everything_but_the_secrets() -> None:
    message = "[Errno 111] Connection refused: 'rtsp://u:my pw@cam/a' while redis://:pw@db:6379/0 was fine"
    assert redact_text(message) == (
        "[Errno 111] Connection refused: 'rtsp://***@cam/a' while redis://***@db:6379/0 was fine"
    )
