"""The `flamestream-train` command."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.device import open_device
from models.engines.choose import PrecisionChoice, RuntimeChoice, choose_target
from models.errors import FlamestreamError
from train.default.command import train_default
from train.evaluate.command import app as evaluate
from train.ig3d.command import app as ig3d
from train.ig3d.features_command import features
from train.open_head.command import app as open_head
from train.synthetic.command import app as synthetic

console = Console(stderr=True)
app = typer.Typer(
    name="flamestream-train",
    help="Makes the engines that flamestream runs, and what its models are made of.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _commands() -> None:
    """Makes the engines that flamestream runs, and what its models are made of."""


app.add_typer(evaluate, name="evaluate")
app.add_typer(open_head, name="open-head")
app.add_typer(synthetic, name="synthetic")
app.add_typer(ig3d, name="ig3d")
app.command(
    "default",
    epilog="Examples:  [bold]flamestream-train default --media ../shared/data[/]   |   "
    "[bold]flamestream-train default --quick --out /tmp/tried.safetensors[/]",
)(train_default)
app.command(
    "features",
    epilog="Examples:  [bold]flamestream-train features affectnet/train --out train.safetensors[/]   |   "
    "[bold]flamestream-train features faces --whole --out faces.safetensors[/]",
)(features)


@app.command(
    epilog="Examples:  [bold]flamestream-train export SMIRK_em1.pt[/]   |   "
    "[bold]flamestream-train export SMIRK_em1.pt --engine inductor --precision f16 --device cuda[/]"
)
def export(
    checkpoint: Annotated[Path, typer.Argument(help="SMIRK checkpoint (SMIRK_em1.pt, or .safetensors of its keys).")],
    engine: Annotated[
        RuntimeChoice, typer.Option("--engine", help="auto is openvino on the CPU; on a GPU tensorrt, else inductor.")
    ] = "auto",
    precision: Annotated[
        PrecisionChoice, typer.Option("--precision", help="auto is f32 on the CPU, f16 on a GPU.")
    ] = "auto",
    device: Annotated[str, typer.Option("--device", help="auto (a GPU if there is one), cpu, cuda, cuda:1.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Compile SMIRK's encoders, check them against eager float32, and keep the engine for `flamestream run`."""
    from models.smirk import open_smirk

    target = choose_target(engine, precision, open_device(device))
    with console.status("exporting, compiling, checking parity"):
        model = open_smirk(checkpoint, target)
    described = {
        "model": model.name,
        "basis": model.basis,
        "model_hash": model.model_hash,
        "engine": target.runtime,
        "precision": target.precision,
        "device": str(target.device),
    }
    if as_json:
        sys.stdout.write(json.dumps(described) + "\n")
    else:
        console.print(f"engine ready: {described}", highlight=False)


def main() -> None:
    """Entry point: errors become one line on standard error and exit code 1."""
    try:
        app()
    except FlamestreamError as error:
        console.print(f"flamestream-train: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
