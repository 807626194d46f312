"""The `flamestream` command."""

import json
import logging
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from models.errors import FlamestreamError
from stream.engine_command import app as engine_app
from stream.errors import ConfigError

if TYPE_CHECKING:
    from stream.config import RunSettings
    from stream.render.film import Film

EXIT_FAILED = 1
"""A source failed, or the run could not be done."""
EXIT_USAGE = 2
"""The arguments or the configuration cannot work."""

console = Console(stderr=True)
app = typer.Typer(
    name="flamestream",
    help="Cameras and videos in; per-frame FLAME face parameters and valence-arousal out on Redis Streams.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks print local variables: passwords
    rich_markup_mode="rich",
)

app.add_typer(engine_app, name="engine")

RedisUrl = Annotated[
    str | None,
    typer.Option("--redis", envvar="FLAMESTREAM_REDIS", metavar="URL", help="redis://, rediss:// or unix:// URL."),
]
Prefix = Annotated[str | None, typer.Option("--prefix", help="First part of every Redis key. \\[flamestream]")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]
Engine = Annotated[
    str | None,
    typer.Option("--engine", help="auto, openvino, torch (eager), inductor, tensorrt or tensorrt-rtx. \\[auto]"),
]
Precision = Annotated[str | None, typer.Option("--precision", help="auto, f32, f16, bf16, int8 or fp8. \\[auto]")]
FaceModelName = Annotated[
    str | None, typer.Option("--face-model", help="mediapipe, smirk-open or smirk. \\[mediapipe]")
]
Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", help="SMIRK checkpoint (SMIRK_em1.pt), or other smirk-open weights.")
]
AffectHead = Annotated[
    Path | None,
    typer.Option(
        "--affect-head",
        metavar="HEAD.safetensors",
        help="Valence-arousal and emotions by a head of `flamestream-train ig3d`; with smirk-open or smirk.",
    ),
]
FlameFile = Annotated[
    Path | None,
    typer.Option("--head", metavar="FLAME.pkl", help="generic_model.pkl of FLAME 2020, to draw what smirk predicts."),
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto (a GPU if there is one), cpu, cuda, cuda:1. \\[auto]")
]


class ConsoleHandler(logging.Handler):
    """Log lines above the progress bars, each on one line however narrow the terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record with the time of day."""
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        console.print(f"{time} {record.getMessage()}", style=style, markup=False, highlight=False, soft_wrap=True)


@app.command(
    epilog="Examples:  [bold]flamestream run clip.mp4[/]   |   "
    "[bold]flamestream run rtsp://camera/stream lobby.mp4 --redis redis://localhost[/]   |   "
    "[bold]flamestream run clip.mp4 --render over.mp4[/]   |   "
    "[bold]flamestream run clip.mp4 --face-model smirk --checkpoint SMIRK_em1.pt --json[/]"
)
def run(
    sources: Annotated[list[str] | None, typer.Argument(metavar="SOURCE", help="Video files, rtsp:// URLs.")] = None,
    name: Annotated[list[str] | None, typer.Option("--name", help="Name of each source, in order.")] = None,
    redis: RedisUrl = None,
    prefix: Prefix = None,
    face_model: FaceModelName = None,
    checkpoint: Checkpoint = None,
    affect_head: AffectHead = None,
    device: Device = None,
    engine: Engine = None,
    precision: Precision = None,
    ingest: Annotated[
        str | None,
        typer.Option(help="What decodes: auto, cpu, nvdec, or gop (DALI, whole groups of pictures). \\[auto]"),
    ] = None,
    render: Annotated[
        Path | None,
        typer.Option(metavar="OUT.mp4", help="Film the mesh over each face; with more sources OUT-SOURCE.mp4 each."),
    ] = None,
    head: FlameFile = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with any of the settings.")] = None,
    as_json: AsJson = False,
) -> None:
    """Process files and cameras together and publish what is seen; without --redis a server is started for the run.

    Ends when every file has ended, or on Ctrl-C. Exit code 0: all sources ended well; 1: one failed, or a video of
    --render did; 2: wrong usage.
    """
    from stream.config import load_settings

    settings = load_settings(
        config,
        {
            "sources": _name_sources(sources or [], name or []) or None,
            "redis": redis,
            "prefix": prefix,
            "face_model": face_model,
            "checkpoint": checkpoint,
            "affect_head": affect_head,
            "device": device,
            "engine": engine,
            "precision": precision,
            "ingest": ingest,
        },
    )
    if head is not None and render is None:
        raise ConfigError("--head is what --render draws; give --render OUT.mp4 too, or leave it out")
    from stream.report import run_with_progress  # after the settings: it loads torch, and typing errors should not wait

    film = None if render is None else _open_film(settings, render, head)
    report = run_with_progress(
        settings, console, quiet=as_json, film=film, on_pipeline=lambda p: _stop_on_signals(p.stop)
    )
    if as_json:
        videos = {} if film is None else {"videos": film.to_json()}
        sys.stdout.write(json.dumps(report.to_json() | videos) + "\n")
    if not report.ok or (film is not None and not film.ok):
        raise typer.Exit(EXIT_FAILED)


@app.command(
    epilog="Examples:  [bold]flamestream image portrait.jpg --out over.png[/]   |   "
    "[bold]flamestream image team.jpg me.png --json[/]"
)
def image(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE", help="JPEG, PNG or WebP files.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Picture and mesh side by side; with more pictures PNG-PICTURE.png each."),
    ] = None,
    face_model: FaceModelName = None,
    checkpoint: Checkpoint = None,
    affect_head: AffectHead = None,
    head: FlameFile = None,
    device: Device = None,
    engine: Engine = None,
    precision: Precision = None,
    as_json: AsJson = False,
) -> None:
    """Read every face in pictures: a table of affect, pose and strongest actions, and the mesh drawn over it.

    Exit code 0: every picture has a face; 1: one has none or cannot be read or written; 2: wrong usage.
    """
    from stream.config import load_settings

    wanted = {"face_model": face_model, "checkpoint": checkpoint, "affect_head": affect_head, "device": device}
    # Settings of a run, which always has a source; this one is never opened.
    settings = load_settings(None, {"sources": [{"url": "-"}], **wanted, "engine": engine, "precision": precision})
    if head is not None and out is None:
        raise ConfigError("--head is what --out draws; give --out PNG too, or leave it out")
    from stream.image_command import run_images, table_of  # after the settings: it loads torch

    seen, failures = run_images(settings, pictures, console, out=out, flame=head)
    if as_json:
        sys.stdout.write(json.dumps([looked.to_json() for looked in seen]) + "\n")
    for looked in () if as_json else seen:
        Console().print(table_of(looked))
    for failure in failures:
        console.print(f"flamestream: {failure}", style="red", markup=False, highlight=False, soft_wrap=True)
    if failures:
        raise typer.Exit(EXIT_FAILED)


@app.command(
    epilog="Examples:  [bold]flamestream tail --redis redis://localhost[/]   |   "
    "[bold]flamestream tail lobby --from start --json[/]"
)
def tail(
    source: Annotated[str | None, typer.Argument(help="Name of a source; all of them when not given.")] = None,
    redis: RedisUrl = None,
    prefix: Prefix = None,
    start: Annotated[str, typer.Option("--from", help="now, start, or an entry id.")] = "now",
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Stop after this many events.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print emotion events as they are published, one per line."""
    from stream.tail import print_events

    print_events(source, redis, prefix or "flamestream", start, count, as_json=as_json)


@app.command(epilog="Example:  [bold]flamestream demo --out demo-out[/]")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the video and the plot.")] = Path("demo-out"),
    clip: Annotated[Path | None, typer.Option(help="Your own video instead of the demo clip.")] = None,
    redis: RedisUrl = None,
    engine: Engine = None,
) -> None:
    """Run a real clip through everything, then write an annotated video and a plot of valence and arousal."""
    from stream.demo.demo import run_demo

    run_demo(console, out=out, clip=clip, redis=redis, engine=engine)


@app.command(epilog="Examples:  [bold]flamestream doctor[/]   |   [bold]flamestream doctor --json[/]")
def doctor(redis: RedisUrl = None, as_json: AsJson = False) -> None:
    """Tell what works on this machine, what to install for the rest, and what a run would use.

    Exit code 1: a run would not work here.
    """
    from stream.ops.doctor import run_doctor

    if not run_doctor(console, redis=redis, as_json=as_json):
        raise typer.Exit(EXIT_FAILED)


def main() -> None:
    """Entry point: errors become one line on standard error and an exit code."""
    logging.basicConfig(level=logging.INFO, handlers=[ConsoleHandler()])
    try:
        app()
    except FlamestreamError as error:
        console.print(f"flamestream: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED)


def _name_sources(urls: list[str], names: list[str]) -> list[dict[str, str | None]]:
    if len(names) > len(urls):
        raise typer.BadParameter(f"{len(names)} names for {len(urls)} sources", param_hint="--name")
    padded = [*names, *[None] * (len(urls) - len(names))]
    return [{"url": url, "name": name} for url, name in zip(urls, padded, strict=True)]


def _open_film(settings: "RunSettings", render: Path, head: Path | None) -> "Film":
    from stream.render.film import Film, plan_videos
    from stream.render.head import open_head
    from stream.render.mesh import MeshPainter

    videos = plan_videos(settings, render)
    return Film(MeshPainter(open_head(settings, head)), videos)


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """The first Ctrl-C or SIGTERM ends the run cleanly; a second one kills it."""

    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        console.print("stopping: publishing what was read (again to quit at once)", style="yellow")
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


if __name__ == "__main__":
    main()
