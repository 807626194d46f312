"""What happens to crops while they are learnt from: other framing, light, colour, sharpness, and things in the way.

Everything is drawn for each picture by itself, on whole batches. Framing moves the targets with the pixels.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.flame import rotation_matrices
from models.head_pose import axis_angle
from models.spec import CROP_SIZE
from train.default.examples import Examples
from train.synthetic.parameters import PLACES

SCALE, SHIFT = 0.06, 0.03
"""Half the range of the crop's side, and of its place in normalised units: a little more than landmarks jitter."""
ROLL, MOST_ROLL = 0.2, 0.55
"""Spread and limit of the turn within the picture, radians: portraits hold their heads straighter than clips do."""
SIDE_LIGHT = 0.35
"""Spread of how much light grows from the middle of a crop to its edge, logarithmic."""
HIDDEN, HANDS, PATCH, NOISE = 0.15, 0.18, 0.06, 0.3
"""Shares of pictures that something is in front of, that a hand is, that a patch hides a part of, that are noisy."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step learns from."""

    pictures: Tensor  # [B, 3, size, size] RGB 0..1
    parameters: Tensor  # [B, 361]
    points: Tensor  # [B, 105, 2]
    outline: Tensor  # [B, 17, 2]
    kinds: Tensor  # [B] places in train.default.examples.KINDS


@dataclass(frozen=True, slots=True)
class Framing:
    """How pictures are framed anew: normalised places n of SMIRK's crop become zoom * turn @ n + shift."""

    zoom: Tensor  # [B, 1]
    shift: Tensor  # [B, 2]
    roll: Tensor  # [B] radians, anticlockwise as seen

    @property
    def turn(self) -> Tensor:
        """Rotation [B, 2, 2] of places whose second number counts downwards."""
        cosine, sine = self.roll.cos(), self.roll.sin()
        return torch.stack([cosine, sine, -sine, cosine], dim=1).reshape(-1, 2, 2)

    def places(self, points: Tensor) -> Tensor:
        """Where points [B, N, 2] come to lie."""
        return self.zoom[:, None] * points @ self.turn.transpose(1, 2) + self.shift[:, None]


def plain(examples: Examples, size: int) -> Batch:
    """Examples as they are."""
    return Batch(_shrunk(_pictures(examples), size), *_targets(examples))


def shrunk(examples: Examples, size: int, at_once: int = 256) -> Examples:
    """Examples with pictures of side `size`, all in memory: what every step needs is done once."""
    images = np.empty((len(examples), size, size, 3), np.uint8)
    for start in range(0, len(examples), at_once):
        some = examples.pick(np.arange(start, min(start + at_once, len(examples))))
        small = _shrunk(_pictures(some), size).mul(255).round().byte()
        images[start : start + len(some)] = small.permute(0, 2, 3, 1).numpy()
    return replace(examples, images=images)


def augmented(examples: Examples, size: int, random: torch.Generator, roots: Tensor) -> Batch:
    """Examples as cameras might have shown them; `roots` [B, 3]: the joints their heads turn about, metres."""
    pictures = _shrunk(_pictures(examples), size)
    parameters, points, outline, kinds = _targets(examples)
    count = len(pictures)
    framing = Framing(
        1 + SCALE * uniform(random, count, 1),
        SHIFT * uniform(random, count, 2),
        (ROLL * torch.randn(count, generator=random)).clamp(-MOST_ROLL, MOST_ROLL),
    )
    pictures = _handled(_hidden(reframed(pictures, framing), random), random)
    seen = _noisy(_lit(_blurred(pictures, random), random), random)
    return Batch(
        seen, reframed_parameters(parameters, framing, roots), framing.places(points), framing.places(outline), kinds
    )


def reframed_parameters(parameters: Tensor, framing: Framing, roots: Tensor) -> Tensor:
    """Parameters [B, 361] of the same faces framed anew.

    Only eyelids do not turn with the head: SMIRK adds their offsets after posing.
    """
    parameters = parameters.clone()
    across = torch.zeros(len(parameters), 3)
    across[:, 2] = framing.roll
    turned = rotation_matrices(across).double() @ rotation_matrices(parameters[:, PLACES["pose"]]).double()
    parameters[:, PLACES["pose"]] = torch.from_numpy(axis_angle(turned.numpy()).astype(np.float32))
    camera = parameters[:, PLACES["camera"]]
    scale = camera[:, :1] * framing.zoom
    # A posed point is R (v - J) + J, seen shifted by t: turned about the axis of view, t + J turns while J stays.
    up = torch.tensor([1.0, -1.0])  # normalised places count downwards, the head's upwards
    middle = (camera[:, 1:] + roots[:, :2]) * up
    shift = (framing.turn @ middle[:, :, None])[:, :, 0] * up - roots[:, :2] + framing.shift * up / scale
    parameters[:, PLACES["camera"]] = torch.cat([scale, shift], dim=1)
    return parameters


def _pictures(examples: Examples) -> Tensor:
    return torch.from_numpy(examples.images).permute(0, 3, 1, 2).float() / 255


def _targets(examples: Examples) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.from_numpy(examples.parameters),
        torch.from_numpy(examples.points),
        torch.from_numpy(examples.outline),
        torch.from_numpy(examples.kinds.astype(np.int64)),
    )


def _shrunk(pictures: Tensor, size: int) -> Tensor:
    if pictures.shape[-1] == size:
        return pictures
    if pictures.shape[-1] == 2 * size:
        return F.avg_pool2d(pictures, 2)
    return F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)


def reframed(pictures: Tensor, framing: Framing) -> Tensor:
    """The pictures [B, 3, S, S] as framed anew."""
    half = 1 / CROP_SIZE  # torch's -1 is the crop's edge, SMIRK's the middle of its first pixel
    back = framing.turn.transpose(1, 2) / framing.zoom[:, :, None]
    start = half - back @ (framing.shift + half)[:, :, None]
    grid = F.affine_grid(torch.cat([back, start], dim=2), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False)


def _hidden(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Puts a round piece of another picture in front of some, as hands, hair and other heads come before faces."""
    count, _, size, _ = pictures.shape
    chosen = _chance(random, count, HIDDEN)
    others = pictures[torch.randperm(count, generator=random)][chosen]
    number = int(chosen.sum())
    middle, radius = 1.1 * uniform(random, 2, number), 0.2 + 0.35 * torch.rand(2, number, generator=random)
    line = torch.linspace(-1, 1, size)
    x, y = ((line - middle[axis, :, None]) / radius[axis, :, None] for axis in (0, 1))
    inside = (x[:, None, :] ** 2 + y[:, :, None] ** 2 < 1)[:, None]
    pictures = pictures.clone()
    pictures[chosen] = torch.where(inside, others.flip(2), pictures[chosen])
    return pictures


def _handled(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Puts a hand in front of some: fingers side by side of the person's own colour, each rounded by its shading."""
    chosen = _chance(random, len(pictures), HANDS)
    number, size = int(chosen.sum()), pictures.shape[-1]
    line = torch.linspace(-1, 1, size)
    place = torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]  # [1, 2, S, S]
    turn = (torch.pi * uniform(random, number))[:, None, None]
    tip = 0.8 * uniform(random, number, 2)[:, :, None, None]
    x, y = (place - tip).unbind(1)
    across, along = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    width = (0.08 + 0.12 * torch.rand(number, generator=random))[:, None, None]  # of a finger, of half a crop
    fingers = torch.randint(1, 5, (number,), generator=random)[:, None, None]
    finger = (across / width).round().clamp(-((fingers - 1) // 2), fingers // 2)
    from_axis = (across / width - finger) * 2  # -1..1 over a finger
    length = along + 0.12 * (finger * 2.4).sin() - width * (1 - (1 - from_axis.square()).clamp(min=0).sqrt())
    inside = ((from_axis.abs() < 1) & (length > 0))[:, None]
    middle = pictures[chosen][:, :, size // 3 : -size // 3, size // 3 : -size // 3].mean(dim=(2, 3), keepdim=True)
    bright = (0.6 + 0.7 * torch.rand(number, 1, 1, 1, generator=random)) * (1 - 0.3 * from_axis.square()[:, None])
    pictures = pictures.clone()
    pictures[chosen] = torch.where(inside, (middle * bright).clamp(0, 1), pictures[chosen])
    return pictures


def _blurred(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Some pictures as from further away, or of a poor lens."""
    size = pictures.shape[-1]
    low = int(size / (1.5 + 1.7 * float(torch.rand(1, generator=random))))
    some = _chance(random, len(pictures), 0.2)
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
    pictures = (pictures - mean) * each(0.7, 1.3) + mean * each(0.6, 1.3)
    pictures = pictures * _from_a_side(count, pictures.shape[-1], random)
    pictures = pictures * each(0.94, 1.06, 3)
    return pictures.clamp(1e-4, 1).pow(each(0.8, 1.25))


def _from_a_side(count: int, size: int, random: torch.Generator) -> Tensor:
    """How light falls on faces [count, 1, size, size] that are lit from some side: portraits are lit from the front."""
    strength, turn = SIDE_LIGHT * torch.randn(count, generator=random), torch.pi * torch.rand(count, generator=random)
    line = torch.linspace(-1, 1, size)
    slopes = (strength * turn.cos())[:, None, None] * line + (strength * turn.sin())[:, None, None] * line[:, None]
    return slopes.clamp(-1, 1).exp()[:, None]


def _noisy(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Sensor noise, and now and then a patch that hides something."""
    count, _, size, _ = pictures.shape
    strength = (0.03 * torch.rand(count, generator=random)).mul(_chance(random, count, NOISE))[:, None, None, None]
    noise = torch.randn(count, 1, size, size, generator=random)
    pictures = (pictures + strength * noise).clamp(0, 1)
    for number in _chance(random, count, PATCH).nonzero()[:, 0].tolist():
        sides = (size * (0.08 + 0.27 * torch.rand(2, generator=random))).int().tolist()
        top, left = (int((size - side) * float(torch.rand(1, generator=random))) for side in sides)
        colour = torch.rand(3, 1, 1, generator=random)
        pictures[number, :, top : top + sides[0], left : left + sides[1]] = colour
    return pictures


def uniform(random: torch.Generator, *shape: int) -> Tensor:
    """Numbers from -1 to 1."""
    return 2 * torch.rand(*shape, generator=random) - 1


def _chance(random: torch.Generator, count: int, share: float) -> Tensor:
    return torch.rand(count, generator=random) < share
