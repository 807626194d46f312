"""How fast faces are drawn, as a trainer's workers draw them."""

import time

import torch
from torch.utils.data import DataLoader

from models.head import HeadModel
from models.spec import CROP_SIZE
from train.synthetic.faces import SyntheticBatch, SyntheticFaces

BATCH = 16


def measure(head: HeadModel, workers: int, faces: int) -> dict[str, float | int]:
    """Faces a second of `workers` processes, `faces` from each (in whole batches), everything switched on.

    Each process draws with one thread. What is made once, at the first face, is not counted.
    """
    dataset = SyntheticFaces(head, batch_size=BATCH)
    dataset.batch([0])  # where processes are forked, they share what it made
    rounds = max(1, faces // BATCH)
    loader: DataLoader[SyntheticBatch] = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=2,
        worker_init_fn=_with_one_thread,
    )
    batches = iter(loader)
    # The workers run ahead by what they may keep ready: only what they draw after that is drawn on the clock.
    for _ in range(3 * workers):
        next(batches)
    start = time.perf_counter()
    drawn = sum(len(next(batches)) for _ in range(rounds * workers))
    elapsed_s = time.perf_counter() - start
    return {
        "faces_per_second": round(drawn / elapsed_s, 1),
        "faces": drawn,
        "workers": workers,
        "size": CROP_SIZE,
        "elapsed_s": round(elapsed_s, 2),
    }


def _with_one_thread(worker: int) -> None:
    torch.set_num_threads(1)
