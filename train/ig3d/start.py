"""Where an Ig3D training begins: at random weights that follow from the seed, at faces, or at the stage before."""

from pathlib import Path

import torch

from models.ig3d import Design, Ig3dNetwork, read_head
from models.open_smirk import read_open_smirk
from models.picture_network import IMAGENET_STD
from models.small_net import SmallNet
from train.errors import TrainingError


def begun(design: Design, seed: int, start: Path | None) -> Ig3dNetwork:
    """A network to be trained. Raises CheckpointError, or TrainingError for a head of another design."""
    torch.manual_seed(seed)
    if start is None:
        network = Ig3dNetwork(design)
        if isinstance(network.picture, SmallNet):
            _know_faces(network.picture)
        return network
    network = read_head(start)
    if network.design != design:
        raise TrainingError(f"--start {start}: a head of {network.design}, expected {design}; give the same options")
    return network


@torch.no_grad()
def _know_faces(network: SmallNet) -> None:
    """Starts the small backbone at the encoder of head poses that comes with flamestream: the same network.

    A few hundred pictures do not teach a network of random weights what a face is.
    """
    encoder = read_open_smirk().encoders.pose_encoder.encoder
    network.net.encoder.load_state_dict(encoder.state_dict())
    # That one sees pixels of 0..1. Of the other scale's factor the first layer takes account here, of its shift the
    # batch norm behind it, in training.
    first = network.net.encoder.conv_stem
    assert isinstance(first, torch.nn.Conv2d)
    first.weight.mul_(torch.tensor(IMAGENET_STD)[:, None, None])
