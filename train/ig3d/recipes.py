"""How each kind of network is trained: Ig3D's published recipes (arXiv 2408.16907), CAGE's and DDAMFN's, and ours.

The published ones keep what upstream meant; what its code does by mistake (steps taken twice, schedules reset by a
loss, optimisers that hold half of the network) is left out. Every recipe chooses its epoch on a validation split.
"""

from dataclasses import dataclass, replace
from typing import Literal

from train.errors import TrainingError
from train.ig3d.balance import Balance

LossName = Literal["equation 1", "equation 2", "equation 3", "cross-entropy"]
Schedule = Literal["cyclic", "exponential", "cosine", "constant"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training but the network and the data."""

    loss: LossName
    batch: int
    epochs: int
    balance: Balance
    rate: float
    """Learning rate: the highest of the schedule."""
    least_rate: float = 0.0
    """The lowest, of cyclic and cosine; the factor per epoch, of exponential."""
    schedule: Schedule = "cyclic"
    cycle: int | None = None
    """Steps up of a cycle; as many down. None: half an epoch, so that an epoch is a cycle."""
    weight_decay: float = 0.01
    weighted: bool = False
    """Whether the cross-entropy weighs classes by their inverse frequency."""
    mask: float = 0.0
    """Chance that some of a part's coefficients are zeroed in training; never in validation, as upstream does."""
    attention: bool = False
    """Whether DDAMFN's attention loss is added."""
    flip: bool = True
    """Whether pictures are mirrored, shifted and lit anew in training."""
    published: bool = False
    """Losses as upstream's code has them, see train.ig3d.losses."""

    @property
    def measure(self) -> Literal["accuracy", "ccc"]:
        """By which the best epoch is chosen on the validation split."""
        return "ccc" if self.loss in ("equation 2", "equation 3") else "accuracy"


_SLOW, _QUICK = (1e-4, 1e-6), (5e-4, 1e-5)
"""Highest and lowest rates of the cyclic schedules."""
RECIPES: dict[str, Recipe] = {
    # Classes, and valence-arousal beside them, from 3D parameters alone: the 4x2048 MLP.
    "affectnet-3d": Recipe("equation 1", 64, 100, "drawn", *_SLOW),
    "affectnet-3d-masked": Recipe("equation 1", 256, 80, "drawn", *_SLOW, mask=0.1),
    "rafdb-3d": Recipe("cross-entropy", 32, 200, "drawn", *_SLOW, weight_decay=1e-5),
    # Valence-arousal from 3D parameters, in two stages.
    "va-3d-combined": Recipe("equation 2", 64, 20, "none", *_QUICK, cycle=2241, weighted=True),
    "va-3d": Recipe("equation 3", 64, 20, "drawn once", *_QUICK, cycle=2241),
    # Pictures alone.
    "affectnet-ddamfn": Recipe(
        "cross-entropy", 256, 40, "drawn", 1e-4, 0.6, "exponential", weight_decay=0.0, attention=True
    ),
    "cage-combined": Recipe("equation 2", 128, 20, "none", 4e-5, 0.0, "cosine", weighted=True),
    "cage-va": Recipe("equation 3", 128, 20, "smallest", 4e-5, 0.0, "cosine"),
    # Intermediate fusion, every part trained.
    "affectnet-fusion": Recipe("equation 1", 64, 80, "drawn", *_SLOW, cycle=2241, mask=0.1, attention=True),
    "rafdb-fusion": Recipe("cross-entropy", 64, 80, "drawn", *_SLOW, cycle=2241, mask=0.1, attention=True),
    "va-fusion-combined": Recipe("equation 2", 64, 20, "smallest", *_QUICK, cycle=234, weighted=True),
    "va-fusion": Recipe("equation 3", 64, 20, "smallest", *_QUICK, cycle=234),
    # Ours, for small sets and two cores: classes and valence-arousal together.
    "small-2d": Recipe("equation 1", 32, 14, "drawn", 2e-3, 2e-5, "cosine", weight_decay=0.02),
    "small-3d": Recipe("equation 1", 32, 10, "drawn", 4e-4, 1e-5, "cosine", weight_decay=0.05, mask=0.1),
}
"""By name. Learning rates of the cyclic ones rise from the lowest to the highest and fall again."""


def recipe(name: str, *, epochs: int | None = None, batch: int | None = None, published: bool = False) -> Recipe:
    """A recipe, with what a user changes of it. Raises TrainingError for a name that is none."""
    if name not in RECIPES:
        raise TrainingError(f"recipe {name}: expected one of {', '.join(RECIPES)}")
    chosen = RECIPES[name]
    return replace(chosen, epochs=epochs or chosen.epochs, batch=batch or chosen.batch, published=published)
