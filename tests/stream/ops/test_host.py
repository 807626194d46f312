"""What doctor says of the machine, its cache, its assets and its server: in states that tests put them into."""

import hashlib
import os
import platform
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from models.assets import catalogue
from models.errors import AssetError
from stream.emit.embedded import EmbeddedServer
from stream.errors import ConfigError, SinkUnreachable
from stream.ops import host

PASSWORD = "hunter2"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for asset in catalogue().values():
        monkeypatch.delenv(asset.variable, raising=False)
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_machine_is_described() -> None:
    assert f"{len(os.sched_getaffinity(0))} core" in host.processor().detail
    memory = host.memory()
    assert 0 < memory.facts["free_bytes"] <= memory.facts["total_bytes"]
    assert host.python().facts["python"] == platform.python_version()


def test_limits_of_a_container_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "CGROUP", tmp_path)
    limits = {"memory.max": 600 * 2**20, "memory.current": 200 * 2**20, "cpu.max": "50000 100000"}
    for file, value in limits.items():
        (tmp_path / file).write_text(f"{value}\n")
    memory = host.memory()
    assert memory.facts == {"total_bytes": 600 * 2**20, "free_bytes": 400 * 2**20}
    assert (memory.status, memory.blocks) == ("broken", False)
    assert "GiB" in memory.remedy
    assert host.processor().facts["quota"] == 0.5

    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert host.memory().facts["total_bytes"] > 600 * 2**20
    assert "quota" not in host.processor().facts


def test_the_cache_is_written_to_and_left_as_it_was(own_cache: Path) -> None:
    own_cache.mkdir()
    (own_cache / "held").write_bytes(bytes(3000))
    finding = host.cache()
    assert finding.status == "works"
    assert finding.facts["bytes"] == 3000
    assert [path.name for path in own_cache.iterdir()] == ["held"]


def test_a_cache_that_cannot_be_written_blocks_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path / "file" / "cache"))
    finding = host.cache()
    assert (finding.status, finding.blocks) == ("broken", True)
    assert str(tmp_path / "file") in finding.detail
    assert "FLAMESTREAM_CACHE" in finding.remedy


def test_assets_are_absent_then_damaged_then_here(monkeypatch: pytest.MonkeyPatch) -> None:
    asset = catalogue()["face_landmarker"]
    absent = host.assets()
    assert (absent.status, absent.blocks) == ("missing", False)  # a run fetches it
    assert absent.facts["face_landmarker"] == "not fetched yet"
    assert absent.facts["flame2020"] == "to be registered for"

    asset.cached.parent.mkdir(parents=True)
    asset.cached.write_bytes(b"cut off")
    assert host.assets().facts["face_landmarker"] == "damaged, to be fetched again"

    monkeypatch.setenv(asset.variable, str(asset.cached))
    with pytest.raises(AssetError, match="FACE_LANDMARKER"):
        host.assets()


def test_an_asset_is_here_when_its_bytes_are_the_promised_ones(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(catalogue()["face_landmarker"], sha256=hashlib.sha256(b"it").hexdigest(), size=2)
    monkeypatch.setattr(host, "catalogue", lambda: {"face_landmarker": small})
    small.cached.parent.mkdir(parents=True)
    small.cached.write_bytes(b"it")
    assert host.assets().status == "works"


def test_the_embedded_server_is_started_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(host.REDIS_VARIABLE, raising=False)
    finding = host.redis_server()
    assert finding.status == "works"
    assert finding.facts == {"embedded": True}


def test_a_server_of_ones_own_is_asked_and_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    with EmbeddedServer() as server, redis.Redis.from_url(server.url) as client:
        monkeypatch.setenv(host.REDIS_VARIABLE, server.url)
        finding = host.redis_server()
        assert client.dbsize() == 0
    assert finding.status == "works"
    assert f"127.0.0.1:{server.port}" in finding.detail


def test_trouble_with_a_server_never_shows_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"redis://:{PASSWORD}@127.0.0.1:{nobody.getsockname()[1]}/0"
        monkeypatch.setenv(host.REDIS_VARIABLE, url)
        with pytest.raises(SinkUnreachable) as unreachable:
            host.redis_server()
    monkeypatch.setenv(host.REDIS_VARIABLE, f"http://:{PASSWORD}@host")
    with pytest.raises(ConfigError) as wrong:
        host.redis_server()
    assert PASSWORD not in str(unreachable.value) + str(wrong.value)
