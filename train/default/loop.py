"""Trains the default model, a step at a time, and can go on where it stopped.

`checkpoint.pt` holds everything a step depends on, so that a training cut in pieces is the one that was not; examples
and augmentations of a step follow from its number alone.
"""

import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.checkpoint import load_strict
from models.head import HeadModel
from models.spec import CROP_SIZE
from train.default.augment import augmented, shrunk
from train.default.choice import Choice
from train.default.examples import KINDS, Examples
from train.default.losses import Losses
from train.default.network import Trainee
from train.default.recipe import Recipe, Stage
from train.default.twins import with_twins
from train.errors import TrainingError
from train.synthetic.parameters import PLACES

CHECKPOINT = "checkpoint.pt"
SAVE_EVERY = 200
"""Steps."""
LARGEST_GRADIENT = 5.0
ENOUGH = 4096
"""Examples that tell of all: their mean, and how much each action varies."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step came to."""

    step: int
    of: int
    size: int
    rate: float
    loss: float
    parts: dict[str, float]


class Training:
    """A training of the default model and where it stands."""

    def __init__(
        self, head: HeadModel, examples: Examples, recipe: Recipe, folder: Path, start: Path | None = None
    ) -> None:
        """Goes on from the checkpoint in `folder`; else from the weights `start`, as they ship; else from nothing.

        Raises TrainingError or CheckpointError.
        """
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.step = 0
        self._examples = examples
        self._shown, self._shown_size = examples, CROP_SIZE
        self._choice = Choice(examples, recipe.shares, recipe.seed)
        self._folder = folder
        self._network = Trainee()
        some = torch.from_numpy(np.array(examples.parameters[:: max(1, len(examples) // ENOUGH)]))
        if start is None:
            self._network.start_at(some.mean(0))
        else:
            load_strict(self._network.smirk, start, halved=True)
        self._network.to(memory_format=torch.channels_last)
        self._mean = {name: value.clone() for name, value in self._network.state_dict().items()}
        self._losses = Losses(head, torch.stack([self._spread(kind) for kind in range(len(KINDS))]))
        self._optimiser = torch.optim.AdamW(self._network.trained(), weight_decay=recipe.weight_decay, fused=True)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).exists():
            self._resume(folder / CHECKPOINT)

    def run(self, report: Callable[[Progress], None], stop: Callable[[], bool] = lambda: False) -> None:
        """Trains to the recipe's end, or until `stop()`; saves now and then, and at the end."""
        while self.step < self.recipe.steps and not stop():
            report(self._advance())
            if self.step % SAVE_EVERY == 0:
                self.save()
        self.save()

    def averaged(self) -> Trainee:
        """The network of the weights' running mean, ready to be used."""
        network = Trainee()
        network.load_state_dict(self._mean)
        return network.eval()

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all. Raises TrainingError."""
        path = self._folder / CHECKPOINT
        draft = path.with_suffix(".draft")
        try:
            torch.save(self._state(), draft)
            draft.replace(path)
        except (OSError, RuntimeError) as error:
            raise TrainingError(f"{path}: cannot be written ({error}); free the disk or give another --out") from error

    def _advance(self) -> Progress:
        stage, number = self.recipe.at(self.step)
        random = torch.Generator().manual_seed(1_000_003 * self.recipe.seed + self.step)
        rate = self._rate(stage, number)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._network.train_beyond(stage.frozen)
        examples = self._at(stage.size).pick(self._choice(self.step, self.recipe.batch - self.recipe.twin_pictures))
        roots = self._losses.roots(torch.from_numpy(examples.parameters))
        batch = augmented(examples, stage.size, random, roots)
        batch = with_twins(batch, self.recipe.twin_pictures, random, roots)
        found = self._network(batch.pictures.contiguous(memory_format=torch.channels_last))
        loss = self._losses(found, batch, self.recipe.twin_pictures)
        if not bool(torch.isfinite(loss.total)):
            raise TrainingError(f"step {self.step}: the loss is {loss.total.item()}; lower the rate of the recipe")
        self._optimiser.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._network.trained(), LARGEST_GRADIENT)
        self._optimiser.step()
        self.step += 1
        self._keep_mean()
        return Progress(self.step, self.recipe.steps, stage.size, rate, loss.total.item(), loss.parts)

    def _at(self, size: int) -> Examples:
        """The examples, with pictures of a stage's size."""
        if size != self._shown_size:
            self._shown, self._shown_size = shrunk(self._examples, size), size
        return self._shown

    def _spread(self, kind: int) -> torch.Tensor:
        """Standard deviation [50] of each action over the examples of a kind; 0 for a kind without examples."""
        all_of = np.flatnonzero(self._examples.kinds == kind)
        some = all_of[:: max(1, len(all_of) // ENOUGH)]
        actions = self._examples.parameters[some][:, PLACES["expression"]]
        return torch.from_numpy(actions.std(axis=0) if len(some) else np.zeros(actions.shape[1], np.float32))

    def _rate(self, stage: Stage, number: int) -> float:
        fall = 0.5 * (1 + np.cos(np.pi * number / stage.steps))
        rate = stage.last_rate + (stage.first_rate - stage.last_rate) * fall
        return float(rate * min(1.0, (self.step + 1) / self.recipe.warm_up))

    @torch.no_grad()
    def _keep_mean(self) -> None:
        """The running mean of the weights; short at first, so that the random start is soon forgotten."""
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        for name, value in self._network.state_dict().items():
            if value.is_floating_point():
                self._mean[name].lerp_(value, 1 - keep)
            else:
                self._mean[name].copy_(value)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "recipe": asdict(self.recipe),
            "network": self._network.state_dict(),
            "mean": self._mean,
            "optimiser": self._optimiser.state_dict(),
        }

    def _resume(self, path: Path) -> None:
        try:
            state = torch.load(path, weights_only=True)
            recipe = state["recipe"]
            self._network.load_state_dict(state["network"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._mean = state["mean"]
            self.step = int(state["step"])
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise TrainingError(
                f"{path}: not a checkpoint of this training ({error}); remove it to begin anew"
            ) from error
        if recipe != asdict(self.recipe):
            raise TrainingError(
                f"{path}: of another recipe; give --start if it began with it, or remove it, or give another --work"
            )
