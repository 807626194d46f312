"""Cuts the tracked faces out of frames, after which their pixels are no longer needed."""

import itertools
from collections.abc import Sequence

import numpy as np

from models.device import DeviceArray
from models.geometry import crop_box
from models.sampler import Sampler
from models.spec import CROP_SIZE, FloatArray
from stream.frame import FoundFrame, Frame, TrackedFace

NO_CROPS = np.zeros((0, 3, CROP_SIZE, CROP_SIZE), np.float32)
NO_BOXES = np.zeros((0, 3), np.float32)


def cut_out(
    frames: Sequence[Frame], faces: Sequence[Sequence[TrackedFace]], sampler: Sampler | None
) -> list[FoundFrame]:
    """Each frame's faces with their crop squares, and with SMIRK's crops if a `sampler` is given to make them."""
    landmarks = [face.landmarks for of_frame in faces for face in of_frame]
    boxes = crop_box(np.stack(landmarks)) if landmarks else NO_BOXES
    ends = itertools.accumulate((len(of_frame) for of_frame in faces), initial=0)
    places = list(itertools.pairwise(ends))
    crops: FloatArray | DeviceArray = NO_CROPS
    if sampler is not None and landmarks:
        crops = sampler.crops([frame.rgb for frame in frames], [boxes[start:end] for start, end in places])
    return [
        FoundFrame(frame.stamp, tuple(of_frame), boxes[start:end], crops[start:end])
        for frame, of_frame, (start, end) in zip(frames, faces, places, strict=True)
    ]
