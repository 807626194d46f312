"""The same clip through the path of the CPU and through that of a GPU, whose code runs on CPU tensors here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from pydantic import SecretStr

from models.assets import fetch
from models.device import CPU, MemoryBudget
from models.device_sampler import DeviceSampler
from models.face_engines import open_face_engines
from models.face_mesh import LEFT_EYE_CORNER, RIGHT_EYE_CORNER
from models.face_reader import InTurn
from models.parity import EVENTS
from models.smirk import SmirkEncoder, open_smirk
from stream.config import RunSettings, SourceSettings
from stream.emit.schema import EmotionEvent
from stream.faces.find import FaceFinder
from stream.faces.infer import Analyser
from stream.frame import AnalysedFace, AnalysedFrame
from stream.ingest.choose import DecodingChoice
from stream.ingest.coding import BITS, Coding, is_full_range, matrix_of
from stream.ingest.colour import planes_of, to_rgb
from stream.ingest.decode_upload import UploadDecoder, UploadDecoding
from stream.ingest.source import Source
from stream.ledger import Ledger
from stream.load import Networks, load_networks
from stream.pipeline import Pipeline
from stream.run import OpenSources, RunReport, execute, open_sources

FRAMES = 150
"""Of the clip's 472: sampling by torch on the CPU is slow, and these have the clip's largest movements."""
PICTURE = 640 * 360 * 3


@dataclass(frozen=True)
class Seen:
    """One frame with one face, and what was published about it."""

    face: AnalysedFace
    emotion: EmotionEvent


@dataclass(frozen=True)
class Result:
    """A run's report, and its frames by number."""

    report: RunReport
    frames: dict[int, Seen]


def run(settings: RunSettings, networks: Networks, opener: OpenSources | None = None) -> Result:
    """The first frames of the clip; then the run is stopped."""
    frames: dict[int, Seen] = {}
    stop: list[Callable[[], None]] = []

    def started(_url: str, _sources: list[Source], pipeline: Pipeline) -> None:
        stop.append(pipeline.stop)

    def observe(analysed: AnalysedFrame, published: object) -> None:
        (face,), (emotion,) = analysed.faces, published  # type: ignore[misc, has-type]
        frames[analysed.stamp.seq] = Seen(face, emotion)
        if len(frames) == FRAMES:
            stop[0]()

    report = execute(settings, networks=networks, observer=observe, on_start=started, opener=opener)
    return Result(report, frames)


def settings_for(clip: Path, server: str, device: str = "cpu") -> RunSettings:
    source = SourceSettings(url=SecretStr(str(clip)), name="clip")
    return RunSettings(sources=(source,), redis=SecretStr(server), device=device)


class PlanesDecoder(UploadDecoder):
    """Makes RGB as NVDEC's pictures are made: from NV12 planes, by torch, instead of by FFmpeg."""

    def _uploaded(self, picture: VideoFrame) -> torch.Tensor:
        coding = Coding(matrix_of(picture), is_full_range(picture), BITS["nv12"])
        return to_rgb(*planes_of(picture.reformat(format="nv12")), coding)


class PlanesDecoding(UploadDecoding):
    def decoder(self, stream: VideoStream, *, live: bool) -> UploadDecoder:
        return PlanesDecoder(stream, CPU, self._budget, live=live)


def assert_same_events(found: Result, expected: Result) -> None:
    """Every frame that both runs saw, within the tolerances that are stated for a GPU."""
    both = found.frames.keys() & expected.frames.keys()
    assert len(both) >= FRAMES
    for number in both:
        a, b = found.frames[number], expected.frames[number]
        for name, allowed in (("valence", EVENTS.affect), ("arousal", EVENTS.affect)):
            assert getattr(a.emotion, name) == pytest.approx(getattr(b.emotion, name), abs=allowed)
            assert getattr(a.emotion, f"{name}_raw") == pytest.approx(
                getattr(b.emotion, f"{name}_raw"), abs=EVENTS.affect_raw
            )
        points = b.face.face.landmarks[:, :2]
        eyes = float(np.linalg.norm(points[LEFT_EYE_CORNER] - points[RIGHT_EYE_CORNER]))
        moved = np.linalg.norm(a.face.face.landmarks[:, :2] - points, axis=1).max() / eyes
        assert moved <= EVENTS.landmarks
        assert np.abs(a.face.params.pose - b.face.params.pose).max() <= EVENTS.pose_rad
        assert np.abs(a.face.params.expression - b.face.params.expression).max() <= EVENTS.expression


@pytest.fixture(scope="module")
def networks() -> Networks:
    return load_networks(RunSettings(device="cpu"))


def on_tensors(networks: Networks) -> Networks:
    """The same networks, with pixels sampled the way they are on a GPU."""
    engines = open_face_engines(fetch("face_landmarker"))
    return Networks(partial(FaceFinder, engines, DeviceSampler(CPU)), networks.analyser, networks.target)


def open_with(decoding: UploadDecoding) -> OpenSources:
    def opener(settings: RunSettings, ledger: Ledger, _: DecodingChoice) -> list[Source]:
        return open_sources(settings, ledger, DecodingChoice(decoding, decoding))

    return opener


def test_a_gpus_path_gives_the_events_of_the_cpus(clip: Path, server: str, networks: Networks) -> None:
    settings, budget = settings_for(clip, server), MemoryBudget(8 * PICTURE)
    plain = run(settings, networks)
    tensors = run(settings, on_tensors(networks), open_with(PlanesDecoding(CPU, budget)))
    assert tensors.report.ok
    assert_same_events(tensors, plain)
    # Pictures were held within the budget, and none is left.
    assert 0 < budget.peak_bytes <= budget.limit_bytes
    assert budget.held_bytes == 0


def test_room_for_one_picture_is_enough(clip: Path, server: str, networks: Networks) -> None:
    budget = MemoryBudget(PICTURE)
    report = run(settings_for(clip, server), on_tensors(networks), open_with(UploadDecoding(CPU, budget))).report
    account = report.sources["clip"]
    assert account.published == account.received >= FRAMES
    assert budget.peak_bytes == PICTURE


def test_crops_on_a_device_reach_the_encoders(clip: Path, server: str, networks: Networks, tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint = tmp_path / "random.pt"
    torch.save({f"smirk_encoder.{key}": value for key, value in SmirkEncoder().state_dict().items()}, checkpoint)
    reader, engines = networks.analyser.reader, open_face_engines(fetch("face_landmarker"))
    analyser = Analyser(engines.blendshapes, InTurn(open_smirk(checkpoint), reader.head, reader.face_model))
    smirk = Networks(networks.finder, analyser, networks.target)
    settings, budget = settings_for(clip, server), MemoryBudget(8 * PICTURE)
    plain = run(settings, smirk)
    tensors = run(settings, on_tensors(smirk), open_with(UploadDecoding(CPU, budget)))
    for number in plain.frames.keys() & tensors.frames.keys():
        a, b = (result.frames[number].face.params for result in (tensors, plain))
        assert a.expression == pytest.approx(b.expression, abs=0.05 * float(np.abs(b.expression).max()))


@pytest.mark.gpu
@pytest.mark.parametrize("ingest", ["cpu", "nvdec", "gop"])
def test_a_gpu_gives_the_events_of_the_cpu(clip: Path, server: str, networks: Networks, ingest: str) -> None:
    settings = settings_for(clip, server, "cuda").model_copy(update={"ingest": ingest})
    assert_same_events(run(settings, load_networks(settings)), run(settings_for(clip, server), networks))
