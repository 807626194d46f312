"""The labelled set of nobody: repeatable, true, read as AffectNet is, and never written over anything."""

import itertools
import json
import signal
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.emotion import EMOTIONS
from models.heads import CIRCUMPLEX
from tests.train.conftest import Train
from train.errors import TrainingError
from train.ig3d import drawing
from train.ig3d.affectnet import read_affectnet
from train.ig3d.drawing import Design
from train.ig3d.synthetic import SPLITS, plan, write_labelled

DESIGN = Design(people=4, pictures=8, clips=3, frames=12, seed=6, size=64, occluders=False)
OPTIONS = (
    *("--people", "4", "--pictures", "8", "--clips", "3", "--frames", "12", "--seed", "6", "--size", "64"),
    "--no-occluders",
)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled") / "set"
    write_labelled(folder, DESIGN, 1, lambda made, of: None)
    return folder


def test_the_set_reads_as_affectnet(made: Path) -> None:
    sets = {split: read_affectnet(made, split) for split in SPLITS}
    counts = json.loads((made / "about.json").read_text())["counts"]
    assert sum(len(found) for found in sets.values()) == 4 * 8 + 3 * 12
    for split, found in sets.items():
        assert counts[split]["pictures"] == len(found)
        assert counts[split]["classes"] == found.class_counts
        assert counts[split]["clips"] == 1
        still = np.isnan(found.time_s)
        assert np.bincount(found.emotion[still], minlength=8).tolist() == [still.sum() // 8] * 8
        assert np.allclose(found.time_s[~still], np.arange(12) / 25)
        assert len({found.group[row] for row in np.flatnonzero(~still)}) == 1
    people = [set(found.group) for found in sets.values()]
    assert len(set().union(*people)) == sum(map(len, people)) == 7  # nobody is in two splits
    numbers = [int(name) for found in sets.values() for name in found.ids]
    assert sorted(numbers) == list(range(68))
    with Image.open(sets["train"].paths[0]) as picture:
        assert picture.size == (64, 64)


def test_labels_lie_where_people_place_the_emotions(made: Path) -> None:
    found = read_affectnet(made, "train")
    still = np.isnan(found.time_s)
    for place, emotion in enumerate(EMOTIONS):
        affect = found.affect[still & (found.emotion == place)].mean(axis=0)
        expected = np.array(CIRCUMPLEX.get(emotion, (0, 0)))
        assert np.linalg.norm(affect - 0.72 * expected) < 0.35  # the mean intensity, and two pictures
    assert (found.affect[still & (found.emotion == 1)] > 0).all()
    assert (found.affect[still & (found.emotion == 2), 0] < 0).all()


def test_annotators_err_by_as_much_as_they_are_told(tmp_path: Path, made: Path) -> None:
    def errors(folder: Path) -> np.ndarray:
        rows = [line.split(",") for line in (folder / "train" / "annotations.csv").read_text().splitlines()[1:]]
        return np.array([[float(row[2]) - float(row[8]), float(row[3]) - float(row[9])] for row in rows])

    assert 0.02 < errors(made).std() < 0.12
    exact = Design(people=3, pictures=2, clips=0, seed=6, size=32, label_noise=0)
    write_labelled(tmp_path / "exact", exact, 1, lambda made, of: None)
    assert (errors(tmp_path / "exact") == 0).all()


def test_a_clip_is_one_person_who_moves(made: Path) -> None:
    found = read_affectnet(made, "test")
    frames: dict[tuple[str, bool], list[np.ndarray]] = defaultdict(list)
    for row, path in enumerate(found.paths):
        with Image.open(path) as picture:
            frames[found.group[row], bool(np.isnan(found.time_s[row]))].append(np.asarray(picture, np.float32))
    within: dict[bool, list[float]] = {True: [], False: []}
    for (_, still), pictures in frames.items():
        within[still] += [np.abs(a - b).mean() for a, b in itertools.pairwise(pictures)]
    assert 0 < np.mean(within[False]) < np.mean(within[True]) / 3
    assert min(within[False]) > 0


def test_two_processes_make_the_same_set(made: Path, tmp_path: Path, train: Train) -> None:
    assert train("synthetic", "labelled", "--out", str(tmp_path / "set"), *OPTIONS, "--processes", "2") == 0
    assert content(tmp_path / "set") == content(made)
    assert not (tmp_path / "set.part").exists()


def test_a_stopped_set_goes_on(made: Path, tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    work = drawing._work

    def stopping(task: drawing.Task) -> int:
        if task.person == 3:
            raise KeyboardInterrupt
        return work(task)

    command = ("synthetic", "labelled", "--out", str(tmp_path / "set"), *OPTIONS, "--processes", "1")
    monkeypatch.setattr(drawing, "_work", stopping)
    assert train(*command) == 130
    assert not (tmp_path / "set").exists()
    begun = {name: data for name, data in content(tmp_path / "set.part").items() if name.endswith(".jpg")}
    assert len(begun) == 3 * 8
    monkeypatch.setattr(drawing, "_work", lambda task: work(task) if task.person >= 3 else pytest.fail("made again"))
    assert train(*command) == 0
    assert content(tmp_path / "set") == content(made)


def test_a_whole_set_is_left_as_it_is(made: Path, train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    before = (made / "about.json").stat().st_mtime_ns
    assert train("synthetic", "labelled", "--out", str(made), *OPTIONS, "--json") == 0
    assert json.loads(capsys.readouterr().out)["counts"]["train"]["pictures"] > 0
    assert (made / "about.json").stat().st_mtime_ns == before


def test_another_set_is_not_written_over(made: Path, train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(made)
    assert train("synthetic", "labelled", "--out", str(made), *OPTIONS, "--label-noise", "0.2") == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "another set is there (label_noise 0.05, not 0.2)" in error
    assert content(made) == before


def test_something_else_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(TrainingError, match="holds something else"):
        write_labelled(tmp_path, DESIGN, 1, lambda made, of: None)
    (tmp_path / "about.json").write_text("[]")
    with pytest.raises(TrainingError, match="holds something else"):
        write_labelled(tmp_path, DESIGN, 1, lambda made, of: None)


def test_a_set_of_nothing_is_refused(tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)  # ignored where a shell has started the tests in the background
    assert train("synthetic", "labelled", "--out", str(tmp_path / "set"), "--people", "0", "--clips", "0") == 1
    assert "without pictures" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_splits_have_their_shares(tmp_path: Path) -> None:
    tasks = plan(Design(people=200, clips=20), tmp_path)
    for split, share in SPLITS.items():
        mine = [task for task in tasks if task.split == split]
        assert sum(task.clip is None for task in mine) == round(200 * share)
        assert sum(task.clip is not None for task in mine) == round(20 * share)
    assert [task.first for task in tasks[:3]] == [0, 8, 16]
    assert {task.split for task in plan(Design(people=3, clips=0), tmp_path)} == set(SPLITS)
    assert {task.split for task in plan(Design(people=1, clips=0), tmp_path)} == {"train"}
