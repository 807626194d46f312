"""The command `flamestream-train default`: examples, training, weights; each goes on where it stopped."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.assets import cache_dir

console = Console(stderr=True)
MEDIA = Path(os.environ.get("FLAMESTREAM_MEDIA", "../shared/data"))


def train_default(
    media: Annotated[Path, typer.Option("--media", help="Folder with the pictures of the MANIFEST.")] = MEDIA,
    work: Annotated[
        Path | None, typer.Option("--work", help="Folder of examples (6 GB) and checkpoints. \\[in the cache]")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The weights to write, .safetensors. \\[in --work]")] = None,
    start: Annotated[
        Path | None,
        typer.Option("--start", help="Weights to go on from, .safetensors; also when resuming. \\[random ones]"),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Another number makes other examples of the same pictures.")
    ] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few steps on a few examples, to see that everything works.")
    ] = False,
    processes: Annotated[int, typer.Option("--processes", help="That make examples.")] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Train the default face model: make examples if there are none, train, write the weights.

    Ctrl-C ends the training with its state saved; the same command goes on with it.

    --start WEIGHTS --seed 1 trains weights further, on other examples than those of seed 0.
    """
    from dataclasses import replace

    from models.open_head import load_open_head
    from models.open_smirk import read_open_smirk
    from train.default.data import Amounts, make_examples, plan
    from train.default.examples import read_examples
    from train.default.loop import Training
    from train.default.recipe import CONTINUED, QUICK, Recipe
    from train.default.ship import write_weights

    if start is not None:
        read_open_smirk(start)  # weights that cannot be read are refused before the examples are made, not after
    name = "default-quick" if quick else "default"
    work = work or cache_dir() / "train" / (f"{name}-{seed}" if seed else name)
    examples, out = work / "examples", out or work / "smirk_open.safetensors"
    if not (examples / "about.json").exists():
        amounts = Amounts(synthetic=64, of_portrait=1, of_frame=0, portraits=32) if quick else Amounts()
        tasks = plan(media, "train", amounts, seed)
        with _bar("examples") as bar:
            task = bar.add_task("", total=len(tasks), note="")
            make_examples(examples, tasks, processes, lambda number: bar.update(task, completed=number))
    recipe = QUICK if quick else Recipe() if start is None else CONTINUED
    training = Training(load_open_head(), read_examples(examples, seed), replace(recipe, seed=seed), work, start)
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: stopped.append(number))
    try:
        with _bar("training") as bar:
            task = bar.add_task("", total=training.recipe.steps, completed=training.step, note="")
            training.run(
                lambda step: bar.update(task, completed=step.step, note=f"{step.size} px, loss {step.loss:.2f}"),
                lambda: bool(stopped),
            )
    finally:
        signal.signal(signal.SIGINT, before)
    size = write_weights(training.averaged(), out)
    described = {"weights": str(out), "bytes": size, "step": training.step, "of": training.recipe.steps}
    if as_json:
        sys.stdout.write(json.dumps(described) + "\n")
    else:
        console.print(f"weights written: {described}", highlight=False)


def _bar(what: str) -> Progress:
    return Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
