"""Pictures and vectors of a labelled set, in batches: read as they are needed, since AffectNet fits no memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pictures
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from models.representation import Representation
from models.spec import CROP_SIZE
from train.ig3d.features import Features
from train.ig3d.labelled import LabelledSet
from train.real.media import read_picture

SHIFT, LIGHT = 0.08, 0.2
"""Half the range by which pictures are moved, in half sides, and by which their light and contrast change."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step sees of B examples. Pictures or vectors are empty where the network reads none."""

    pictures: Tensor  # [B, 3, 224, 224] RGB 0..1
    vectors: Tensor  # [B, D]
    emotion: Tensor  # [B] places in EMOTIONS, -1 where not labelled
    affect: Tensor  # [B, 2] NaN where not annotated


class Samples(Dataset[tuple[Tensor, Tensor]]):
    """The examples of a set whose faces were found, as far as vectors are read."""

    def __init__(self, labelled: LabelledSet, features: Features | None, *, pictures: bool) -> None:
        """`features` aligned to the set, of the same length; None for networks that read pictures alone."""
        self._pictures = pictures
        self.without_face = 0
        self._vectors = np.zeros((len(labelled), 0), np.float32)
        if features is not None:
            # Upstream trains and judges on zeros where no face was found; here such pictures are left out, of every
            # network alike, and counted.
            self.without_face = int((~features.found).sum())
            labelled = labelled.subset(np.flatnonzero(features.found))
            self._vectors = features.vectors[features.found]
        self.labelled = labelled

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Picture [224, 224, 3] uint8, or nothing, and vector [D]."""
        vector = torch.from_numpy(self._vectors[index])
        if not self._pictures:
            return torch.zeros(0, dtype=torch.uint8), vector
        return torch.from_numpy(sized(read_picture(self.labelled.paths[index]))), vector

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """All vectors [N, D]."""
        return self._vectors

    def batches(
        self, order: npt.NDArray[np.int64], size: int, *, random: torch.Generator | None = None, workers: int = 0
    ) -> Iterator[Batch]:
        """The examples of `order`, `size` at a time; with `random` pictures are moved, mirrored and lit anew.

        A batch of one, of which no batch norm and no correlation can be had, is joined to none: it is left out when
        training.
        """
        loader = DataLoader(self, batch_size=size, sampler=order.tolist(), num_workers=workers)
        emotion, affect = self.labelled.emotion, self.labelled.affect
        for start, (pictures, vectors) in zip(range(0, len(order), size), loader, strict=True):
            rows = order[start : start + size]
            if random is not None and len(rows) < 2:
                return
            if self._pictures:
                pictures = pictures.permute(0, 3, 1, 2).float() / 255
                pictures = pictures if random is None else varied(pictures, random)
            yield Batch(pictures, vectors, torch.from_numpy(emotion[rows]), torch.from_numpy(affect[rows]))


def sized(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture [H, W, 3] at the crops' size, 224: AffectNet's already are, RAF-DB's and small synthetic ones grow."""
    if rgb.shape[:2] == (CROP_SIZE, CROP_SIZE):
        return rgb
    resized = Pictures.fromarray(rgb).resize((CROP_SIZE, CROP_SIZE), Pictures.Resampling.BILINEAR)
    return np.array(resized)


def varied(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Pictures [B, 3, S, S] moved a little, half of them mirrored, in other light. Neither changes what is shown."""
    count = len(pictures)

    def each(spread: float, channels: int = 1) -> Tensor:
        return spread * (2 * torch.rand(count, channels, generator=random) - 1)

    mirrored = 1 - 2 * (torch.rand(count, generator=random) < 0.5).float()
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = mirrored * (1 + each(SHIFT)[:, 0]), 1 + each(SHIFT)[:, 0]
    matrix[:, :, 2] = each(SHIFT, 2)
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    mean = moved.mean(dim=(1, 2, 3), keepdim=True)
    light, contrast = 1 + each(LIGHT)[:, :, None, None], 1 + each(LIGHT)[:, :, None, None]
    return ((moved - mean) * contrast + mean * light).clamp(0, 1)


def masked(vectors: Tensor, representation: Representation, chance: float, random: torch.Generator) -> Tensor:
    """Vectors [B, D] in which each part, with a chance, has some or all of its numbers zeroed, as upstream does."""
    if chance == 0:
        return vectors
    kept = torch.ones_like(vectors)
    for place in representation.places.values():
        size = place.stop - place.start
        hit = torch.rand(len(vectors), 1, generator=random) < chance
        share = torch.randint(1, size + 1, (len(vectors), 1), generator=random) / size
        gone = torch.rand(len(vectors), size, generator=random) < share
        kept[:, place] = 1 - (hit & gone).float()
    return vectors * kept
