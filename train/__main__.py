"""The `flamestream-train` command."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.errors import FlamestreamError

console = Console(stderr=True)
app = typer.Typer(
    name="flamestream-train",
    help="Makes the engines that flamestream runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _commands() -> None:
    """Makes the engines that flamestream runs."""


@app.command(epilog="Example:  [bold]flamestream-train export SMIRK_em1.pt[/]")
def export(
    checkpoint: Annotated[Path, typer.Argument(help="SMIRK checkpoint (SMIRK_em1.pt, or .safetensors of its keys).")],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Compile SMIRK's encoders, check them against eager float32, and keep the engine for `flamestream run`."""
    from models.smirk import open_smirk

    with console.status("exporting, compiling, checking parity"):
        model = open_smirk(checkpoint)
    described = {"model": model.name, "basis": model.basis, "model_hash": model.model_hash}
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
