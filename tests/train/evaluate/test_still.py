"""A picture shown to a bad camera, and how calm a model stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.flame import HeadLayer
from models.head import HeadModel
from train.evaluate.report import Section
from train.evaluate.still import NOISE, SHIFT, judge_still, mesh_in_frame, shown
from train.real.media import split_of

Make = Callable[..., Any]
FRAMES = 12


def test_every_frame_has_its_own_noise_and_a_small_shift_and_is_the_same_again() -> None:
    picture = np.full((96, 96, 3), 120, np.uint8)
    frames, shifts = zip(*shown(picture, 3, 8), strict=True)
    again, _ = zip(*shown(picture, 3, 8), strict=True)
    assert np.array_equal(frames, again)
    assert not np.array_equal(frames[0], frames[1])
    assert np.abs(shifts).max() <= SHIFT
    assert np.std(shifts) > 0.05
    assert 0.2 * NOISE < np.std(np.stack(frames)[:, 8:-8, 8:-8].astype(float)) < 1.5 * NOISE  # JPEG takes some away


def test_the_shift_goes_where_it_says() -> None:
    ramp = np.tile(np.linspace(0, 240, 96), (96, 1))[..., None].repeat(3, axis=2).round().astype(np.uint8)
    for frame, (right, _) in shown(ramp, 0, 6):
        darker = (ramp.astype(float) - frame)[20:-20, 20:-20].mean()  # moved right, the ramp is darker everywhere
        assert darker == pytest.approx(right * 240 / 95, abs=0.2)  # JPEG rounds


def portraits_in(folder: Path, count: int) -> None:
    (folder / "congress").mkdir()
    names = [f"P{i:06d}" for i in range(400) if split_of(f"P{i:06d}") == "held_out"][:count]
    for name in names:
        Image.new("RGB", (200, 160), (120, 110, 100)).save(folder / "congress" / f"{name}.jpg")


def test_a_calm_model_is_better_than_a_trembling_one(
    tmp_path: Path, bench_of: Make, faces_of: Make, params_of: Make, saying: Make
) -> None:
    portraits_in(tmp_path, 1)
    random = np.random.default_rng(0)
    seen = [faces_of(np.zeros((1, 3)), np.full((1, 52), 0.2))] * FRAMES

    def tremble(size: float) -> Make:
        def say(batch: Any) -> Any:  # noqa: ANN401
            poses = random.normal(scale=np.radians(size), size=(len(batch), 3))
            return params_of(poses, 0.4 + random.normal(scale=size / 10, size=(len(batch), 52)))

        return saying(say)

    sections: list[Section] = [
        judge_still(bench_of(seen, tremble(mine), tremble(other)), tmp_path, people=1, frames=FRAMES)
        for mine, other in ((0.1, 1.0), (1.0, 0.1))
    ]
    assert [figure.met for figure in sections[0].figures] == [True] * 5
    assert [figure.met for figure in sections[1].figures][:3] == [False] * 3
    degrees = {figure.what: figure.model for figure in sections[1].figures}["jitter of degrees"]
    assert degrees == pytest.approx(np.sqrt(3), rel=0.5)


def test_the_mesh_moves_with_its_crop(head: HeadModel, params_of: Make) -> None:
    params = params_of(np.zeros((2, 3)), np.zeros((2, 52)))
    boxes = np.array([[100, 90, 80], [105, 88, 80]], np.float32)
    places = mesh_in_frame(head, HeadLayer(head), params, boxes)
    assert places.shape == (2, len(head.regions["face"]), 2)
    np.testing.assert_allclose(places[1] - places[0], np.broadcast_to([5, -2], places[0].shape), atol=1e-3)
