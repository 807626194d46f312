"""The commands `flamestream-train synthetic show` and `rate`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

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
