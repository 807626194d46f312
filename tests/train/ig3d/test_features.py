"""Feature files: what is written is read, what is not one is refused, and no picture gets another one's vector."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from models.representation import REPRESENTATIONS
from tests.train.ig3d.test_labelled import made
from train.errors import MediaError, TrainingError
from train.ig3d.features import CONTENT, KEY, Features, Origin, content_of, read_features, write_features

SIZE = REPRESENTATIONS["smirk-full"].size
ORIGIN = Origin("smirk-full", dict(REPRESENTATIONS["smirk-full"].parts), "fake", "abc", "open", "none f32", "whole")


def some(names: tuple[str, ...] = ("a/0.jpg", "a/1.jpg", "b/2.jpg"), lost: tuple[int, ...] = ()) -> Features:
    """Features whose vectors begin with the row's number and a half."""
    vectors = np.zeros((len(names), SIZE), np.float32)
    vectors[:, 0] = np.arange(len(names)) + 0.5
    vectors[:, 3] = 7
    vectors[list(lost)] = 0
    found = np.ones(len(names), bool)
    found[list(lost)] = False
    return Features(ORIGIN, names, vectors, found, np.zeros((len(names), CONTENT), np.uint8))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    before = replace(some(lost=(1,)), unreadable=("a/1.jpg",))
    write_features(before, tmp_path / "deep" / "f.safetensors")
    after = read_features(tmp_path / "deep" / "f.safetensors")
    assert after.origin == before.origin
    assert list(after.origin.parts.items()) == list(REPRESENTATIONS["smirk-full"].parts.items())
    assert after.names == before.names
    assert after.unreadable == before.unreadable
    assert np.array_equal(after.vectors, before.vectors)
    assert after.found.tolist() == [True, False, True]
    first = (tmp_path / "deep" / "f.safetensors").read_bytes()
    write_features(after, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == first


def test_vectors_follow_ids(tmp_path: Path) -> None:
    aligned = some().for_ids(["2", "0"])
    assert aligned.vectors[:, 0].tolist() == [2.5, 0.5]
    assert aligned.names == ("b/2.jpg", "a/0.jpg")


def test_ids_that_are_missing_or_twice_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"4 of 5 pictures have no features \(9, 8, 7, ...\)"):
        some().for_ids(["9", "8", "0", "7", "6"])
    with pytest.raises(TrainingError, match=r"1 pictures are in several folders of the features \(0\)"):
        some(("a/0.jpg", "b/0.jpg")).for_ids(["0"])


def test_faceless_pictures_are_never_used_silently() -> None:
    features = some(lost=(1, 2))
    with pytest.raises(TrainingError, match=r"in 2 of 3 pictures no face was found \(1, 2\)"):
        features.for_ids(["0", "1", "2"])
    assert features.for_ids(["0", "1", "2"], lost="keep").found.tolist() == [True, False, False]
    assert features.for_ids(["0"]).found.all()


def test_a_set_is_aligned_by_folder_where_ids_are_twice(tmp_path: Path) -> None:
    features = some(("train/0.jpg", "val/0.jpg"))
    of_val = made(1, paths=(tmp_path / "val" / "0.jpg",))
    assert features.for_set(of_val, copies=True).vectors[0, 0] == 1.5
    with pytest.raises(TrainingError, match="1 of 1 pictures have no features"):
        features.for_set(made(1, paths=(tmp_path / "test" / "0.jpg",)), copies=True)


def test_features_of_other_pictures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.jpg"
    path.write_bytes(b"one")
    content = np.frombuffer(content_of(b"one"), np.uint8)[None]
    features = replace(some(("0.jpg",)), content=content)
    labelled = made(1, paths=(path,))
    assert len(features.for_set(labelled)) == 1
    path.write_bytes(b"other")
    with pytest.raises(TrainingError, match=r"the features of 0.jpg are of another picture"):
        features.for_set(labelled)
    assert len(features.for_set(labelled, copies=True)) == 1
    path.unlink()
    with pytest.raises(MediaError, match="cannot be read"):
        features.for_set(labelled)


def test_a_model_gets_the_representation_it_expects() -> None:
    features = some()
    features.expect("smirk-full")
    features.expect("smirk-full", "abc")
    with pytest.raises(TrainingError, match="are smirk-full, expected smirk-short"):
        features.expect("smirk-short")
    with pytest.raises(TrainingError, match="expected xyz"):
        features.expect("smirk-full", "xyz")
    shuffled = dict(reversed(ORIGIN.parts.items()))
    with pytest.raises(TrainingError, match="are smirk-full"):
        replace(features, origin=replace(ORIGIN, parts=shuffled)).expect("smirk-full")


def test_a_short_representation_is_cut_by_name() -> None:
    features = some()
    shuffled = replace(ORIGIN, parts=dict(reversed(ORIGIN.parts.items())))
    backwards = np.concatenate([features.vectors[:, ORIGIN_PLACES[part]] for part in shuffled.parts], axis=1)
    for full in (features, replace(features, origin=shuffled, vectors=backwards)):
        short = full.cut_to("smirk-short")
        short.expect("smirk-short")
        assert short.vectors.shape == (3, 353)
        assert np.array_equal(short.vectors, features.vectors[:, :353])
    with pytest.raises(TrainingError, match="emoca-short cannot be cut"):
        features.cut_to("emoca-short")
    with pytest.raises(TrainingError, match="smirk-full cannot be cut"):
        features.cut_to("smirk-short").cut_to("smirk-full")


ORIGIN_PLACES = REPRESENTATIONS["smirk-full"].places


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"vectors": np.zeros((3, 5), np.float32)}, r"vectors is float32 \(3, 5\)"),
        ({"vectors": np.zeros((3, SIZE))}, "vectors is float64"),
        ({"found": np.zeros(3, bool)}, "not zero where no face was found"),
        ({"names": ("a", "a", "b")}, "more than once"),
        ({"content": np.zeros((3, 2), np.uint8)}, "content is"),
    ],
)
def test_features_that_do_not_fit_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(some(), **changed)


def tampered(path: Path, tensors: dict[str, Any] | None = None, **about: object) -> Path:
    """A feature file in which something is another."""
    write_features(some(), path)
    held = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        text = json.loads(file.metadata()[KEY])
    safetensors.numpy.save_file(held | (tensors or {}), path, {KEY: json.dumps(text | about)})
    return path


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": 2}, "of format 2, expected 1"),
        ({"representation": "other"}, "representation other"),
        ({"images": ["a", "b"]}, "no feature file"),
        ({"parts": [["pose", 3]]}, "no feature file"),
        ({"tensors": {"found": np.full(3, 2, np.uint8)}}, "neither 0 nor 1"),
        ({"tensors": {"vectors": np.full((3, SIZE), np.nan, np.float32)}}, "not finite"),
    ],
)
def test_a_file_that_is_tampered_with_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = tampered(tmp_path / "f.safetensors", **changed)
    with pytest.raises(TrainingError, match=message) as raised:
        read_features(path)
    assert str(raised.value).startswith(str(path))


def test_what_is_no_feature_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    with pytest.raises(TrainingError, match="cannot be read"):
        read_features(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(TrainingError, match="no feature file"):
        read_features(path)
    safetensors.numpy.save_file({"weights": np.zeros(3, np.float32)}, path)
    with pytest.raises(TrainingError, match="no feature file"):
        read_features(path)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        write_features(some(), tmp_path / "file" / "f.safetensors")
