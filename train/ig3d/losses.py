"""Ig3D's losses (arXiv 2408.16907, equations 1 to 3) and DDAMFN's attention loss, done right and as published.

Where the published code differs from the paper, `published=True` follows the code, for comparison only:
* its CCC multiplies variances where the definition has standard deviations, which shrinks it about five times;
* its attention loss pulls the heads of the attention together, where DDAMFN (its source) pushes them apart.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

EQ2_WEIGHT, EQ3_WEIGHT = 5.0, 3.0
"""Of the squared error: w1 of equation 2, w2 of equation 3."""
ATTENTION_WEIGHT = 0.1
_TINY = 1e-8


def ccc(found: Tensor, true: Tensor, *, published: bool = False) -> Tensor:
    """Concordance correlation coefficient [K] of columns [B, K], B >= 2 (Lin 1989), sample moments throughout."""
    a, b = found - found.mean(0), true - true.mean(0)
    last = len(found) - 1
    spread, wanted = a.square().sum(0) / last, b.square().sum(0) / last
    together = (a * b).sum(0) / last
    apart = (found.mean(0) - true.mean(0)).square()
    if published:
        correlation = together / (spread * wanted).sqrt().clamp(min=_TINY)
        return 2 * spread * wanted * correlation / (spread + wanted + apart + _TINY)
    return 2 * together / (spread + wanted + apart + _TINY)


def pcc(found: Tensor, true: Tensor) -> Tensor:
    """Pearson's correlation [K] of columns [B, K]; 0 where one does not vary."""
    a, b = found - found.mean(0), true - true.mean(0)
    size = (a.square().sum(0) * b.square().sum(0)).sqrt()
    return (a * b).sum(0) / size.clamp(min=_TINY)


def equation_1(
    logits: Tensor,
    affect: Tensor,
    emotion: Tensor,
    true: Tensor,
    random: torch.Generator,
    *,
    weights: Tensor | None = None,
    published: bool = False,
) -> Tensor:
    """Cross-entropy plus (a MSE + b (1 - PCC) + c (1 - CCC)) / (a + b + c), with a, b, c drawn anew for each batch.

    `logits` [B, C], `affect` and `true` [B, 2], `emotion` [B]. Classes of -1 and NaN affects are not judged.
    """
    shares = torch.rand(3, generator=random).to(affect.device)
    kept = _annotated(true)
    if int(kept.sum()) < 2:
        return _cross_entropy(logits, emotion, weights)
    found, wanted = affect[kept], true[kept]
    parts = torch.stack(
        [
            (found - wanted).square().mean(0).sum(),
            1 - pcc(found, wanted).mean(),
            1 - ccc(found, wanted, published=published).mean(),
        ]
    )
    return _cross_entropy(logits, emotion, weights) + (shares * parts).sum() / shares.sum()


def equation_2(
    logits: Tensor, affect: Tensor, emotion: Tensor, true: Tensor, *, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy, weighed by `weights` [C], plus 5 MSE over both dimensions: the first stage of the regressors."""
    return _cross_entropy(logits, emotion, weights) + EQ2_WEIGHT * squared_error(affect, true)


def equation_3(affect: Tensor, true: Tensor) -> Tensor:
    """Sum over valence and arousal of 3 MSE + (1 - CCC): the second stage of the regressors."""
    kept = _annotated(true)
    found, wanted = affect[kept], true[kept]
    if len(found) < 2:
        return affect.sum() * 0
    return (EQ3_WEIGHT * (found - wanted).square().mean(0) + 1 - ccc(found, wanted)).sum()


def squared_error(affect: Tensor, true: Tensor) -> Tensor:
    """Mean over what is annotated of affects [B, 2]."""
    kept = _annotated(true)
    if not bool(kept.any()):
        return affect.sum() * 0
    return F.mse_loss(affect[kept], true[kept])


def attention_loss(maps: list[Tensor], *, published: bool = False) -> Tensor:
    """DDAMFN's, of the maps [B, ...] of its heads: small when they look at different things; 0 for one head."""
    apart = [F.mse_loss(maps[i], maps[j]) for i in range(len(maps)) for j in range(i + 1, len(maps))]
    if not apart:
        return torch.zeros(())
    total = torch.stack(apart).sum()
    return ATTENTION_WEIGHT * (total / len(apart) if published else len(apart) / (total + _TINY))


def _cross_entropy(logits: Tensor, emotion: Tensor, weights: Tensor | None) -> Tensor:
    if not bool((emotion >= 0).any()):
        return logits.sum() * 0
    return F.cross_entropy(logits, emotion, weights, ignore_index=-1)


def _annotated(true: Tensor) -> Tensor:
    return torch.isfinite(true).all(dim=1)
