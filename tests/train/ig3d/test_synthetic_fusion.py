"""The whole way on faces that anybody may have: made, read in 3D, trained on, fused, predicted, judged.

What must hold is Ig3D's claim, done right: a late fusion whose weight was chosen on other people is at least as good as
the better of its branches on people that nothing was chosen by.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.train.conftest import Train
from train.ig3d.bootstrap import Plan, bootstrap_affect, bootstrap_affect_difference
from train.ig3d.metrics import affect_agreement
from train.ig3d.predictions import Predictions, read_predictions

CHANCE = 0.01
"""CCC that two equally good predictors may differ by on so few faces, either way."""


def groups(folder: Path, predictions: Predictions) -> np.ndarray:
    """Whose face each row is: annotations.csv knows."""
    lines = [line.split(",") for line in (folder / "test" / "annotations.csv").read_text().splitlines()]
    person = {line[0]: line[lines[0].index("person")] for line in lines[1:]}
    assert predictions.names is not None
    return np.array([person[name] for name in predictions.names])


@pytest.mark.timeout(900)
def test_a_tuned_late_fusion_is_as_good_as_its_better_branch(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stills, clips = ("--people", "170", "--pictures", "4"), ("--clips", "60", "--frames", "8")
    size = ("--size", "112", "--no-occluders")
    assert train("synthetic", "labelled", "--out", "faces", *stills, *clips, *size) == 0
    assert train("features", "faces", "--whole", "--out", "faces.safetensors") == 0
    features = ("--features", "faces.safetensors")
    assert train("ig3d", "train", "faces", "--kind", "2d", "--out", "2d.safetensors") == 0
    assert train("ig3d", "train", "faces", "--kind", "3d", *features, "--out", "3d.safetensors") == 0
    heads, weighed = ("2d.safetensors", "3d.safetensors"), ("--split", "val", "--out", "late.safetensors")
    capsys.readouterr()
    assert train("ig3d", "fuse", *heads, "faces", *features, *weighed, "--json") == 0
    shares = json.loads(capsys.readouterr().out)
    assert 0 <= shares["affect"]["weight"] <= 1
    said = {}
    for kind in ("2d", "3d", "late"):
        out = f"{kind}.csv"
        assert train("ig3d", "predict", f"{kind}.safetensors", "faces", "--split", "test", *features, "--out", out) == 0
        said[kind] = read_predictions(Path(out))
    ccc = {kind: affect_agreement(each.found, each.true).mean.ccc for kind, each in said.items()}
    best = max(("2d", "3d"), key=lambda kind: ccc[kind])
    assert ccc[best] > 0.15, "neither branch has learnt anything"
    assert ccc["late"] > ccc[best] - CHANCE, ccc
    plan = Plan(repeats=500, groups=groups(Path("faces"), said["late"]))
    late, true = said["late"].found, said["late"].true
    interval = bootstrap_affect(late, true, plan)["mean ccc"]
    assert interval.low < ccc["late"] < interval.high
    gain = bootstrap_affect_difference(late, said[best].found, true, plan)["mean ccc"]
    assert gain.high > 0, "the fusion is worse than its better branch"
    assert np.isfinite([gain.low, gain.high]).all()
    assert train("evaluate", "ig3d", "--predictions", "2d.csv", "3d.csv", "--out", "report", "--bootstrap", "200") == 0
    assert (Path("report") / "report.json").is_file()
