"""Trains one Ig3D network, an epoch at a time, keeps the epoch that is best on the validation split, and can go on.

`checkpoint.pt` in the run's folder holds everything an epoch depends on: a training cut in pieces is the one that was
not. The test set is never looked at here; upstream chooses its epochs on it.
"""

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.affect_network import AffectOutput
from models.ddamfn import Ddamfn
from models.ig3d import Ig3dNetwork, write_head
from models.representation import REPRESENTATIONS
from train.errors import TrainingError
from train.ig3d import losses
from train.ig3d.balance import class_weights, draw
from train.ig3d.predict import measured
from train.ig3d.recipes import Recipe
from train.ig3d.samples import Batch, Samples, masked

CHECKPOINT, HISTORY, BEST = "checkpoint.pt", "history.json", "best.safetensors"
LARGEST_GRADIENT = 5.0


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to."""

    number: int
    of: int
    loss: float
    """Mean over its steps."""
    measure: float
    """Of the validation split: accuracy, or the mean CCC of valence and arousal."""
    best: bool


class Training:
    """A training and where it stands."""

    def __init__(
        self,
        network: Ig3dNetwork,
        recipe: Recipe,
        train: Samples,
        validation: Samples,
        folder: Path,
        *,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        """Goes on from the checkpoint in `folder`, if there is one. Raises TrainingError."""
        self.recipe, self.epoch = recipe, 0
        self.history: list[dict[str, float]] = []
        self._network, self._train, self._validation = network, train, validation
        self.folder = folder
        self._seed, self._workers = seed, workers
        if min(len(train), len(validation)) < 2:
            raise TrainingError(
                f"{len(train)} examples to train on and {len(validation)} to choose by; expected two or more of each, "
                "give a larger set or another --validation"
            )
        classes = len(network.design.labels)
        self._classes = classes
        if network.design.representation is not None and not bool(network.mean.any()):
            # Else it is a head of the stage before, whose scale is kept.
            network.standardise(torch.from_numpy(train.vectors))
        weights = class_weights(train.labelled.emotion, classes) if recipe.weighted else None
        self._weights = None if weights is None else torch.from_numpy(weights)
        learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._learnt = learnt
        self._optimiser = torch.optim.AdamW(learnt, lr=recipe.rate, weight_decay=recipe.weight_decay)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).exists():
            self._resume(folder / CHECKPOINT)

    def run(self, report: Callable[[Epoch], None], stop: Callable[[], bool] = lambda: False) -> float:
        """Trains to the last epoch, or until `stop()`; the best measure. The best network is in BEST."""
        while self.epoch < self.recipe.epochs and not stop():
            loss = self._one_epoch()
            measure = measured(self._network, self._validation, self.recipe.measure)
            best = measure > max((past["measure"] for past in self.history), default=-np.inf)
            self.epoch += 1
            self.history.append({"epoch": self.epoch, "loss": loss, "measure": measure})
            if best:
                write_head(self._network, self.folder / BEST)
            self._save()
            report(Epoch(self.epoch, self.recipe.epochs, loss, measure, best))
        return max((past["measure"] for past in self.history), default=float("nan"))

    def _one_epoch(self) -> float:
        recipe, random = self.recipe, torch.Generator().manual_seed(1_000_003 * self._seed + self.epoch)
        torch.manual_seed(7_919 * self._seed + self.epoch)  # of dropout
        order = draw(self._train.labelled.emotion, self._classes, recipe.balance, self._seed, self.epoch)
        steps = -(-len(order) // recipe.batch)
        self._network.train()
        total, count = 0.0, 0
        varied = random if recipe.flip else None
        for step, batch in enumerate(self._train.batches(order, recipe.batch, random=varied, workers=self._workers)):
            for group in self._optimiser.param_groups:
                group["lr"] = rate(recipe, self.epoch, step, steps)
            loss = self._loss(batch, random)
            if not bool(torch.isfinite(loss)):
                raise TrainingError(f"epoch {self.epoch + 1}, step {step + 1}: the loss is {loss.item()}; train slower")
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._learnt, LARGEST_GRADIENT)
            self._optimiser.step()
            total, count = total + loss.item(), count + 1
        return total / max(count, 1)

    def _loss(self, batch: Batch, random: torch.Generator) -> Tensor:
        vectors = batch.vectors
        representation = self._network.design.representation
        if representation is not None:
            vectors = masked(vectors, REPRESENTATIONS[representation], self.recipe.mask, random)
        with attention_of(self._network) as maps:
            said = self._network.branches(batch.pictures, vectors)
            parts = [self._of_branch(branch, batch, random) for branch in said]
            if self.recipe.attention:
                parts.append(losses.attention_loss(maps, published=self.recipe.published))
        return torch.stack(parts).sum()

    def _of_branch(self, said: AffectOutput, batch: Batch, random: torch.Generator) -> Tensor:
        recipe, logits = self.recipe, said.logits
        assert logits is not None
        if said.affect is None or recipe.loss == "cross-entropy":
            return nn.functional.cross_entropy(logits, batch.emotion, self._weights, ignore_index=-1)
        if recipe.loss == "equation 3":
            return losses.equation_3(said.affect, batch.affect)
        if recipe.loss == "equation 2":
            return losses.equation_2(logits, said.affect, batch.emotion, batch.affect, weights=self._weights)
        return losses.equation_1(
            logits, said.affect, batch.emotion, batch.affect, random, weights=self._weights, published=recipe.published
        )

    def _about(self) -> dict[str, Any]:
        design = asdict(replace(self._network.design))
        return {"recipe": asdict(self.recipe), "design": design, "seed": self._seed, "examples": len(self._train)}

    def _save(self) -> None:
        path = self.folder / CHECKPOINT
        draft = path.with_name(path.name + ".draft")
        state = {
            "about": json.dumps(self._about()),
            "epoch": self.epoch,
            "history": self.history,
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        try:
            torch.save(state, draft)
            draft.replace(path)
            (self.folder / HISTORY).write_text(json.dumps(self._about() | {"epochs": self.history}, indent=1) + "\n")
        except (OSError, RuntimeError) as error:
            raise TrainingError(f"{path}: cannot be written ({error}); free the disk or give another --work") from error

    def _resume(self, path: Path) -> None:
        try:
            state = torch.load(path, weights_only=True)
            about = state["about"]
            if about != json.dumps(self._about()):
                raise TrainingError(f"{path}: of another training (recipe, network or data); give another --work")
            self._network.load_state_dict(state["network"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.epoch, self.history = int(state["epoch"]), list(state["history"])
        except (OSError, RuntimeError, LookupError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise TrainingError(
                f"{path}: not a checkpoint of this training ({error}); remove it to begin anew"
            ) from error


def rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Learning rate of a step of an epoch of `steps`."""
    done = epoch * steps + step
    match recipe.schedule:
        case "constant":
            return recipe.rate
        case "exponential":
            return recipe.rate * recipe.least_rate**epoch
        case "cosine":
            share = 0.5 * (1 + np.cos(np.pi * done / (steps * recipe.epochs)))
        case "cyclic":
            half = recipe.cycle or max(1, steps // 2)
            share = 1 - abs((done % (2 * half)) / half - 1)
    return float(recipe.least_rate + (recipe.rate - recipe.least_rate) * share)


@contextmanager
def attention_of(network: Ig3dNetwork) -> Iterator[list[Tensor]]:
    """The attention maps [B, 512, 7, 7] of DDAMFN's heads, of the calls within the block; none of other networks."""
    maps: list[Tensor] = []
    picture = network.picture
    heads = list(picture.net.named_children()) if isinstance(picture, Ddamfn) else []
    hooks = [
        head.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
        for name, head in heads
        if name.startswith("cat_head")
    ]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()
