"""Making features: in one go or in pieces, and what is in the way."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.geometry import crop_faces
from tests.train.ig3d.test_features import ORIGIN
from train.errors import MediaError, TrainingError
from train.ig3d.encoders import kind_of
from train.ig3d.extract import Extraction, list_pictures, whole_picture
from train.ig3d.features import content_of, read_features
from train.ig3d.part_file import Job, PartFile


class Fake:
    """Gives the crops' mean colour as the head's pose, and 1 everywhere else."""

    model_hash, basis = "abc", "open"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        self.batches.append(len(crops))
        parts = {name: np.ones((len(crops), size), np.float32) for name, size in ORIGIN.parts.items()}
        return parts | {"pose": crops.mean(axis=(2, 3))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine pictures of one colour each, in two folders; something that is none."""
    for number in range(9):
        path = tmp_path / "pictures" / ("ab"[number % 2]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number * 20 + 5, 0, 255)).save(path)
    (tmp_path / "pictures" / "readme.txt").touch()
    return tmp_path / "pictures"


def bright(rgb: np.ndarray) -> np.ndarray | None:
    """The whole picture; a dark red one has no face."""
    return None if rgb[0, 0, 0] < 30 else whole_picture(rgb)


def extraction(folder: Path, out: Path) -> Extraction:
    return Extraction(Job(folder, list_pictures(folder), ORIGIN, out), Fake(), bright)


def after(count: int) -> Callable[[], bool]:
    """Stops when asked for the `count`-th time."""
    left = [count]

    def stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    return stop


def test_every_picture_has_its_vector(folder: Path, tmp_path: Path) -> None:
    work = extraction(folder, tmp_path / "f.safetensors")
    done: list[int] = []
    made = work.run(batch=4, report=done.append)
    assert made is not None
    names = ("a/0.png", "a/2.png", "a/4.png", "a/6.png", "a/8.png", "b/1.png", "b/3.png", "b/5.png", "b/7.png")
    assert made.names == names
    red = [int(Path(name).stem) * 20 + 5 for name in names]
    assert made.found.tolist() == [value >= 30 for value in red]
    assert np.allclose(made.vectors[:, 0] * 255, [value if value >= 30 else 0 for value in red], atol=1.1)
    assert (made.vectors[made.found, 3:] == 1).all()
    assert made.content[1].tobytes() == content_of((folder / "a" / "2.png").read_bytes())
    assert done == [0, 4, 8, 9]
    assert isinstance(work.encoder, Fake)
    assert work.encoder.batches == [3, 3, 1]  # one of the two without a face in each of the first
    assert np.array_equal(read_features(tmp_path / "f.safetensors").vectors, made.vectors)
    assert not (tmp_path / "f.safetensors.part").exists()


@pytest.mark.parametrize("torn", [0, 5])
def test_pieces_make_the_same_bytes(folder: Path, tmp_path: Path, torn: int) -> None:
    extraction(folder, tmp_path / "whole.safetensors").run(batch=2)
    out = tmp_path / "pieces.safetensors"
    assert extraction(folder, out).run(batch=2, stop=after(2)) is None
    part = tmp_path / "pieces.safetensors.part"
    with part.open("ab") as file:
        file.write(b"\x01" * torn)  # what the power cut left of a record
    assert PartFile(extraction(folder, out).job).count == 4
    assert extraction(folder, out).run(batch=3, stop=after(1)) is None
    work = extraction(folder, out)
    assert work.run(batch=2) is not None
    assert isinstance(work.encoder, Fake)
    assert sum(work.encoder.batches) == 2
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_features_that_are_there_are_left_as_they_are(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.safetensors"
    extraction(folder, out).run(batch=4)
    before = out.stat().st_mtime_ns
    work = extraction(folder, out)
    assert work.run(batch=4) is not None
    assert isinstance(work.encoder, Fake)
    assert work.encoder.batches == []
    assert out.stat().st_mtime_ns == before
    other = replace(work, job=replace(work.job, origin=replace(ORIGIN, model_hash="xyz")))
    with pytest.raises(TrainingError, match=r"another model_hash \(abc, expected xyz\)"):
        other.run(batch=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda job: replace(job, origin=replace(ORIGIN, encoder="x")), r"another encoder \(fake, expected x\)"),
        (lambda job: replace(job, origin=replace(ORIGIN, crop="x")), r"another crop \(whole, expected x\)"),
        (
            lambda job: replace(job, origin=replace(ORIGIN, parts=dict(reversed(ORIGIN.parts.items())))),
            "another parts",
        ),
        (lambda job: replace(job, names=job.names[:-1]), r"another list of pictures \(9, expected 8\)"),
        (
            lambda job: replace(job, names=("a/0.png", "x.png", *job.names[2:])),
            r"pictures \(9, a/2.png among them, expected 9\)",
        ),
    ],
)
def test_what_another_job_began_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[Job], Job], message: str
) -> None:
    work = extraction(folder, tmp_path / "f.safetensors")
    assert work.run(batch=2, stop=after(1)) is None
    before = (tmp_path / "f.safetensors.part").read_bytes()
    with pytest.raises(TrainingError, match=message):
        replace(work, job=change(work.job)).run(batch=2)
    assert (tmp_path / "f.safetensors.part").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"something else\n", b"[1]\n", b'{"version": 1}\n', b"\xff\n"])
def test_a_part_file_that_is_none_is_refused(folder: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.safetensors.part").write_bytes(content)
    with pytest.raises(TrainingError, match="not the beginning of a feature file"):
        extraction(folder, tmp_path / "f.safetensors").run(batch=2)
    assert (tmp_path / "f.safetensors.part").read_bytes() == content


def test_a_part_file_of_too_much_is_refused(folder: Path, tmp_path: Path) -> None:
    work = extraction(folder, tmp_path / "f.safetensors")
    assert work.run(batch=2, stop=after(1)) is None
    with (tmp_path / "f.safetensors.part").open("ab") as file:
        file.write(bytes(40_000))
    with pytest.raises(TrainingError, match="more records than pictures"):
        work.run(batch=2)


def test_what_cannot_be_read_is_named_and_counted(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "a" / "4.png").read_bytes()
    (folder / "a" / "4.png").write_bytes(whole[:50])
    (folder / "b" / "5.png").write_bytes(b"no picture")
    work = extraction(folder, tmp_path / "f.safetensors")
    with pytest.raises(MediaError, match=r"a/4.png: no picture can be read"):
        work.run(batch=4, strict=True)
    made = work.run(batch=4)
    assert made is not None
    assert made.unreadable == ("a/4.png", "b/5.png")
    assert made.found.sum() == 5
    assert not made.vectors[[2, 7]].any()
    assert not made.content[[2, 7]].any()
    assert read_features(tmp_path / "f.safetensors").unreadable == made.unreadable


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such folder"):
        list_pictures(tmp_path / "none")
    with pytest.raises(MediaError, match="no pictures in it"):
        list_pictures(tmp_path)


def test_a_whole_picture_of_the_crops_size_is_cut_as_it_is() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    crop = crop_faces(rgb, whole_picture(rgb)[None])[0]
    assert np.array_equal(crop, rgb.transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def test_an_encoder_or_representation_that_is_not_there_is_refused() -> None:
    assert kind_of("smirk", "smirk-short")[1] == "smirk-short"
    with pytest.raises(TrainingError, match="encoder other: expected one of smirk-open, smirk, emoca"):
        kind_of("other", "smirk-full")
    with pytest.raises(TrainingError, match="encoder smirk gives smirk-full and smirk-short"):
        kind_of("smirk", "emoca-full")
