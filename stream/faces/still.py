"""Finds the faces of a single picture, small ones too, more patiently than a video allows.

The detector sees 128 x 128 pixels, in which a face of a group picture is a few; so overlapping parts of the picture are
searched as well as the whole. And its first guess can be off by half a face, where a video's next frames would put it
right: so each part is looked at a few times, each time where the last one found the faces.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch

from models.device import DeviceArray
from models.geometry import bounding_boxes, overlap
from models.spec import FloatArray
from stream.faces.find import FaceFinder
from stream.frame import Frame, FrameStamp, Picture, Pixels, TrackedFace

LOOKS = 4
SAME_FACE = 0.3
"""Boxes that overlap (intersection over union) by more than this, seen in two parts, belong to one face."""
SMALLEST_PART = 128
"""Pixels: a part that the detector sees enlarged shows it nothing new."""

Part = tuple[int, int, int, int]
"""Left, top, right, bottom, pixels."""


def find_in_still(finder: Callable[[], FaceFinder], rgb: Pixels) -> list[TrackedFace]:
    """The faces of a picture [H, W, 3], the largest first, numbered from 1; `finder` makes one without a memory."""
    found: list[TrackedFace] = []
    boxes: FloatArray = np.empty((0, 4), np.float32)
    for part in _parts(rgb.shape[0], rgb.shape[1]):
        for face in _look(finder(), rgb, part):
            box = bounding_boxes(face.landmarks[None])
            if not _is_cut(box[0], part, rgb) and not (overlap(box, boxes) > SAME_FACE).any():
                found.append(face)
                boxes = np.concatenate([boxes, box])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return [replace(found[index], track=number) for number, index in enumerate(np.argsort(-area), start=1)]


def on_device(rgb: Pixels, device: torch.device) -> Picture:
    """The picture where the networks of `device` want it."""
    return rgb if device.type == "cpu" else DeviceArray(torch.from_numpy(np.ascontiguousarray(rgb)).to(device))


def _parts(height: int, width: int) -> Iterator[Part]:
    """The whole, and 3 x 3 parts of half its sides: a face of a quarter of them lies whole in one."""
    yield 0, 0, width, height
    half_x, half_y = (width + 1) // 2, (height + 1) // 2
    if min(half_x, half_y) < SMALLEST_PART:
        return
    for top, left in itertools.product((0, height // 4, height - half_y), (0, width // 4, width - half_x)):
        yield left, top, left + half_x, top + half_y


def _look(finder: FaceFinder, rgb: Pixels, part: Part) -> list[TrackedFace]:
    """The faces of a part, in pixels of the whole."""
    left, top, right, bottom = part
    pixels = on_device(rgb[top:bottom, left:right], finder.sampler.device)
    for seq in range(LOOKS):  # far closer in time than two looks of the detector
        stamp = FrameStamp("still", 0, seq, seq / 1000, 0, right - left, bottom - top)
        (faces,) = finder.find([Frame(stamp, pixels)])
    corner = np.array([left, top, 0], np.float32)
    return [replace(face, landmarks=face.landmarks + corner) for face in faces]


def _is_cut(box: FloatArray, part: Part, rgb: Pixels) -> bool:
    """Whether a face goes beyond its part where the picture goes on: another part shows it whole."""
    ends = (0, 0, rgb.shape[1], rgb.shape[0])
    beyond = (box[0] < part[0], box[1] < part[1], box[2] > part[2], box[3] > part[3])
    return any(out and side != end for out, side, end in zip(beyond, part, ends, strict=True))
