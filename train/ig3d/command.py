"""The commands `flamestream-train ig3d train|fuse|predict`, and where `import` is found."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from train.ig3d.import_command import EXAMPLE, import_head

if TYPE_CHECKING:
    from models.ig3d import Design
    from train.ig3d.features import Features

console = Console(stderr=True)
app = typer.Typer(
    help="Trains what reads emotions and valence-arousal: pictures, 3D parameters, and both (Ig3D).",
    no_args_is_help=True,
)

app.command("import", epilog=EXAMPLE)(import_head)

Data = Annotated[Path, typer.Argument(help="Folder of the data set.")]
Set = Annotated[str, typer.Option("--set", help="Which it is: affectnet (also of `synthetic labelled`), raf-db.")]
FeaturesFile = Annotated[
    Path | None, typer.Option("--features", help="Its 3D vectors, made by `flamestream-train features`.")
]
Validation = Annotated[
    float, typer.Option("--validation", help="Share of the people in train that epochs and weights are chosen by.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.callback()
def _commands() -> None:
    """Trains what reads emotions and valence-arousal: pictures, 3D parameters, and both (Ig3D)."""


@app.command(
    epilog="Examples:  [bold]flamestream-train ig3d train faces --kind 3d --features faces.safetensors "
    "--out 3d.safetensors[/]   |   [bold]flamestream-train ig3d train faces --kind 2d --out 2d.safetensors[/]"
)
def train(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The head file to write, .safetensors.")],
    kind: Annotated[str, typer.Option("--kind", help="2d, 3d or intermediate; late ones are made by `fuse`.")] = "3d",
    backbone: Annotated[
        str, typer.Option("--backbone", help="small, ddamfn, maxvit or efficientnet; not for 3d.")
    ] = "small",
    features: FeaturesFile = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="One of Ig3D's, such as va-3d. \\[small-2d or small-3d]")
    ] = None,
    data_set: Set = "affectnet",
    classes: Annotated[int, typer.Option("--classes", help="8, or 7 without contempt.")] = 8,
    validation: Validation = 0.15,
    start: Annotated[
        Path | None, typer.Option("--start", help="Head file to begin with, such as of the stage before.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="In place of the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=2, help="In place of the recipe's.")] = None,
    published: Annotated[bool, typer.Option("--published", help="Losses with upstream's mistakes.")] = False,
    work: Annotated[Path | None, typer.Option("--work", help="Folder of the checkpoint. \\[beside --out]")] = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that read pictures.")] = 0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train one network, choose its epoch on people kept out of training, and write it.

    Ctrl-C ends after the epoch with its state saved; the same command goes on with it.
    """
    from train.ig3d.recipes import recipe as recipe_of
    from train.ig3d.sets import open_features, open_set, samples_of, train_and_validation

    chosen = recipe_of(
        recipe or ("small-3d" if kind == "3d" else "small-2d"), epochs=epochs, batch=batch, published=published
    )
    vectors = open_features(features) if kind != "2d" else None
    design = _design(kind, backbone, classes, vectors)
    labelled, held = train_and_validation(open_set(data, data_set, "train", classes), validation, seed)
    from train.ig3d.loop import BEST, Training
    from train.ig3d.start import begun

    training = Training(
        begun(design, seed, start),
        chosen,
        samples_of(labelled, vectors, design),
        samples_of(held, vectors, design),
        work or out.with_name(f"{out.stem}-work"),
        seed=seed,
        workers=workers,
    )
    with _bar("epochs", chosen.epochs, training.epoch) as (bar, task), _interrupted() as stopped:
        best = training.run(
            lambda epoch: bar.update(
                task, completed=epoch.number, note=f"loss {epoch.loss:.3f}, {chosen.measure} {epoch.measure:.3f}"
            ),
            lambda: bool(stopped),
        )
    from models.ig3d import read_head, write_head

    write_head(read_head(training.folder / BEST), out)
    _tell(
        {"head": str(out), "kind": kind, "epoch": training.epoch, "of": chosen.epochs, chosen.measure: round(best, 5)},
        f"{out}: best {chosen.measure} {best:.3f} on {len(held)} validation pictures",
        as_json,
    )


@app.command(
    epilog="Example:  [bold]flamestream-train ig3d fuse 2d.safetensors 3d.safetensors faces "
    "--features faces.safetensors --out late.safetensors[/]"
)
def fuse(
    picture: Annotated[Path, typer.Argument(metavar="HEAD_2D", help="A head of kind 2d.")],
    face: Annotated[Path, typer.Argument(metavar="HEAD_3D", help="A head of kind 3d.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The head file to write, .safetensors.")],
    features: FeaturesFile = None,
    data_set: Set = "affectnet",
    split: Annotated[
        str, typer.Option("--split", help="To weigh on: all of val where another is reported; else train's held share.")
    ] = "train",
    validation: Validation = 0.15,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Fuse a 2D and a 3D head late, weighed on people that both were kept from: of train, with the --seed of both.

    The file runs as it is: `flamestream run clip.mp4 --face-model smirk-open --affect-head late.safetensors`.
    """
    from models.ig3d import read_head, write_head
    from train.ig3d.combine import combine, late_design
    from train.ig3d.sets import open_features, open_set, samples_of, train_and_validation

    first, second = read_head(picture), read_head(face)
    design = late_design(first.design, second.design)
    vectors = open_features(features, design)
    held = open_set(data, data_set, split, len(design.labels))
    if split == "train":
        _, held = train_and_validation(held, validation, seed)
    with console.status("asking both networks"):
        combined = combine(first, second, samples_of(held, vectors, design))
    write_head(combined.network, out)
    shares = combined.network.design.shares
    _tell(
        {"head": str(out), "pictures": len(held), **combined.to_json()},
        f"{out}: the 2D branch's share is {shares.affect:.2f} of valence-arousal, {shares.emotions:.2f} of emotions",
        as_json,
    )


@app.command(
    epilog="Example:  [bold]flamestream-train ig3d predict late.safetensors faces --split test "
    "--features faces.safetensors --out late.csv[/]"
)
def predict(
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="A head file of any kind.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The file of predictions to write, .csv.")],
    split: Annotated[str, typer.Option("--split", help="Which part: val, test, train.")] = "val",
    features: FeaturesFile = None,
    data_set: Set = "affectnet",
    as_json: AsJson = False,
) -> None:
    """Write what a head says of each picture, and the truth, for `flamestream-train evaluate ig3d`."""
    from models.ig3d import read_head
    from train.ig3d.predict import predictions_of
    from train.ig3d.predictions import write_predictions
    from train.ig3d.sets import open_features, open_set, samples_of

    network = read_head(head)
    vectors = open_features(features, network.design)
    labelled = open_set(data, data_set, split, len(network.design.labels))
    samples = samples_of(labelled, vectors, network.design)
    with _bar("pictures", len(samples), 0) as (bar, task):
        said = predictions_of(network, samples, str(head), lambda done: bar.update(task, completed=done))
    write_predictions(out, said)
    told = {"predictions": str(out), "pictures": len(said), "without_face": samples.without_face}
    _tell(told, f"{out}: {len(said)} pictures; {samples.without_face} without a face left out", as_json)


def _design(kind: str, backbone: str, classes: int, vectors: "Features | None") -> "Design":
    """Raises TrainingError for what is no design."""
    from typing import get_args

    from models.emotion import EMOTIONS
    from models.ig3d import Backbone, Design
    from train.errors import TrainingError

    if kind not in ("2d", "3d", "intermediate"):
        raise TrainingError(f"--kind {kind}: expected 2d, 3d or intermediate; a late fusion is made by `ig3d fuse`")
    if backbone not in get_args(Backbone):
        raise TrainingError(f"--backbone {backbone}: expected one of {', '.join(get_args(Backbone))}")
    if kind != "2d" and vectors is None:
        raise TrainingError(f"--kind {kind} reads 3D vectors: give --features (made by `flamestream-train features`)")
    parts: dict[str, Any] = {"kind": kind, "labels": EMOTIONS[:classes]}
    if kind != "3d":
        parts["backbone"] = backbone
    if vectors is not None:
        origin = vectors.origin
        parts |= {"representation": origin.representation, "encoder": origin.encoder}
        parts |= {"encoder_hash": origin.model_hash, "basis": origin.basis}
    try:
        return Design(**parts)
    except ValueError as error:
        raise TrainingError(f"{error}; choose other options") from error


def _tell(described: dict[str, Any], line: str, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(described) + "\n")
    else:
        console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def _bar(what: str, total: int, done: int) -> Iterator[tuple[Progress, Any]]:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn(what), *columns, TextColumn("{task.fields[note]}"), console=console) as bar:
        yield bar, bar.add_task("", total=total, completed=done, note="")


@contextmanager
def _interrupted() -> Iterator[list[int]]:
    """Collects Ctrl-C in place of ending the program."""
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: stopped.append(number))
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
