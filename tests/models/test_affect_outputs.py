"""A network's outputs come out in one order, whatever its own is."""

import pytest
import torch

from models.affect_outputs import OutputLayout
from models.emotion import EMOTIEFF, EMOTIONS, RAF_DB


def numbers(size: int) -> torch.Tensor:
    return torch.arange(2.0 * size).reshape(2, size)


def test_the_order_of_emotions_is_kept_as_it_is() -> None:
    layout = OutputLayout(affect="valence-arousal")
    logits, affect = layout.read(numbers(10))
    assert layout.size == 10
    assert logits is not None
    assert affect is not None
    assert torch.equal(logits, numbers(10)[:, :8])
    assert torch.equal(affect, numbers(10)[:, 8:])


@pytest.mark.parametrize("labels", [EMOTIEFF, RAF_DB, ("fear", "neutral")])
def test_another_order_is_undone(labels: tuple[str, ...]) -> None:
    layout = OutputLayout(labels)
    logits, affect = layout.read(numbers(len(labels)))
    assert affect is None
    assert logits is not None
    assert [labels[int(column)] for column in logits[0]] == [e for e in EMOTIONS if e in labels]
    assert layout.emotions == tuple(labels[int(column)] for column in logits[0])


def test_valence_comes_first_always() -> None:
    layout = OutputLayout(affect="arousal-valence")
    affect = layout.read(numbers(10)).affect
    assert affect is not None
    assert affect[0].tolist() == [9, 8]


def test_outputs_that_nobody_reads() -> None:
    layout = OutputLayout(RAF_DB, spare=3)
    assert layout.size == 10
    logits, affect = layout.read(numbers(10))
    assert logits is not None
    assert sorted(logits[0].tolist()) == list(range(7))
    assert affect is None


def test_valence_and_arousal_alone() -> None:
    logits, affect = OutputLayout((), "valence-arousal").read(numbers(2))
    assert logits is None
    assert affect is not None
    assert torch.equal(affect, numbers(2))


@pytest.mark.parametrize(
    ("labels", "said"), [(("joy",), "joy is not among"), (("fear", "fear"), "twice"), ((), "says nothing")]
)
def test_a_layout_that_cannot_be(labels: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OutputLayout(labels)
