"""What samples pixels of frames for the networks: OpenCV and NumPy on the CPU, one gather per frame on a device."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from models.device import CPU, DeviceArray
from models.engines.engine import Batch
from models.geometry import Float64Array, Image, crop_faces, letterbox, sample_regions
from models.spec import FloatArray


class Sampler(Protocol):
    """Cuts network inputs out of frames: [H, W, 3] uint8 RGB of any sizes, all in the sampler's own memory."""

    device: torch.device

    def letterboxes(self, frames: Sequence[Image | DeviceArray], size: int) -> Batch:
        """Whole frames [B, 3, size, size], RGB 0..255; see `geometry.letterbox`."""
        ...

    def regions(self, frames: Sequence[Image | DeviceArray], regions: Sequence[Float64Array], size: int) -> Batch:
        """Rotated rectangles, `regions[i]` [R_i, 5] of `frames[i]`, one after the other: [sum R, 3, size, size],
        RGB 0..255; see `geometry.sample_regions`."""
        ...

    def crops(self, frames: Sequence[Image | DeviceArray], boxes: Sequence[FloatArray]) -> FloatArray | DeviceArray:
        """SMIRK's crops of the squares `boxes[i]` [B_i, 3] of `frames[i]`, one after the other: [sum B, 3, 224, 224],
        RGB 0..1; see `geometry.crop_faces`."""
        ...


class CpuSampler:
    """The sampler for frames in the CPU's memory."""

    device = CPU

    def letterboxes(self, frames: Sequence[Image | DeviceArray], size: int) -> Batch:
        """See `Sampler`."""
        return np.stack([letterbox(_in_memory(frame), size) for frame in frames])

    def regions(self, frames: Sequence[Image | DeviceArray], regions: Sequence[Float64Array], size: int) -> Batch:
        """See `Sampler`."""
        return np.concatenate(
            [sample_regions(_in_memory(frame), of_frame, size) for frame, of_frame in zip(frames, regions, strict=True)]
        )

    def crops(self, frames: Sequence[Image | DeviceArray], boxes: Sequence[FloatArray]) -> FloatArray | DeviceArray:
        """See `Sampler`."""
        return np.concatenate(
            [crop_faces(_in_memory(frame), of_frame) for frame, of_frame in zip(frames, boxes, strict=True)]
        )


def _in_memory(frame: Image | DeviceArray) -> Image:
    return frame.here().numpy() if isinstance(frame, DeviceArray) else frame  # raises TypeError for one on a GPU


def open_sampler(device: torch.device) -> Sampler:
    """The sampler for frames on `device`; on the CPU, for frames that are NumPy arrays."""
    if device.type == "cpu":
        return CpuSampler()
    from models.device_sampler import DeviceSampler  # needs nothing that a machine without a GPU should load

    return DeviceSampler(device)
