"""How long the default model is trained, on what, and how fast: everything that decides the result but the data."""

from dataclasses import dataclass, field

from train.default.examples import KINDS


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of training at one size of picture. Small pictures teach the same at a fraction of the cost."""

    size: int
    """Side of the pictures, pixels; at the end that which the running program shows the encoders."""
    steps: int
    first_rate: float
    """Learning rate at the start of the stage; it falls to `last_rate` as a cosine."""
    last_rate: float
    frozen: int = 0
    """Blocks of each backbone, from the picture on, that stay as they are, and their statistics too. They see edges and
    corners, which are learnt first, and cost most: with two, 1.9 times as many pictures are seen in the same time."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole training."""

    stages: tuple[Stage, ...] = (Stage(112, 5500, 2e-3, 1e-5),)
    batch: int = 64
    """Pictures of a step, twins included."""
    warm_up: int = 100
    """Steps of the first stage over which the rate rises from zero."""
    weight_decay: float = 0.02
    average: float = 0.998
    """Of the running mean of the weights, which is what is kept."""
    shares: dict[str, float] = field(default_factory=lambda: dict(zip(KINDS, (0.05, 0.4, 0.55), strict=True)))
    """How much of a batch is of which kind: with a fifth synthetic, real faces are learnt more slowly."""
    twins: float = 0.25
    """Share of a batch that is its other pictures seen again, so that answers keep still."""
    seed: int = 0

    @property
    def twin_pictures(self) -> int:
        """Of a batch."""
        return int(self.twins * self.batch)

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def at(self, step: int) -> tuple[Stage, int]:
        """The stage of a step, and the step's number in it."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise ValueError(f"step beyond the recipe's {self.steps}")


CONTINUED = Recipe(
    stages=(Stage(112, 4300, 2e-3, 1.6e-3), Stage(112, 6000, 1.6e-3, 1e-5, frozen=2)),
    shares=dict(zip(KINDS, (0.05, 0.25, 0.7), strict=True)),
)
"""For weights that have been trained before: they know most real pictures by heart, and there are few."""

QUICK = Recipe(stages=(Stage(64, 6, 1e-3, 1e-3), Stage(96, 4, 1e-3, 1e-4)), batch=16, warm_up=4)
"""Shows that everything works, and teaches nothing."""
