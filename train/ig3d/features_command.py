"""The command `flamestream-train features`: 3D features of a folder of pictures, and on where it stopped."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from train.ig3d.extract import Extraction
    from train.ig3d.features import Features

console = Console(stderr=True)


def features(
    images: Annotated[Path, typer.Argument(help="Folder of pictures, and of folders of them.")],
    out: Annotated[Path, typer.Option("--out", help="The feature file to write, .safetensors.")],
    encoder: Annotated[str, typer.Option("--encoder", help="smirk-open, smirk, emoca.")] = "smirk-open",
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="The encoder's weights. \\[those that come with flamestream]")
    ] = None,
    representation: Annotated[
        str, typer.Option("--representation", help="Which parameters: {smirk,emoca}-{full,short}.")
    ] = "smirk-full",
    whole: Annotated[
        bool, typer.Option("--whole", help="The pictures are face crops already: seek no face in them.")
    ] = False,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Pictures that are encoded and kept at once.")] = 32,
    strict: Annotated[bool, typer.Option("--strict", help="End at a picture that cannot be read.")] = False,
    device: Annotated[str, typer.Option("--device", help="auto (a GPU if there is one), cpu, cuda, cuda:1.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Make the 3D features of a folder of pictures: a vector each, in one file that says what it holds.

    Ctrl-C keeps what is done; the same command goes on with it.
    """
    from train.ig3d.extract import list_pictures

    names = list_pictures(images)
    with console.status("opening networks"):
        extraction = _opened(images, names, out, encoder, checkpoint, representation, whole, device)
    started_s = time.monotonic()
    made = _run(extraction, batch, strict)
    if made is None:
        console.print(f"{out}: stopped; the same command goes on", highlight=False)
        raise typer.Exit(130)
    told = _described(out, made, time.monotonic() - started_s)
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
        return
    console.print(
        f"{out}: {told['found']} of {told['images']} pictures have a face; {told['representation']} of {encoder}",
        highlight=False,
    )
    for name in made.unreadable:
        console.print(f"{images / name}: cannot be read", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _opened(
    images: Path,
    names: tuple[str, ...],
    out: Path,
    encoder: str,
    checkpoint: Path | None,
    representation: str,
    whole: bool,
    device: str,
) -> "Extraction":
    """The networks, and what they are to make. Raises TrainingError, CheckpointError, AssetError or EngineError."""
    from models.device import open_device
    from models.engines.choose import choose_target
    from models.representation import REPRESENTATIONS
    from train.ig3d.encoders import kind_of
    from train.ig3d.extract import WHOLE, Extraction, face_finder, whole_picture
    from train.ig3d.features import Origin
    from train.ig3d.part_file import Job

    kind, name = kind_of(encoder, representation)
    target = choose_target("auto", "f32", open_device(device))  # what is trained on is not made in half precision
    opened = kind.open(checkpoint, name, target)
    origin = Origin(
        representation=name,
        parts=dict(REPRESENTATIONS[name].parts),
        encoder=encoder,
        model_hash=opened.model_hash,
        basis=opened.basis,
        engine=f"{target.runtime} {target.precision}",
        crop=WHOLE if whole else kind.crop,
    )
    find = whole_picture if whole else face_finder(kind, target)
    return Extraction(Job(images, names, origin, out), opened, find)


def _run(extraction: "Extraction", batch: int, strict: bool) -> "Features | None":
    """Runs with a bar until the end or Ctrl-C."""
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: stopped.append(number))
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    try:
        with Progress(TextColumn("features"), *columns, console=console) as bar:
            task = bar.add_task("", total=len(extraction.job.names))
            return extraction.run(
                batch=batch,
                strict=strict,
                report=lambda done: bar.update(task, completed=done),
                stop=lambda: bool(stopped),
            )
    finally:
        signal.signal(signal.SIGINT, before)


def _described(out: Path, made: "Features", elapsed_s: float) -> dict[str, Any]:
    found = int(made.found.sum())
    return {
        "features": str(out),
        "images": len(made),
        "found": found,
        "no_face": len(made) - found - len(made.unreadable),
        "unreadable": list(made.unreadable),
        "representation": made.origin.representation,
        "encoder": made.origin.encoder,
        "model_hash": made.origin.model_hash,
        "basis": made.origin.basis,
        "elapsed_s": round(elapsed_s, 2),
    }
