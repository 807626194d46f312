"""The eight emotion classes: their names, their order, and the orders that data sets and published weights have."""

from collections.abc import Sequence

EMOTIONS: tuple[str, ...] = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
)
"""AffectNet's classes in AffectNet's order: index = label. The first seven are AffectNet-7's, and DDAMFN's order."""

RAF_DB: tuple[str, ...] = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""RAF-DB's classes in its own order: index = official label - 1. DDAMFN's published RAF-DB weights do not follow it."""

EMOTIEFF: tuple[str, ...] = (
    "anger",
    "contempt",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
)
"""The order of EmotiEffLib's networks: alphabetical."""


def places(names: Sequence[str], among: Sequence[str]) -> list[int]:
    """Where each of `names` is in `among`: what to index an axis in the order of `among` with, to have it in `names`'.

    Raises ValueError for a name that is not there.
    """
    missing = [name for name in names if name not in among]
    if missing:
        raise ValueError(f"emotion {missing[0]} is not among {', '.join(among)}")
    return [among.index(name) for name in names]
