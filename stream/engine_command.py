"""`flamestream engine build|show`: makes the engines a run will use, and tells what is in the cache."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from models.engine_list import KeptEngine  # would load torch, for which --help should not wait

console = Console(stderr=True)
app = typer.Typer(help="Builds and describes the compiled networks.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]


@app.command(
    epilog="Examples:  [bold]flamestream engine build[/]   |   "
    "[bold]flamestream engine build --face-model smirk --checkpoint SMIRK_em1.pt --engine inductor --precision f16[/]"
)
def build(
    face_model: Annotated[str | None, typer.Option(help="mediapipe, smirk-open or smirk. \\[mediapipe]")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="SMIRK checkpoint (SMIRK_em1.pt).")] = None,
    affect_head: Annotated[Path | None, typer.Option(help="Head file of `flamestream-train ig3d`.")] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="auto, openvino, inductor, tensorrt or tensorrt-rtx. \\[auto]")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="auto, f32, f16, bf16, int8 or fp8; of the face model. \\[auto]")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto (a GPU if there is one), cpu, cuda, cuda:1. \\[auto]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compile and check every network that a run with the same options loads, unless the cache has it already."""
    from models.engine_list import kept_engines
    from stream.config import load_settings
    from stream.load import load_networks

    wanted = {"face_model": face_model, "checkpoint": checkpoint, "affect_head": affect_head, "engine": engine}
    # Settings of a run, which always has a source; this one is never opened.
    settings = load_settings(None, {"sources": [{"url": "-"}], **wanted, "precision": precision, "device": device})
    started_s = time.time()
    with console.status("compiling and checking networks"):
        target = load_networks(settings).target
    used = [kept for kept in kept_engines() if kept.used_s >= started_s]
    _print(used, as_json=as_json, title=f"{target.runtime} on {target.device}")
    if not used:
        console.print(f"the {target.runtime} engine compiles nothing: there is nothing to keep", highlight=False)


@app.command(epilog="Examples:  [bold]flamestream engine show --json[/]   |   [bold]flamestream engine show --prune[/]")
def show(
    prune: Annotated[bool, typer.Option("--prune", help="First remove engines that nothing will load again.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the engines in the cache, and why some of them are outdated."""
    from models.engine_list import kept_engines
    from models.export import remove_engine

    kept = kept_engines()
    if prune:
        doomed = [engine for engine in kept if engine.outdated]
        for engine in doomed:
            remove_engine(engine.folder)
        console.print(f"removed {len(doomed)} outdated engines", highlight=False)
        kept = [engine for engine in kept if not engine.outdated]
    _print(kept, as_json=as_json, title=f"{len(kept)} engines")


def _print(engines: "list[KeptEngine]", *, as_json: bool, title: str) -> None:
    if as_json:
        sys.stdout.write(json.dumps([engine.to_json() for engine in engines]) + "\n")
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("network", "engine", "device", "error / allowed", "MB", "used"):
        table.add_column(heading, no_wrap=heading in ("network", "engine", "error / allowed"))
    for engine in engines:
        table.add_row(*_row(engine), style="dim" if engine.outdated else None)
    Console().print(table)
    for engine in engines:
        if engine.outdated:
            console.print(f"{engine.folder.name} is outdated: {engine.outdated}", style="dim", highlight=False)


def _row(engine: "KeptEngine") -> tuple[str, ...]:
    made = engine.manifest
    agreement = "?" if engine.worst is None else "{:.1g} / {:.1g}".format(*engine.worst)
    return (
        str(made.get("name", engine.folder.name)),
        f"{made.get('runtime', '?')} {made.get('precision', '?')}",
        engine.device_name or "?",
        agreement,
        f"{engine.size_bytes / 1e6:.1f}",
        _ago(time.time() - engine.used_s),
    )


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"
