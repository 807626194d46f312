"""The command `flamestream-train evaluate ig3d`."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

console = Console(stderr=True)

EXAMPLES = (
    "Examples:  [bold]flamestream-train evaluate ig3d --predictions 2d.csv 3d.csv --bootstrap 2000 --out told[/]"
    "   |   [bold]flamestream-train evaluate ig3d --predictions 2d.csv 3d.csv --tune val_2d.csv val_3d.csv[/]   |   "
    "[bold]flamestream-train evaluate ig3d --table 7 --predictions cage.csv nofusion.csv --midfusion mid.csv[/]   |   "
    "[bold]flamestream-train evaluate ig3d --table 5[/]"
)


class Fusion(StrEnum):
    """The rules of train.ig3d.late, as typer takes them."""

    MAX = "max"
    MIN = "min"
    MEAN = "mean"
    WEIGHTED = "weighted"


def ig3d(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[3D.csv]", help="The 3D model's predictions.")] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            "--predictions",
            help="The 2D model's CSV, followed by the 3D model's: columns val_pred, val_true, aro_pred, aro_true; with "
            "exp_true and p_neutral .. p_contempt for classes. One file alone is judged by itself. Ig3D's own are in "
            "its repository (github.com/dongludeeplearning/Ig3D, models/VA/infer_csv): they hold AffectNet's labels, "
            "so they are never shipped, and you must bring them.",
        ),
    ] = None,
    fusion: Annotated[
        list[Fusion] | None,
        typer.Option("--fusion", help="How to fuse; may be given again. All by default."),
    ] = None,
    weight: Annotated[
        float | None, typer.Option("--weight", min=0, max=1, help="The 2D model's share in weighted. \\[Ig3D's 0.6]")
    ] = None,
    tune: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--tune",
            metavar="VAL_2D.csv VAL_3D.csv",
            help="Choose the share on validation pictures, and shrink the 2D model alone there for comparison.",
        ),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Digit for digit as Ig3D: its ddof in the CCC, its share 0.6.")
    ] = False,
    table: Annotated[
        int | None, typer.Option("--table", min=2, max=8, help="The paper's table, with ours beside it.")
    ] = None,
    vectors: Annotated[
        str, typer.Option("--vectors", help="Of the 3D model: emoca- or smirk-, short or full; for tables 2 to 5.")
    ] = "smirk-full",
    midfusion: Annotated[
        Path | None, typer.Option("--midfusion", help="Predictions of a feature fusion, to be judged with the others.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the fused CSVs, report.json and pictures.")
    ] = None,
    repeats: Annotated[int, typer.Option("--bootstrap", min=0, help="Resamples for intervals; 0: none.")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Judge valence-arousal and class predictions of a 2D and a 3D model, and their late fusion."""
    given = [*(predictions or ()), *(files or ())]
    _refuse_combinations(given, weight, tune, published, table, midfusion, out)
    from train.ig3d.bootstrap import Plan
    from train.ig3d.evaluate_report import show, show_paper, write
    from train.ig3d.evaluation import VECTORS, Request, evaluate
    from train.ig3d.late import RULES
    from train.ig3d.tables import paper_table

    if vectors not in VECTORS:
        raise typer.BadParameter(f"--vectors {vectors}, expected one of {', '.join(VECTORS)}")
    paper = None if table is None else paper_table(table)
    report: dict[str, Any] = {}
    evaluation = cells = None
    if given:
        # Beside the paper's figures, ours are computed as the paper's.
        as_theirs = published or table in (7, 8)
        plan = Plan(repeats, seed) if repeats else None
        rules = [rule for rule in RULES if not fusion or rule in fusion]
        evaluation = evaluate(Request(given, rules, weight, tune, as_theirs, midfusion, plan))
        report = evaluation.to_json()
    if paper is not None:
        cells = None if evaluation is None else evaluation.beside(paper, vectors)
        report["table"] = {"paper": paper.to_json(), "beside": [cell.to_json() for cell in cells or ()]}
    if evaluation is not None and out is not None:
        write(out, evaluation, report)
    if as_json:
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
        return
    if evaluation is not None:
        show(console, evaluation)
    if paper is not None:
        show_paper(console, paper, cells)


def _refuse_combinations(
    given: list[Path],
    weight: float | None,
    tune: tuple[Path, Path] | None,
    published: bool,
    table: int | None,
    midfusion: Path | None,
    out: Path | None,
) -> None:
    """Raises BadParameter for what does not go together."""
    if len(given) > 2:
        raise typer.BadParameter(f"{len(given)} prediction files, expected the 2D model's and the 3D model's")
    if not given and table is None:
        raise typer.BadParameter("give --predictions 2D.csv 3D.csv, or --table 2..8 for the paper's figures")
    if not given and (midfusion is not None or out is not None or tune is not None or weight is not None):
        raise typer.BadParameter("--midfusion, --out, --tune and --weight need --predictions 2D.csv 3D.csv")
    if len(given) == 1 and (tune is not None or weight is not None):
        raise typer.BadParameter("--tune and --weight need two files: --predictions 2D.csv 3D.csv")
    if sum((weight is not None, tune is not None, published)) > 1:
        raise typer.BadParameter("give one of --weight, --tune and --published (which is --weight 0.6)")
