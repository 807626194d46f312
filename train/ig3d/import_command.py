"""The command `flamestream-train ig3d import`: a published 2D network becomes a head."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(stderr=True)
EXAMPLE = "Example:  [bold]flamestream-train ig3d import ddamfn.pth --backbone ddamfn --out 2d.safetensors[/]"


def import_head(
    published: Annotated[Path, typer.Argument(metavar="FILE", help="The published checkpoint, .pth or .pt.")],
    backbone: Annotated[
        str,
        typer.Option("--backbone", help="ddamfn, efficientnet (EmotiEffLib's enet_b0_8_va_mtl) or maxvit (CAGE's)."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The head file to write, .safetensors.")],
    classes: Annotated[int, typer.Option("--classes", min=7, max=8, help="8, or 7 without contempt.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Make a head of a published 2D network, without running any code of its file.

    For `fuse`, `predict`, `train --start` and `flamestream run --affect-head`.
    """
    from models.cage import Cage, load_cage
    from models.ddamfn import Ddamfn, load_ddamfn
    from models.emotieff import Emotieff, load_emotieff
    from models.emotion import EMOTIONS
    from models.ig3d import Backbone, Design, Ig3dNetwork, write_head
    from train.errors import TrainingError

    known: dict[str, Backbone] = {"ddamfn": "ddamfn", "efficientnet": "efficientnet", "maxvit": "maxvit"}
    if backbone not in known:
        raise TrainingError(f"--backbone {backbone}: expected {', '.join(known)}; others are not published")
    try:
        network = Ig3dNetwork(Design("2d", known[backbone], labels=EMOTIONS[:classes]))
    except ValueError as error:
        raise TrainingError(f"{error}; leave --classes out") from error
    match network.picture:
        case Ddamfn() as picture:
            load_ddamfn(picture, published)
        case Emotieff() as picture:
            load_emotieff(picture, published)
        case Cage() as picture:
            load_cage(picture, published)
    write_head(network, out)
    if as_json:
        sys.stdout.write(json.dumps({"head": str(out), "backbone": backbone, "classes": classes}) + "\n")
    else:
        console.print(f"{out}: a head of {backbone}, {classes} emotions", highlight=False, soft_wrap=True)
