"""Settings: every problem at once, nothing secret in messages, the command line over the file."""

from pathlib import Path

import pytest

from stream.config import load_settings
from stream.errors import ConfigError

SOURCES = [{"url": "clip.mp4", "name": None}]


def test_defaults_need_nothing_but_a_source() -> None:
    settings = load_settings(None, {"sources": SOURCES})
    assert settings.redis is None
    assert settings.face_model == "mediapipe"
    assert (settings.device, settings.engine, settings.ingest) == ("auto", "auto", "auto")


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'prefix = "from-file"\nengine = "torch"\n[[sources]]\nurl = "a.mp4"\nname = "a"\n[faces]\nmax_faces = 3\n'
    )
    settings = load_settings(file, {"engine": "openvino", "prefix": None})
    assert (settings.prefix, settings.engine, settings.faces.max_faces) == ("from-file", "openvino", 3)
    assert settings.sources[0].name == "a"


def test_all_problems_are_reported_at_once_without_their_values(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('redis = ["redis://user:hunter2@host"]\nenginee = "torch"\n[faces]\nmax_faces = 0\n')
    with pytest.raises(ConfigError) as failed:
        load_settings(file, {"sources": SOURCES})
    message = str(failed.value)
    assert all(part in message for part in ("run.toml", "redis", "enginee", "faces.max_faces"))
    assert "hunter2" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "cannot read"), ("sources = [", "not a TOML file"), (b"\xff\xfe", "not a TOML file")],
)
def test_an_unusable_file_is_named(tmp_path: Path, content: str | bytes | None, expected: str) -> None:
    file = tmp_path / "run.toml"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError, match=expected) as failed:
        load_settings(file, {"sources": SOURCES})
    assert str(file) in str(failed.value)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"face_model": "smirk"}, "--checkpoint FILE"),
        ({"checkpoint": "x.pt"}, "--checkpoint is for --face-model smirk"),
        ({"face_model": "deca"}, "face_model"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_settings(None, {"sources": SOURCES, **overrides})


def test_a_source_url_never_shows_in_the_settings() -> None:
    settings = load_settings(None, {"sources": [{"url": "rtsp://user:hunter2@host/x", "name": None}]})
    assert "hunter2" not in repr(settings)
