"""A whole evaluation, part by part, of a model that is opened once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.assets import fetch
from models.face_engines import open_face_engines
from models.face_model import FaceModel
from models.head_pose import read_canonical_face
from models.mediapipe_face import open_mediapipe_face
from models.open_head import load_open_head
from models.real_faces import real_inputs
from train.evaluate.affect import judge_affect
from train.evaluate.agreement import clip_paths, in_full_view, judge_clip, judge_portraits
from train.evaluate.candidates import Candidate, open_weights
from train.evaluate.package import open_package
from train.evaluate.plots import plot_scatter, plot_timeline
from train.evaluate.report import Section, Track, untracked
from train.evaluate.request import Part, Request
from train.evaluate.speed import judge_speed
from train.evaluate.still import judge_still
from train.evaluate.synthetic import judge_synthetic
from train.evaluate.watch import Bench
from train.real.teacher import Teacher


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model on its bench."""

    bench: Bench
    candidate: Candidate
    request: Request
    track: Track = untracked

    def sections(self) -> Iterator[Section]:
        """The parts asked for, each as soon as it is measured. Raises FlamestreamError."""
        for part, measure in PARTS.items():
            if _asked(self.request, part):
                yield from measure(self)

    def _clips(self) -> Iterator[Section]:
        for name, path in clip_paths(self.request.media, self.request.clips).items():
            sections, watched = judge_clip(self.bench, name, path, self.track)
            if self.request.out is not None:
                clear = in_full_view(name, watched)
                plot_timeline(watched, clear, f"clip {name}", self.request.out / f"timeline-{name}.png")
            yield from sections

    def _portraits(self) -> Iterator[Section]:
        yield judge_portraits(self.bench, self.request.media, self.request.portraits, self.track)

    def _still(self) -> Iterator[Section]:
        yield judge_still(self.bench, self.request.media, frames=self.request.still_frames, track=self.track)

    def _synthetic(self) -> Iterator[Section]:
        section, compared = judge_synthetic(self.bench, self.request.synthetic, self.track)
        if self.request.out is not None:
            plot_scatter(compared, section.name, self.request.out / "scatter.png")
        yield section

    def _affect(self) -> Iterator[Section]:
        yield judge_affect(self.bench, self.request.media, self.track)

    def _speed(self) -> Iterator[Section]:
        if self.candidate.network is not None:
            yield judge_speed(self.candidate.model, self.candidate.network, real_inputs().crops, track=self.track)


PARTS: dict[Part, Callable[[Evaluation], Iterator[Section]]] = {
    Part.CLIPS: Evaluation._clips,
    Part.PORTRAITS: Evaluation._portraits,
    Part.STILL: Evaluation._still,
    Part.SYNTHETIC: Evaluation._synthetic,
    Part.AFFECT: Evaluation._affect,
    Part.SPEED: Evaluation._speed,
}


@contextmanager
def opened(weights: Path | None, request: Request, track: Track = untracked) -> Iterator[Evaluation]:
    """An evaluation of a file of weights, or of the blendshape default itself. Raises FlamestreamError."""
    if _asked(request, Part.CLIPS):
        clip_paths(request.media, request.clips)  # refused now rather than when the models are compiled
    task = fetch("face_landmarker")
    baseline: FaceModel = open_mediapipe_face(task)
    candidate = Candidate(baseline) if weights is None else open_weights(weights)
    head, canonical = load_open_head(), read_canonical_face(task)
    teacher = Teacher(open_face_engines(task))
    with open_package(task) as package:
        bench = Bench(head, canonical, teacher, candidate.model, baseline, package)
        yield Evaluation(bench, candidate, request, track)


def _asked(request: Request, part: Part) -> bool:
    return request.parts is None or part in request.parts
