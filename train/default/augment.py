"""What happens to crops while they are learnt from: other framing, light, colour, sharpness, and things in the way.

Everything is drawn for each picture by itself, on whole batches. Framing moves the targets with the pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from train.default.examples import Examples
from train.synthetic.parameters import PLACES

SCALE, SHIFT = 0.06, 0.03
"""Half the range of the crop's side, and of its place in normalised units: a little more than landmarks jitter."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step learns from."""

    pictures: Tensor  # [B, 3, size, size] RGB 0..1
    parameters: Tensor  # [B, 361]
    points: Tensor  # [B, 105, 2]
    outline: Tensor  # [B, 17, 2]


def plain(examples: Examples, size: int) -> Batch:
    """Examples as they are."""
    pictures = torch.from_numpy(examples.images).permute(0, 3, 1, 2).float() / 255
    return Batch(_shrunk(pictures, size), *_targets(examples))


def augmented(examples: Examples, size: int, random: torch.Generator) -> Batch:
    """Examples as cameras might have shown them."""
    pictures = _shrunk(torch.from_numpy(examples.images).permute(0, 3, 1, 2).float() / 255, size)
    parameters, points, outline = _targets(examples)
    zoom = 1 + SCALE * _uniform(random, len(pictures), 1)
    shift = SHIFT * _uniform(random, len(pictures), 2)
    pictures = _reframed(pictures, zoom, shift)
    points, outline = (target * zoom[:, None] + shift[:, None] for target in (points, outline))
    parameters = parameters.clone()
    parameters[:, PLACES["camera"]] = _moved(parameters[:, PLACES["camera"]], zoom, shift)
    return Batch(_noisy(_lit(_blurred(pictures, random), random), random), parameters, points, outline)


def _targets(examples: Examples) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.from_numpy(examples.parameters),
        torch.from_numpy(examples.points),
        torch.from_numpy(examples.outline),
    )


def _shrunk(pictures: Tensor, size: int) -> Tensor:
    if pictures.shape[-1] == size:
        return pictures
    if pictures.shape[-1] == 2 * size:
        return F.avg_pool2d(pictures, 2)
    return F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)


def _reframed(pictures: Tensor, zoom: Tensor, shift: Tensor) -> Tensor:
    """Normalised places n become zoom * n + shift."""
    matrix = torch.zeros(len(pictures), 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / zoom[:, 0]
    matrix[:, :, 2] = -shift / zoom
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False)


def _moved(camera: Tensor, zoom: Tensor, shift: Tensor) -> Tensor:
    """The camera [B, 3] of a crop whose normalised places n became zoom * n + shift."""
    scale = camera[:, :1] * zoom
    return torch.cat([scale, camera[:, 1:2] + shift[:, :1] / scale, camera[:, 2:] - shift[:, 1:] / scale], dim=1)


def _blurred(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Some pictures as from further away, or of a poor lens."""
    size = pictures.shape[-1]
    low = int(size / (1.5 + 1.7 * float(torch.rand(1, generator=random))))
    some = _chance(random, len(pictures), 0.15)
    coarse = F.interpolate(pictures[some], (low, low), mode="bilinear", antialias=True)
    pictures = pictures.clone()
    pictures[some] = F.interpolate(coarse, (size, size), mode="bilinear")
    return pictures


def _lit(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Exposure, contrast, gamma, a colour cast; grey pictures tinted like skin, others made grey."""
    count = len(pictures)

    def each(low: float, high: float, channels: int = 1) -> Tensor:
        return (low + (high - low) * torch.rand(count, channels, generator=random))[:, :, None, None]

    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    grey = (pictures[:, 0] - pictures[:, 2]).abs().mean(dim=(1, 2)) < 0.01
    tinted = (grey & _chance(random, count, 0.7))[:, None, None, None]
    tint = torch.cat([each(0.95, 1.2), each(0.8, 1.0), each(0.6, 0.95)], dim=1)
    faded = _chance(random, count, 0.15)[:, None, None, None]
    pictures = torch.where(faded, pictures.mean(dim=1, keepdim=True), pictures)
    pictures = torch.where(tinted, pictures * tint, pictures)
    pictures = (pictures - mean) * each(0.8, 1.25) + mean * each(0.75, 1.25)
    pictures = pictures * each(0.94, 1.06, 3)
    return pictures.clamp(1e-4, 1).pow(each(0.85, 1.2))


def _noisy(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Sensor noise, and now and then a patch that hides something."""
    count, _, size, _ = pictures.shape
    strength = (0.03 * torch.rand(count, generator=random)).mul(_chance(random, count, 0.3))[:, None, None, None]
    noise = torch.randn(count, 1, size, size, generator=random)
    pictures = (pictures + strength * noise).clamp(0, 1)
    for number in _chance(random, count, 0.12).nonzero()[:, 0].tolist():
        sides = (size * (0.08 + 0.27 * torch.rand(2, generator=random))).int().tolist()
        top, left = (int((size - side) * float(torch.rand(1, generator=random))) for side in sides)
        colour = torch.rand(3, 1, 1, generator=random)
        pictures[number, :, top : top + sides[0], left : left + sides[1]] = colour
    return pictures


def _uniform(random: torch.Generator, *shape: int) -> Tensor:
    return 2 * torch.rand(*shape, generator=random) - 1


def _chance(random: torch.Generator, count: int, share: float) -> Tensor:
    return torch.rand(count, generator=random) < share
