"""A training that was cut and resumed is the one that was not, learns, and its weights are what ships."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.open_head import load_open_head
from models.open_smirk import SHRINK, read_open_smirk
from models.spec import CROP_SIZE
from train.default.examples import Examples
from train.default.loop import CHECKPOINT, Progress, Training
from train.default.network import Numbers, Trainee
from train.default.recipe import Recipe, Stage
from train.default.ship import write_weights
from train.errors import TrainingError
from train.synthetic.faces import SyntheticFaces

RECIPE = Recipe(stages=(Stage(64, 3, 1e-3, 5e-4), Stage(96, 2, 5e-4, 1e-4)), batch=8, warm_up=2)


@pytest.fixture(scope="module")
def examples() -> Examples:
    batch = SyntheticFaces(load_open_head(), seed=4).batch(range(12))
    kinds = np.arange(12, dtype=np.uint8) % 3
    return Examples(batch.images, batch.parameters, batch.landmarks, batch.outline[:, :17], kinds)


def train(
    examples: Examples, folder: Path, recipe: Recipe = RECIPE, until: int = 99
) -> tuple[Training, list[Progress]]:
    training = Training(load_open_head(), examples, recipe, folder)
    seen: list[Progress] = []
    training.run(seen.append, lambda: training.step >= until)
    return training, seen


def test_a_resumed_training_is_the_uncut_one(examples: Examples, tmp_path: Path) -> None:
    whole, seen = train(examples, tmp_path / "whole")
    assert [step.size for step in seen] == [64, 64, 64, 96, 96]
    train(examples, tmp_path / "cut", until=2)
    resumed, rest = train(examples, tmp_path / "cut")
    assert [step.step for step in rest] == [3, 4, 5]
    for (name, one), other in zip(
        whole.averaged().state_dict().items(), resumed.averaged().state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")


def test_a_checkpoint_of_another_recipe_is_refused(examples: Examples, tmp_path: Path) -> None:
    train(examples, tmp_path, until=1)
    with pytest.raises(TrainingError, match="another recipe"):
        train(examples, tmp_path, replace(RECIPE, weight_decay=0.5))


def test_the_recipe_ends_at_the_size_that_a_run_shows_the_encoders() -> None:
    assert Recipe().stages[-1].size == CROP_SIZE // SHRINK


def test_weights_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    trainee = Trainee()
    torch.nn.init.constant_(trainee.smirk.pose_encoder.pose_cam_layers[0].bias, 1e6)
    with pytest.raises(TrainingError, match="float16"):
        write_weights(trainee, tmp_path / "weights.safetensors")
    assert not list(tmp_path.iterdir())


def test_frozen_blocks_and_their_statistics_stay(examples: Examples, tmp_path: Path) -> None:
    """And the others learn; a later stage trains all of them again."""
    recipe = Recipe(stages=(Stage(64, 2, 1e-3, 1e-3, frozen=2), Stage(64, 1, 1e-3, 1e-3)), batch=8, warm_up=1)
    started = Training(load_open_head(), examples, recipe, tmp_path).averaged().state_dict()
    training, _ = train(examples, tmp_path, recipe, until=2)
    frozen = ("encoder.conv_stem.", "encoder.bn1.", "encoder.blocks.0.", "encoder.blocks.1.")
    idle = "smirk.shape_encoder.encoder."  # takes no part: it is the other backbone's copy
    after = training.averaged().state_dict()
    for name, tensor in after.items():
        if not name.startswith(idle):
            stays = any(part in name for part in frozen)
            assert torch.equal(tensor, started[name]) == stays, name
    thawed, _ = train(examples, tmp_path, recipe)
    name = "smirk.pose_encoder.encoder.conv_stem.weight"
    assert not torch.equal(thawed.averaged().state_dict()[name], after[name])


def test_it_learns(examples: Examples, tmp_path: Path) -> None:
    recipe = Recipe(stages=(Stage(64, 16, 2e-3, 1e-3),), batch=12, warm_up=2)
    _, seen = train(examples, tmp_path, recipe)
    losses = [step.loss for step in seen]
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_it_starts_from_shipped_weights(examples: Examples, tmp_path: Path) -> None:
    torch.manual_seed(3)
    shipped = Trainee().eval()
    write_weights(shipped, tmp_path / "start.safetensors")
    training = Training(load_open_head(), examples, RECIPE, tmp_path / "work", tmp_path / "start.safetensors")
    for name, tensor in training.averaged().state_dict().items():
        torch.testing.assert_close(tensor, shipped.state_dict()[name], atol=1e-3, rtol=1e-3)


def test_a_damaged_checkpoint_is_refused(examples: Examples, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=CHECKPOINT):
        Training(load_open_head(), examples, RECIPE, tmp_path)


def test_the_shipped_weights_say_the_same(tmp_path: Path) -> None:
    torch.manual_seed(3)
    trainee = Trainee()
    trainee.start_at(torch.full((361,), 0.2))
    path = tmp_path / "weights.safetensors"
    assert write_weights(trainee.eval(), path) < 10_000_000
    pictures = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        expected, found = trainee(F.avg_pool2d(pictures, 2)), Numbers.of(read_open_smirk(path)(pictures))
    for name in ("shape", "pose", "camera"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=5e-3, rtol=5e-3)
    for name in ("expression", "eyelids"):  # bounded where they are used, not where they are trained
        bounded = getattr(expected, name).clamp(0, 1)
        torch.testing.assert_close(getattr(found, name), bounded, atol=5e-3, rtol=5e-3)
