"""From a training to the file that comes with flamestream: the averaged weights, in float16."""

from pathlib import Path

import safetensors
import safetensors.torch
import torch

from train.default.network import Trainee
from train.errors import TrainingError


def write_weights(network: Trainee, path: Path) -> int:
    """Writes the encoders of `models.open_smirk` and gives the file's size in bytes. Raises TrainingError."""
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in network.divided().state_dict().items()
    }
    beyond = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if beyond:
        raise TrainingError(f"{path}: {beyond[0]} has numbers that float16 cannot hold; train at a lower rate")
    draft = path.with_name(path.name + ".draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(tensors, draft)
        draft.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise TrainingError(f"{path}: the weights cannot be written ({error}); give another --out") from error
    return path.stat().st_size
