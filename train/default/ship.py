"""From a training to the file that comes with flamestream: the averaged weights, in float16."""

from pathlib import Path

import safetensors.torch
import torch

from train.default.network import Trainee


def write_weights(network: Trainee, path: Path) -> int:
    """Writes the encoders of `models.open_smirk` and gives the file's size in bytes."""
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in network.divided().state_dict().items()
    }
    # float16 ends at 65504: a larger number would become infinite, and the loader would refuse the file.
    largest = max(float(tensor.abs().max()) for tensor in tensors.values() if tensor.dtype == torch.float16)
    assert largest < 65504
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    safetensors.torch.save_file(tensors, draft)
    draft.replace(path)
    return path.stat().st_size
