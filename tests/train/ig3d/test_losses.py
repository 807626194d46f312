"""Ig3D's losses against their definitions, and against upstream's mistakes where those are asked for."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional import concordance_corrcoef, pearson_corrcoef

from train.ig3d import losses

RANDOM = torch.Generator().manual_seed(0)
FOUND = torch.randn(64, 2, generator=RANDOM)
TRUE = 0.5 * FOUND + 0.3 * torch.randn(64, 2, generator=RANDOM) + torch.tensor([0.1, -0.2])
LOGITS = torch.randn(64, 8, generator=RANDOM)
EMOTION = torch.arange(64) % 8


def test_ccc_and_pcc_are_the_definitions() -> None:
    torch.testing.assert_close(losses.ccc(FOUND, TRUE), concordance_corrcoef(FOUND, TRUE), atol=5e-3, rtol=0)
    torch.testing.assert_close(losses.pcc(FOUND, TRUE), pearson_corrcoef(FOUND, TRUE), atol=1e-5, rtol=0)
    torch.testing.assert_close(losses.ccc(TRUE, TRUE), torch.ones(2), atol=1e-6, rtol=0)


def test_the_published_ccc_shrinks() -> None:
    """With variances of about 0.2, as AffectNet's, upstream's is about a fifth of what it should be."""
    small = TRUE * (0.2**0.5 / TRUE.std(0))
    shrunk = losses.ccc(small, small, published=True)
    torch.testing.assert_close(shrunk, torch.full((2,), 0.2), atol=1e-3, rtol=0)


def test_equation_1_averages_its_parts_with_weights_drawn_for_each_batch() -> None:
    def loss(seed: int, **options: bool) -> float:
        random = torch.Generator().manual_seed(seed)
        return float(losses.equation_1(LOGITS, FOUND, EMOTION, TRUE, random, **options))

    parts = (
        float((FOUND - TRUE).square().mean(0).sum()),
        float(1 - losses.pcc(FOUND, TRUE).mean()),
        float(1 - losses.ccc(FOUND, TRUE).mean()),
    )
    drawn = [loss(seed) - float(F.cross_entropy(LOGITS, EMOTION)) for seed in range(200)]
    assert min(parts) <= min(drawn) < max(drawn) <= max(parts)
    assert np.mean(drawn) == pytest.approx(np.mean(parts), abs=0.05)
    assert loss(1) == loss(1) != loss(1, published=True)


def test_equations_2_and_3() -> None:
    weights = torch.rand(8, generator=torch.Generator().manual_seed(1))
    expected = F.cross_entropy(LOGITS, EMOTION, weights) + 5 * F.mse_loss(FOUND, TRUE)
    torch.testing.assert_close(losses.equation_2(LOGITS, FOUND, EMOTION, TRUE, weights=weights), expected)
    expected = sum(3 * F.mse_loss(FOUND[:, i], TRUE[:, i]) + 1 - losses.ccc(FOUND, TRUE)[i] for i in range(2))
    torch.testing.assert_close(losses.equation_3(FOUND, TRUE), expected)


def test_what_is_not_labelled_is_not_judged() -> None:
    emotion, true = EMOTION.clone(), TRUE.clone()
    emotion[32:], true[32:] = -1, float("nan")
    half = losses.equation_2(LOGITS[:32], FOUND[:32], emotion[:32], true[:32])
    torch.testing.assert_close(losses.equation_2(LOGITS, FOUND, emotion, true), half)
    nothing = torch.full((64,), -1)
    found = FOUND.clone().requires_grad_()
    loss = losses.equation_1(LOGITS, found, nothing, torch.full((64, 2), float("nan")), torch.Generator())
    assert float(loss) == 0
    loss = losses.equation_3(found, torch.full((64, 2), float("nan")))
    loss.backward()
    assert found.grad is not None
    assert float(found.grad.abs().sum()) == 0


def test_attention_is_pushed_apart_and_by_upstream_pulled_together() -> None:
    near, far = (torch.rand(4, 8, 7, 7, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    alike, unlike = [near, near + 0.01], [near, far]
    assert losses.attention_loss(unlike) < losses.attention_loss(alike)
    assert losses.attention_loss(unlike, published=True) > losses.attention_loss(alike, published=True)
    assert float(losses.attention_loss([near])) == 0
