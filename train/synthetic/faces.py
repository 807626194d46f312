"""A data set without end: faces of the open head as bad cameras see them, with the parameters they were made of.

seed, index ── parameters ── posed head ── crop's camera ── picture of head and scene ── lens ── image
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import IterableDataset, get_worker_info

from models.flame import Head, HeadLayer, project, rotation_matrices
from models.head import HeadModel
from models.spec import CROP_SIZE, FloatArray
from train.synthetic.crop import crop_camera
from train.synthetic.parameters import PLACES, draw_parameters
from train.synthetic.studio import Studio, Take

BLOCK = 16
"""Heads are posed so many at a time, whatever the batch: sums of another length could differ in their last bits."""


@dataclass(frozen=True, slots=True)
class SyntheticBatch:
    """B faces, and the truth about them."""

    images: npt.NDArray[np.uint8]  # [B, size, size, 3] RGB
    parameters: FloatArray  # [B, 361] in the order of models.spec.FLAME_LAYOUT
    landmarks: FloatArray  # [B, 105, 2] models.head's `mediapipe` points, -1..1 over the image, as models.flame.project
    outline: FloatArray  # [B, 68, 2] models.head's `full` points, likewise

    def __len__(self) -> int:
        return len(self.images)


class SyntheticFaces(IterableDataset[SyntheticBatch]):
    """Faces by number: face i depends on the seed and i alone, whatever batch and process it is made in.

    For a DataLoader with `batch_size=None`: it gives batches of `batch_size`, the faces from `first` on, in the same
    order with any number of workers. It is light to hand to them: each makes its skins and walls (some seconds) when
    it draws its first face.
    """

    def __init__(
        self,
        head: HeadModel,
        *,
        size: int = CROP_SIZE,
        batch_size: int = 32,
        seed: int = 0,
        first: int = 0,
        occluders: bool = True,
    ) -> None:
        """`size` of the square images; `occluders=False` leaves out what would hide parts of a face.

        Raises ValueError for a size below 32, a batch of none, or a negative seed or number.
        """
        if size < 32 or batch_size < 1 or seed < 0 or first < 0:
            raise ValueError(
                f"size {size}, batch_size {batch_size}, seed {seed}, first {first}: expected at least 32, 1, 0, 0"
            )
        self.head, self.size, self.batch_size = head, size, batch_size
        self.seed, self.first, self.occluders = seed, first, occluders
        self._layer: HeadLayer | None = None
        self._studio: Studio | None = None

    def batch(self, indices: Sequence[int]) -> SyntheticBatch:
        """The faces of these numbers, 0 or more."""
        parameters = np.stack([draw_parameters(np.random.default_rng((self.seed, i, 0))) for i in indices])
        return self.draw(parameters, [np.random.default_rng((self.seed, i, 1)) for i in indices])

    def draw(
        self, parameters: FloatArray, chances: Sequence[np.random.Generator], takes: Sequence[Take] | None = None
    ) -> SyntheticBatch:
        """Faces of given parameters [B, 361], whose camera is found here; the rest is drawn by each one's `chances`.

        `takes` gives their looks.
        """
        layer, studio = self._opened()
        parameters = parameters.copy()
        images = np.empty((len(parameters), self.size, self.size, 3), np.uint8)
        points = np.empty((len(parameters), 173, 3), np.float32)
        for start in range(0, len(parameters), BLOCK):
            block = slice(start, start + BLOCK)
            heads, turns = _posed(layer, parameters[block])
            both = torch.cat([heads.mediapipe, heads.full], dim=1).numpy()
            for row, random in enumerate(chances[block], start):
                take = takes[row] if takes else None
                vertices = heads.vertices[row - start].numpy()
                camera = crop_camera(vertices[studio.spanning], random)
                parameters[row, PLACES["camera"]] = camera
                points[row] = both[row - start]
                images[row] = studio.picture(random, vertices, parameters[row], turns[row - start], take)
        seen = project(torch.from_numpy(points), torch.from_numpy(parameters[:, PLACES["camera"]])).numpy()[..., :2]
        return SyntheticBatch(images, parameters, seen[:, :105], seen[:, 105:])

    def __iter__(self) -> Iterator[SyntheticBatch]:
        """Batches without end; of several workers each makes every n-th."""
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        while True:
            start = self.first + number * self.batch_size
            yield self.batch(range(start, start + self.batch_size))
            number += workers

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: not what it can make itself."""
        return {**self.__dict__, "_layer": None, "_studio": None}

    def _opened(self) -> tuple[HeadLayer, Studio]:
        if self._layer is None or self._studio is None:
            self._layer = HeadLayer(self.head)
            self._studio = Studio(self.head, size=self.size, seed=self.seed, occluders=self.occluders)
        return self._layer, self._studio


def _posed(layer: HeadLayer, parameters: FloatArray) -> tuple[Head, FloatArray]:
    """Heads of up to BLOCK rows of parameters, and their rotations [BLOCK, 3, 3]."""
    rows = np.zeros((BLOCK, parameters.shape[1]), np.float32)
    rows[: len(parameters)] = parameters
    given = torch.from_numpy(rows)
    with torch.inference_mode():
        heads: Head = layer(*(given[:, PLACES[name]] for name in ("shape", "expression", "pose", "jaw", "eyelids")))
        return heads, rotation_matrices(given[:, PLACES["pose"]]).numpy()
