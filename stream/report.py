"""What a person sees of a run: progress bars while it goes, a table at the end."""

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
from stream.run import RunReport, execute


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

    def add(self, source: Source) -> None:
        """Start a source's bar."""
        self._tasks[source.name] = self.progress.add_task(
            source.name, total=source.total_frames, speed="", affect="waiting for a face"
        )

    def __call__(self, analysed: AnalysedFrame, published: Sequence[EmotionEvent]) -> None:
        """Advance the bar of the frame's source."""
        task = self._tasks[analysed.stamp.source]
        speed = self.progress.tasks[task].speed
        affect = "no face" if not published else "  ".join(describe(event) for event in published[:2])
        self.progress.update(task, advance=1, affect=affect, speed="" if speed is None else f"{speed:.0f} fps")


def describe(event: EmotionEvent) -> str:
    """Valence and arousal in words of ten letters each."""
    return f"face {event.track}: valence {event.valence:+.2f} arousal {event.arousal:+.2f}"


def run_with_progress(
    settings: RunSettings,
    console: Console,
    *,
    quiet: bool = False,
    observer: Observer | None = None,
    on_pipeline: Callable[[Pipeline], None] = lambda _: None,
) -> RunReport:
    """Run the settings; unless `quiet`, show progress and end with a table."""
    bars = RunProgress(console)

    def start(url: str, sources: list[Source], pipeline: Pipeline) -> None:
        on_pipeline(pipeline)
        if quiet:
            return
        origin = "embedded server, ends with the run" if settings.redis is None else "server"
        console.print(f"publishing to {redact(url)} ({origin})", highlight=False)
        console.print(f"subscribe:  flamestream tail --redis {redact(url)}", highlight=False)
        for source in sources:
            bars.add(source)
        bars.progress.start()

    def observe(analysed: AnalysedFrame, published: Sequence[EmotionEvent]) -> None:
        if not quiet:
            bars(analysed, published)
        if observer is not None:
            observer(analysed, published)

    try:
        report = execute(settings, observer=observe, on_start=start)
    finally:
        bars.progress.stop()
    if not quiet:
        console.print(summary(report))
    return report


def summary(report: RunReport) -> Table:
    """The accounts of a run: every frame of every source."""
    title = f"{report.seconds:.1f} s, {report.frames_per_second:.0f} frames/s, face model {report.face_model}"
    table = Table("source", "received", "published", "no face", "dropped", "ended", title=title)
    for name, source in report.sources.items():
        dropped = ", ".join(f"{count} {reason}" for reason, count in source.dropped.items()) or "0"
        counts = (str(source.received), str(source.published), str(source.no_face), dropped)
        table.add_row(name, *counts, source.error or "well", style=None if source.error is None else "red")
    return table
