"""Which examples a step of the training learns from: each kind's share, and of a kind the faces that do much."""

import numpy as np
import numpy.typing as npt

from models.spec import FloatArray
from train.default.examples import KINDS, Examples
from train.default.losses import LEAST_SPREAD
from train.synthetic.parameters import PLACES

Indices = npt.NDArray[np.int64]


class Choice:
    """Draws examples, the same ones for the same step."""

    def __init__(self, examples: Examples, shares: dict[str, float], seed: int) -> None:
        """`shares` of a step, by kind; those of kinds without examples go to the others."""
        self._seed = seed
        self._kinds = [np.flatnonzero(examples.kinds == kind) for kind in range(len(KINDS))]
        there = [len(kind) > 0 for kind in self._kinds]
        wanted = np.where(there, [shares[name] for name in KINDS], 0)
        self._shares = wanted / wanted.sum()
        self._chances = [chances(examples.parameters[kind][:, PLACES["expression"]]) for kind in self._kinds]

    def __call__(self, step: int, count: int) -> Indices:
        """The `count` examples of a step."""
        random = np.random.default_rng((self._seed, step))
        counts = random.multinomial(count, self._shares)
        chosen = [
            random.choice(kind, number, p=of_each)
            for kind, of_each, number in zip(self._kinds, self._chances, counts, strict=True)
            if number
        ]
        return random.permutation(np.concatenate(chosen))  # the first get twins, and should be of every kind


def chances(actions: FloatArray) -> npt.NDArray[np.float64]:
    """How often each of N faces that do `actions` [N, K] is chosen [N]: the more it does that others do not, the more.

    Most faces do little, and a network that learns from them alone says less than there is to see.
    """
    if len(actions) == 0:
        return np.zeros(0)
    off = (actions - actions.mean(axis=0, dtype=np.float64)) / np.maximum(actions.std(axis=0), LEAST_SPREAD)
    amount = np.sqrt((off**2).mean(axis=1)) + 1e-3
    return np.asarray(amount / amount.sum())
