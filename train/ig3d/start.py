"""Where an Ig3D training begins: at random weights that follow from the seed, or at a head of the stage before."""

from pathlib import Path

import torch

from models.ig3d import Design, Ig3dNetwork, read_head
from train.errors import TrainingError


def begun(design: Design, seed: int, start: Path | None) -> Ig3dNetwork:
    """A network to be trained. Raises CheckpointError, or TrainingError for a head of another design."""
    torch.manual_seed(seed)
    if start is None:
        return Ig3dNetwork(design)
    network = read_head(start)
    if network.design != design:
        raise TrainingError(f"--start {start}: a head of {network.design}, expected {design}; give the same options")
    return network
