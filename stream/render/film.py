"""Videos of a run while it goes: each analysed frame with the mesh over its faces, one file a source.

Frames lose their pixels once faces are cut out, and a camera's cannot be read again. So a Film is shown every frame
before that (`see`, by the find thread) and keeps the picture until what was found in it is published (`__call__`, by
the emit thread). Nothing is dropped between the two, and the channels between them bound what is kept.

Drawing takes its time from the emit thread: a file waits for it, a camera's frames are then left out of the video.
"""

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.errors import FlamestreamError
from models.spec import Affect
from stream.config import RunSettings
from stream.emit.schema import EmotionEvent
from stream.errors import ConfigError
from stream.frame import AnalysedFrame, Frame, FrameStamp, Picture, Pixels
from stream.ingest.open import source_name
from stream.ingest.source import Source
from stream.pipeline import Limits
from stream.render.mesh import MeshPainter
from stream.render.video import PlayingTime, VideoWriter

log = logging.getLogger(__name__)

LIMITS = Limits(found_frames=4, analysed_frames=4, infer_batch=4)
"""Of a run that is filmed, whose pictures (6 MB each at 1920x1080) wait in memory for what is found in them."""
MOST_BEHIND = 4
"""Frames of a live source that may wait behind one that is drawn; as many as are analysed together."""


@dataclass(slots=True)
class VideoReport:
    """What became of one source's video."""

    path: str
    frames: int = 0
    skipped: int = 0
    """Frames of a live source that were published but not drawn, since drawing was too slow for them."""
    error: str | None = None


class Film:
    """The videos of one run. An error in one is told once and ends that one; the run and the others go on."""

    def __init__(self, painter: MeshPainter, videos: Mapping[str, Path]) -> None:
        """`videos`: where each source's goes."""
        self.reports = {source: VideoReport(str(path)) for source, path in videos.items()}
        self._painter = painter
        self._videos = videos
        self._kept: defaultdict[str, deque[Frame]] = defaultdict(deque)
        self._lock = threading.Lock()
        self._live: set[str] = set()
        self._reels: dict[str, tuple[VideoWriter, PlayingTime]] = {}

    @property
    def ok(self) -> bool:
        """Whether no video failed."""
        return all(report.error is None for report in self.reports.values())

    def to_json(self) -> dict[str, object]:
        """The reports as plain JSON types."""
        return {source: asdict(report) for source, report in self.reports.items()}

    def start(self, sources: Sequence[Source]) -> None:
        """Learn which sources are live: of those a frame is left out sooner than a later one published late."""
        self._live = {source.name for source in sources if source.live}

    def see(self, frames: Sequence[Frame]) -> None:
        """Keep the pictures of frames that are about to be analysed."""
        with self._lock:
            for frame in frames:
                if self.reports[frame.stamp.source].error is None:
                    self._kept[frame.stamp.source].append(frame)

    def __call__(self, analysed: AnalysedFrame, published: Sequence[EmotionEvent]) -> None:
        """Draw and write one frame. An observer of the pipeline."""
        stamp = analysed.stamp
        frame = self._take(stamp)
        report = self.reports[stamp.source]
        if frame is None or report.error is not None:
            return
        if stamp.source in self._live and len(self._kept[stamp.source]) > MOST_BEHIND:
            report.skipped += 1
            return
        affects = [Affect(event.valence, event.arousal) for event in published]
        try:
            drawn = self._painter.paint(_in_memory(frame.rgb), analysed.faces, affects)
            writer, time = self._reel(stamp.source)
            writer.write(drawn, time.ticks(stamp))
            report.frames += 1
        except FlamestreamError as error:
            self._fail(stamp.source, error)

    def close(self) -> None:
        """Finish every video: only then can they be played. A second call does nothing."""
        for source, (writer, _) in self._reels.items():
            try:
                writer.close()
            except FlamestreamError as error:
                self._fail(source, error)
        self._reels.clear()

    def _take(self, stamp: FrameStamp) -> Frame | None:
        """The frame of a stamp; those of earlier ones, which nobody will ask for, are forgotten."""
        with self._lock:
            kept = self._kept[stamp.source]
            while kept and kept[0].stamp.seq <= stamp.seq:
                frame = kept.popleft()
                if frame.stamp.seq == stamp.seq:
                    return frame
        return None

    def _reel(self, source: str) -> tuple[VideoWriter, PlayingTime]:
        if source not in self._reels:
            self._reels[source] = VideoWriter(self._videos[source]), PlayingTime()
        return self._reels[source]

    def _fail(self, source: str, error: FlamestreamError) -> None:
        report = self.reports[source]
        if report.error is None:
            report.error = str(error)
            log.error("%s: not filmed any more: %s", source, error)
        with self._lock:
            self._kept[source].clear()


def plan_videos(settings: RunSettings, out: Path) -> dict[str, Path]:
    """Where each source's video goes: `out`, or with several sources `out` with each one's name added.

    Raises ConfigError for a place that cannot work, so that it is told before anything starts.
    """
    if out.suffix.lower() != ".mp4":
        raise ConfigError(f"--render {out}: expected a file name that ends in .mp4")
    if not out.parent.is_dir():
        raise ConfigError(f"--render {out}: there is no folder {out.parent}; make it first")
    names: list[str] = []
    for wanted in settings.sources:
        names.append(wanted.name or source_name(wanted.url.get_secret_value(), names))
    videos = {name: out if len(names) == 1 else out.with_stem(f"{out.stem}-{name}") for name in names}
    read = {Path(wanted.url.get_secret_value()).absolute().resolve() for wanted in settings.sources}
    for video in videos.values():
        if video.resolve() in read:
            raise ConfigError(f"--render {out}: would write over the source {video}; give another name")
        if video.is_dir():
            raise ConfigError(f"--render {out}: {video} is a folder; give the name of a file")
    return videos


def _in_memory(picture: Picture) -> Pixels:
    if isinstance(picture, np.ndarray):
        return picture
    pixels: Pixels = picture.here().cpu().numpy()
    return pixels
