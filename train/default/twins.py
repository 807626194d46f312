"""Twins: some pictures of a batch seen again by a camera that hardly moved. What is said of them must not move either.

What a model is off by is mostly the same from frame to frame; what one sees is the part that is not. It is small beside
the rest of the loss, so it is asked for by itself: the errors of a picture and of its twin are to be equal.
"""

from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from train.default.augment import Batch, Framing, reframed, reframed_parameters, uniform
from train.default.network import Numbers, camera_error

ZOOM, SHIFT, NOISE = 0.01, 0.008, 0.015
"""Half the range of the crop's side and of its place in normalised units, and spread of the noise, of 1: what a sensor,
a codec and landmarks that tremble do to a face that keeps still."""
CALM = {"expression": 0.02, "eyelids": 0.03, "jaw": 0.005, "pose": 0.01, "camera": 0.005}
"""Changes that are small: of actions, radians, share of the scale and normalised units."""


def with_twins(batch: Batch, number: int, random: torch.Generator, roots: Tensor) -> Batch:
    """A batch with twins of its first `number` pictures behind; `roots` [B, 3] as for `augmented`."""
    first = Batch(*(getattr(batch, part.name)[:number] for part in fields(Batch)))
    framing = Framing(
        1 + ZOOM * uniform(random, number, 1),
        SHIFT * uniform(random, number, 2),
        torch.zeros(number),
    )
    noise = NOISE * torch.randn(first.pictures.shape, generator=random)
    second = replace(
        first,
        pictures=(reframed(first.pictures, framing) + noise).clamp(0, 1),
        parameters=reframed_parameters(first.parameters, framing, roots[:number]),
        points=framing.places(first.points),
        outline=framing.places(first.outline),
    )
    return Batch(*(torch.cat([getattr(batch, part.name), getattr(second, part.name)]) for part in fields(Batch)))


def unrest(found: Numbers, known: Numbers, number: int) -> Tensor:
    """How much the last `number` errors differ from the first, in small changes; 0 without twins."""
    if number == 0:
        return found.pose.new_zeros(())
    parts = []
    for name, small in CALM.items():
        one, other = getattr(found, name), getattr(known, name)
        error = camera_error(one, other) if name == "camera" else one - other
        moved = (error[-number:] - error[:number]) / small
        parts.append(F.smooth_l1_loss(moved, torch.zeros_like(moved)))
    return torch.stack(parts).mean()
