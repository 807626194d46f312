"""Ig3D's own prediction files, where someone has them: their fusions bit for bit, Table 7 digit for digit.

FLAMESTREAM_IG3D_PREDICTIONS names a folder with the files of Ig3D's models/VA/infer_csv. They hold AffectNet's labels
and are no part of this repository.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from models.fusion import Rule
from train.ig3d.evaluation import Request, evaluate
from train.ig3d.late import RULES, fuse
from train.ig3d.predictions import Predictions, read_predictions, same_rows
from train.ig3d.tables import paper_table

PICTURES = 3991


def published(name: str) -> Path:
    folder = os.environ.get("FLAMESTREAM_IG3D_PREDICTIONS")
    if folder is None:
        pytest.skip("FLAMESTREAM_IG3D_PREDICTIONS is not set: no folder with Ig3D's published predictions")
    path = Path(folder) / f"{name}_VA_inference.csv"
    if not path.is_file():
        pytest.skip(f"{path}: no such file, expected one of Ig3D's published predictions")
    return path


def both() -> tuple[Predictions, Predictions]:
    first, second = (read_predictions(published(name)) for name in ("cage_reproduced", "nofusion"))
    return first, second


@pytest.mark.parametrize("rule", RULES)
def test_published_fusions_come_out_bit_for_bit(rule: Rule) -> None:
    first, second = both()
    theirs = read_predictions(published(f"latefusion_{rule}"))
    for other in (second, theirs):
        same_rows(first, other)
    assert np.array_equal(fuse(rule, first.found, second.found), theirs.found)


def test_table_7_comes_out_digit_for_digit() -> None:
    if len(both()[0]) != PICTURES:
        pytest.skip(f"{len(both()[0])} rows, expected all {PICTURES} of the published files")
    files = [published(name) for name in ("cage_reproduced", "nofusion")]
    told = evaluate(Request(files, RULES, published=True, midfusion=published("midfusion")))
    assert told.judged[0].affect.mean_predictor == pytest.approx(0.4514, abs=1e-4)
    for cell in told.beside(paper_table(7), "emoca-short"):
        assert cell.difference is not None
        misprinted = (cell.row, cell.column) in {("CAGE (reproduced)", "mae"), ("CAGE (reproduced)", "ccc")}
        assert abs(cell.difference) < (4e-4 if misprinted else 5.5e-5), cell
