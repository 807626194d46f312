"""What a person sees of a run: progress bars while it goes, a table at the end."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from stream.config import RunSettings
from stream.emit.schema import EmotionEvent
from stream.frame import AnalysedFrame
from stream.ingest.source import Source
from stream.pipeline import Observer, Pipeline
from stream.redact import redact
from stream.render.film import LIMITS, Film
from stream.run import RunReport, execute

REDRAW_S = 0.1
"""How often a source's bar is brought up to date."""


class RunProgress:
    """A bar per source with frames, speed and the current valence and arousal. An observer of the pipeline."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TextColumn("{task.fields[affect]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._pending: Counter[str] = Counter()
        self._next_s: defaultdict[str, float] = defaultdict(float)

    def add(self, source: Source) -> None:
        """Start a source's bar."""
        self._tasks[source.name] = self.progress.add_task(
            source.name, total=source.total_frames, speed="", affect="waiting for a face"
        )

    def __call__(self, analysed: AnalysedFrame, published: Sequence[EmotionEvent]) -> None:
        """Advance the bar of the frame's source, at a pace for eyes: drawing each frame would slow the run."""
        source = analysed.stamp.source
        self._pending[source] += 1
        now_s = time.monotonic()
        if now_s < self._next_s[source]:
            return
        self._next_s[source] = now_s + REDRAW_S
        self._draw(source, published)

    def stop(self) -> None:
        """Bring every bar up to date and leave them on the screen."""
        for source, frames in self._pending.items():
            self.progress.update(self._tasks[source], advance=frames)
        self.progress.stop()

    def _draw(self, source: str, published: Sequence[EmotionEvent]) -> None:
        task = self._tasks[source]
        speed = self.progress.tasks[task].speed
        affect = "no face" if not published else "  ".join(describe(event) for event in published[:2])
        fps = "" if speed is None else f"{speed:.0f} fps"
        self.progress.update(task, advance=self._pending.pop(source), affect=affect, speed=fps)


def describe(event: EmotionEvent) -> str:
    """Valence and arousal in words of ten letters each, and the emotion where there is one."""
    emotion = f" {event.emotion}" if event.emotion else ""
    return f"face {event.track}: valence {event.valence:+.2f} arousal {event.arousal:+.2f}{emotion}"


def run_with_progress(
    settings: RunSettings,
    console: Console,
    *,
    quiet: bool = False,
    observer: Observer | None = None,
    film: Film | None = None,
    on_pipeline: Callable[[Pipeline], None] = lambda _: None,
) -> RunReport:
    """Run the settings, filmed if asked; unless `quiet`, show progress and end with a table."""
    bars = RunProgress(console)

    def start(url: str, sources: list[Source], pipeline: Pipeline) -> None:
        on_pipeline(pipeline)
        if film is not None:
            film.start(sources)
        if quiet:
            return
        origin = "embedded server, ends with the run" if settings.redis is None else "server"
        console.print(f"publishing to {redact(url)} ({origin})", highlight=False)
        console.print(f"subscribe:  flamestream tail --redis {redact(url)}", highlight=False)
        for source in sources:
            bars.add(source)
        bars.progress.start()

    observers = [each for each in (None if quiet else bars, observer, film) if each is not None]

    def observe(analysed: AnalysedFrame, published: Sequence[EmotionEvent]) -> None:
        for each in observers:
            each(analysed, published)

    witness, limits = (None, None) if film is None else (film.see, LIMITS)
    try:
        report = execute(settings, observer=observe, on_start=start, witness=witness, limits=limits)
    finally:
        bars.stop()
        if film is not None:
            film.close()
    if not quiet:
        console.print(summary(report))
        _name_videos(console, film)
    return report


def _name_videos(console: Console, film: Film | None) -> None:
    for video in () if film is None else film.reports.values():
        if video.frames and video.error is None:
            left_out = f" (drawing was too slow for {video.skipped} more frames)" if video.skipped else ""
            console.print(f"look at   {video.path}{left_out}", highlight=False, markup=False, soft_wrap=True)


def summary(report: RunReport) -> Table:
    """The accounts of a run: every frame of every source."""
    title = f"{report.seconds:.1f} s, {report.frames_per_second:.0f} frames/s, face model {report.face_model}"
    table = Table("source", "decoded by", "received", "published", "no face", "dropped", "ended", title=title)
    for name, source in report.sources.items():
        dropped = ", ".join(f"{count} {reason}" for reason, count in source.dropped.items()) or "0"
        counts = (str(source.received), str(source.published), str(source.no_face), dropped)
        table.add_row(
            name, source.decoder, *counts, source.error or "well", style=None if source.error is None else "red"
        )
    return table
