"""The commands `flamestream-train synthetic show`, `rate` and `labelled`."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.open_head import OPEN_HEAD

console = Console(stderr=True)
app = typer.Typer(help="Faces that nobody has, with exact parameters, to train on.", no_args_is_help=True)
Head = Annotated[Path, typer.Option("--head", help="The head's file.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn by chance.")]


@app.command(epilog="Example:  [bold]flamestream-train synthetic show --out sheet.png --seed 3[/]")
def show(
    out: Annotated[Path, typer.Option("--out", help="The picture to write, PNG.")] = Path("synthetic.png"),
    head: Head = OPEN_HEAD,
    seed: Seed = 0,
    faces: Annotated[int, typer.Option("--faces", min=1, help="How many.")] = 64,
) -> None:
    """Draw the first faces of a seed; some with their landmarks."""
    from PIL import Image

    from models.open_head import load_open_head
    from train.synthetic.faces import SyntheticFaces
    from train.synthetic.sheet import draw_sheet

    batch = SyntheticFaces(load_open_head(head), seed=seed).batch(range(faces))
    Image.fromarray(draw_sheet(batch)).save(out)
    console.print(f"{out}: {faces} faces", highlight=False)


@app.command(epilog="Example:  [bold]flamestream-train synthetic rate --workers 2 --json[/]")
def rate(
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes, each on one core.")] = 2,
    faces: Annotated[int, typer.Option("--faces", min=1, help="How many each of them draws.")] = 256,
    head: Head = OPEN_HEAD,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Measure how many faces are drawn in a second, once the skins are made."""
    from models.open_head import load_open_head
    from train.synthetic.rate import measure

    measured = measure(load_open_head(head), workers, faces)
    if as_json:
        sys.stdout.write(json.dumps(measured) + "\n")
    else:
        console.print(f"{measured['faces_per_second']} faces/s in {workers} processes", highlight=False)


@app.command(epilog="Example:  [bold]flamestream-train synthetic labelled --out faces --people 200 --clips 20[/]")
def labelled(
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    people: Annotated[int, typer.Option("--people", min=0, help="In still pictures.")] = 200,
    pictures: Annotated[int, typer.Option("--pictures", min=1, help="Of each of them, the emotions in turn.")] = 8,
    clips: Annotated[int, typer.Option("--clips", min=0, help="Each of another person.")] = 20,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Of each clip, 25 a second.")] = 100,
    seed: Seed = 0,
    size: Annotated[int, typer.Option("--size", min=32, help="Side of the pictures, pixels.")] = 224,
    occluders: Annotated[bool, typer.Option(help="Glasses, hands and other things before some faces.")] = True,
    label_noise: Annotated[
        float, typer.Option("--label-noise", min=0, max=1, help="Spread of the annotators' error; 0 for exact labels.")
    ] = 0.05,
    processes: Annotated[int, typer.Option("--processes", min=1, help="That draw.")] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Make a set of faces with their emotion, valence and arousal, laid out as AffectNet: stills and clips.

    Ctrl-C keeps what is drawn; the same command goes on with it.
    """
    from train.ig3d.drawing import Design
    from train.ig3d.synthetic import write_labelled

    design = Design(people, pictures, clips, frames, seed, size, occluders, label_noise)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    try:
        with Progress(TextColumn("pictures"), *columns, console=console) as bar:
            task = bar.add_task("", total=None)
            about = write_labelled(out, design, processes, lambda made, of: bar.update(task, completed=made, total=of))
    except KeyboardInterrupt:
        console.print(f"{out}: stopped; the same command goes on", highlight=False)
        raise typer.Exit(130) from None
    if as_json:
        sys.stdout.write(json.dumps(about) + "\n")
    else:
        counts = ", ".join(f"{split} {counted['pictures']}" for split, counted in about["counts"].items())
        console.print(f"{out}: {counts} pictures", highlight=False)
