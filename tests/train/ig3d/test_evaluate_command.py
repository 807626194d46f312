"""`flamestream-train evaluate ig3d` from files to figures, and its refusals."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.conftest import Train
from tests.train.ig3d.affect_rows import models, written
from train.ig3d.late import fuse
from train.ig3d.metrics import affect_agreement
from train.ig3d.predictions import read_predictions

Capture = pytest.CaptureFixture[str]


def said(capsys: Capture) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_two_files_give_everything(tmp_path: Path, train: Train, capsys: Capture) -> None:
    first, second = models(60, classes=True)
    files, out = written(tmp_path, first, second), tmp_path / "told"
    command = ("evaluate", "ig3d", "--predictions", *files, "--out", str(out), "--bootstrap", "50")
    assert train(*command, "--json") == 0
    report = said(capsys)
    assert report == json.loads((out / "report.json").read_text())
    assert [one["role"] for one in report["judged"]] == [
        "2D",
        "3D",
        *(f"late, {rule}" for rule in ("max", "min", "mean", "weighted")),
    ]
    assert (report["rows"], report["published"], report["weight"]["value"]) == (60, False, 0.6)
    fused = report["judged"][-1]
    expected = affect_agreement(fuse("weighted", first.found, second.found), first.true)
    assert fused["affect"]["valence"]["ccc"] == expected.valence.ccc
    assert fused["classes"]["accuracy"] >= 0.5
    assert fused["differences"]["mean ccc"]["low"] <= fused["differences"]["mean ccc"]["high"]
    assert report["judged"][0]["differences"] == {}
    back = read_predictions(out / "late_weighted.csv")
    assert back.found.tobytes() == fuse("weighted", first.found, second.found).tobytes()
    assert back.names == ("0", *map(str, range(1, 60)))
    pictures = {path.name for path in out.glob("*.png")}
    assert {"affect_2d.png", "confusion_3d.png", "affect_late_max.png", "confusion_late_weighted.png"} <= pictures
    assert len(pictures) == 12


def test_each_dimension_comes_first_and_pooled_says_what_inflates_it(
    tmp_path: Path, train: Train, capsys: Capture
) -> None:
    first, second = models(60, classes=True)
    assert train("evaluate", "ig3d", "--predictions", *written(tmp_path, first, second), "--bootstrap", "20") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert told.index("each by itself") < told.index("pooled:")
    idle = affect_agreement(first.found, first.true).mean_predictor
    assert "The pooled CCC is inflated" in told
    assert f"scores {idle:.4f} here" in told
    assert "20 resamples" in told
    assert "2D's weight for valence-arousal: 0.6, Ig3D's, chosen there on the pictures that it reports" in told
    assert "2D's weight for classes: 0.8" in told


def test_one_file_is_judged_by_itself(tmp_path: Path, train: Train, capsys: Capture) -> None:
    (file,) = written(tmp_path, models()[0])
    assert train("evaluate", "ig3d", file, "--json") == 0
    report = said(capsys)
    assert [one["role"] for one in report["judged"]] == ["model"]
    assert report["weight"] is None


def test_rules_and_a_weight_can_be_chosen(tmp_path: Path, train: Train, capsys: Capture) -> None:
    first, second = models()
    chosen = ("--fusion", "weighted", "--fusion", "max", "--weight", "0.75")
    assert train("evaluate", "ig3d", "--predictions", *written(tmp_path, first, second), *chosen, "--json") == 0
    report = said(capsys)
    assert [one["role"] for one in report["judged"][2:]] == ["late, max", "late, weighted"]
    expected = affect_agreement(fuse("weighted", first.found, second.found, 0.75), first.true)
    assert report["judged"][-1]["affect"]["pooled"]["mse"] == expected.pooled.mse
    assert report["weight"] == {"value": 0.75, "origin": "given"}


def test_tuning_is_on_other_pictures_and_adds_the_shrunk_baseline(
    tmp_path: Path, train: Train, capsys: Capture
) -> None:
    files = written(tmp_path, *models(300, classes=True))
    validation = written(tmp_path, *models(300, seed=7, classes=True), stem="val")
    assert train("evaluate", "ig3d", "--predictions", *files, "--tune", *validation, "--json") == 0
    report = said(capsys)
    assert report["weight"]["origin"] == "tuned for mean CCC on 300 validation pictures"
    assert report["class_weight"]["origin"] == "tuned for accuracy on 300 validation pictures"
    by_role = {one["role"]: one["affect"] for one in report["judged"]}
    assert by_role["2D recalibrated"]["pooled"]["mse"] < by_role["2D"]["pooled"]["mse"]
    assert train("evaluate", "ig3d", "--predictions", *files, "--tune", *files) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "shares 300 rows" in line


def test_table_7_stands_beside_ours(tmp_path: Path, train: Train, capsys: Capture) -> None:
    first, second = models(100)
    files = written(tmp_path, first, second, second)
    command = ("evaluate", "ig3d", "--table", "7", "--predictions", files[0], files[1], "--midfusion", files[2])
    assert train(*command, "--json") == 0
    report = said(capsys)
    assert report["published"] is True
    cells = {(cell["row"], cell["column"]): cell for cell in report["table"]["beside"]}
    assert all(cell["ours"] is not None for cell in cells.values())
    pooled = affect_agreement((first.found + second.found) / 2, first.true, published=True).pooled
    told = cells["late, mean", "ccc"]
    assert told["ours"] == pooled.ccc
    assert told["difference"] == told["ours"] - told["paper"]
    assert train(*command) == 0
    shown = capsys.readouterr().err
    assert f"{told['difference']:+.4f}" in shown
    assert "each cell: the paper's, ours, ours minus the paper's" in shown


@pytest.mark.parametrize(
    ("number", "row"), [(4, "late, SMIRK, weighted"), (5, "late, SMIRK, mean"), (2, "SMIRK full (358)")]
)
def test_classes_stand_beside_the_papers(number: int, row: str, tmp_path: Path, train: Train, capsys: Capture) -> None:
    """Also of sets that tell classes only, as RAF-DB."""
    pair = [replace(each, found=None, true=None) for each in models(classes=True)]
    files = written(tmp_path, *pair)
    assert train("evaluate", "ig3d", "--predictions", *files, "--table", str(number), "--weight", "0.5", "--json") == 0
    report = said(capsys)
    assert all(judged["affect"] is None for judged in report["judged"])
    (cell,) = (c for c in report["table"]["beside"] if (c["row"], c["column"]) == (row, "accuracy"))
    roles = {judged["role"]: judged["classes"]["accuracy"] for judged in report["judged"]}
    role = "3D" if number == 2 else row.replace("SMIRK, ", "")
    assert cell["ours"] == pytest.approx(roles[role])
    assert train("evaluate", "ig3d", "--predictions", *files, "--table", str(number), "--out", str(tmp_path / "r")) == 0
    assert (tmp_path / "r" / "late_mean.csv").is_file()


@pytest.mark.parametrize("number", range(2, 9))
def test_the_papers_tables_need_no_files(number: int, train: Train, capsys: Capture) -> None:
    assert train("evaluate", "ig3d", "--table", str(number)) == 0
    told = capsys.readouterr().err
    assert f"Table {number}:" in told
    assert "to compute ours:" in told
    if number in (5, 6):
        assert "invalid: their evaluation adds the 3D scores" in told
    if number == 7:
        assert "models/VA/infer_csv" in told
    assert train("evaluate", "ig3d", "--table", str(number), "--json") == 0
    assert said(capsys)["table"]["paper"]["number"] == number


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--out", "x"),
        ("--table", "9"),
        ("--table", "7", "--midfusion", "m.csv"),
        ("a.csv", "b.csv", "c.csv"),
        ("a.csv", "--weight", "0.5"),
        ("a.csv", "b.csv", "--weight", "1.5"),
        ("a.csv", "b.csv", "--weight", "0.5", "--published"),
        ("a.csv", "b.csv", "--fusion", "median"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[str, ...], train: Train) -> None:
    assert train("evaluate", "ig3d", *arguments) == 2


def test_wrong_files_are_one_line(tmp_path: Path, train: Train, capsys: Capture) -> None:
    first, second = models(20)
    files = written(tmp_path, first, second)
    (other,) = written(tmp_path, models(20, seed=5)[0], stem="other")
    for arguments, message in (
        ((str(tmp_path / "none.csv"),), "none.csv: cannot be read"),
        ((files[0], other), "row 1 has the truth"),
        ((*files, "--out", files[0]), "cannot be written"),
    ):
        assert train("evaluate", "ig3d", "--predictions", *arguments) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
        assert message in line


def test_the_help_has_examples(train: Train, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert train("evaluate", "ig3d", "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "--table 7 --predictions cage.csv nofusion.csv --midfusion mid.csv" in told
    assert "they hold AffectNet's labels" in " ".join(told.replace("│", " ").split())


def test_the_order_of_pictures_does_not_matter(tmp_path: Path, train: Train, capsys: Capture) -> None:
    from dataclasses import replace

    reports = []
    for stem, order in (("a", np.arange(60)), ("b", np.random.default_rng(3).permutation(60))):
        shuffled = (replace(m, found=m.found[order], true=m.true[order], extra={}) for m in models(60))
        files = written(tmp_path, *shuffled, stem=stem)
        assert train("evaluate", "ig3d", "--predictions", *files, "--json") == 0
        reports.append(said(capsys)["judged"])
    for one, other in zip(*reports, strict=True):
        assert one["affect"]["mean"] == pytest.approx(other["affect"]["mean"], abs=1e-12)
