"""Cuts the tracked faces out of a frame, after which its pixels are no longer needed."""

from collections.abc import Sequence

import numpy as np

from models.geometry import crop_box, crop_faces
from models.spec import CROP_SIZE
from stream.frame import FoundFrame, Frame, TrackedFace

NO_CROPS = np.zeros((0, 3, CROP_SIZE, CROP_SIZE), np.float32)


def cut_out(frame: Frame, faces: Sequence[TrackedFace], *, with_crops: bool) -> FoundFrame:
    """The frame's faces with their crop squares, and with SMIRK's crops if a model reads them."""
    if not faces:
        return FoundFrame(frame.stamp, (), np.zeros((0, 3), np.float32), NO_CROPS)
    boxes = crop_box(np.stack([face.landmarks for face in faces]))
    crops = crop_faces(frame.rgb, boxes) if with_crops else NO_CROPS
    return FoundFrame(frame.stamp, tuple(faces), boxes, crops)
