"""The commands `flamestream-train evaluate default` and `ig3d`."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer
from rich.console import Console
from rich.progress import track as progress_bar

from train.evaluate.request import Part, Request
from train.ig3d.evaluate_command import EXAMPLES, ig3d

Item = TypeVar("Item")

console = Console(stderr=True)
app = typer.Typer(help="Tells how good a trained model is.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """Tells how good a trained model is."""


app.command("ig3d", epilog=EXAMPLES)(ig3d)


@app.command(
    epilog="Examples:  [bold]flamestream-train evaluate default --out report[/]   |   "
    "[bold]flamestream-train evaluate default --face-model mediapipe --part clips --clip man[/]"
)
def default(
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", help="SMIRK's encoders: .safetensors, or a training's checkpoint.pt. \\[those shipped]"
        ),
    ] = None,
    face_model: Annotated[
        Literal["mediapipe"] | None, typer.Option("--face-model", help="The blendshape default; needs no weights.")
    ] = None,
    media: Annotated[
        Path, typer.Option("--media", envvar="FLAMESTREAM_MEDIA", help="Folder with the MANIFEST's pictures and clips.")
    ] = Path("../shared/data"),
    part: Annotated[
        list[Part] | None, typer.Option("--part", help="What to measure; may be given again. All by default.")
    ] = None,
    clip: Annotated[
        list[str] | None, typer.Option("--clip", help="Which judged clip; may be given again. All by default.")
    ] = None,
    portraits: Annotated[int | None, typer.Option("--portraits", min=2, help="At most so many portraits.")] = None,
    still_frames: Annotated[int, typer.Option("--still-frames", min=3, help="How often a still face is shown.")] = 60,
    synthetic: Annotated[int, typer.Option("--synthetic", min=2, help="How many synthetic faces.")] = 512,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for report.json and the pictures.")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 when a target is not met.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Measure a face model of the open basis, and the blendshape default beside it, against what is asked of it."""
    if weights is not None and face_model is not None:
        raise typer.BadParameter("give either --weights FILE or --face-model mediapipe")
    from models.open_smirk import WEIGHTS
    from train.errors import TrainingError
    from train.evaluate.evaluation import opened
    from train.evaluate.report import Report

    request = Request(media, part, clip, portraits, still_frames, synthetic, out)
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        with opened(weights or (WEIGHTS if face_model is None else None), request, _bar) as evaluation:
            report = Report.of(evaluation.bench.model, evaluation.bench.baseline)
            for section in evaluation.sections():
                report.sections.append(section)
                if not as_json:
                    console.print(section.table())
        text = json.dumps(report.to_json(), indent=1) + "\n"
        if out is not None:
            (out / "report.json").write_text(text)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be written ({error.strerror}); give another --out") from error
    if as_json:
        sys.stdout.write(text)
    else:
        report.show(console)
    if check and report.unmet:
        raise typer.Exit(1)


def _bar(items: Iterable[Item], what: str, total: int | None = None) -> Iterable[Item]:
    return progress_bar(items, what, total=total, console=console, transient=True)
