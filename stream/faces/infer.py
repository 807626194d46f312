"""From found faces to FLAME parameters and valence-arousal, batched over frames and sources."""

from collections.abc import Sequence

import numpy as np
import torch

from models.device import DeviceArray
from models.engines.engine import Batch, Engine
from models.face_reader import FaceReader
from models.spec import Affect, FaceBatch, FlameParams, FloatArray
from stream.frame import AnalysedFace, AnalysedFrame, FoundFrame


class Analyser:
    """Runs blendshapes and a face reader on every face of some frames in one call."""

    def __init__(self, blendshapes: Engine, reader: FaceReader) -> None:
        self._blendshapes = blendshapes
        self.reader = reader

    def __call__(self, frames: Sequence[FoundFrame]) -> list[AnalysedFrame]:
        """Analysed frames, in order; a frame without faces stays one without faces."""
        if not any(frame.faces for frame in frames):
            return [AnalysedFrame(frame.stamp, ()) for frame in frames]
        return _split(frames, *self.reader(self._batch(frames)))

    def _batch(self, frames: Sequence[FoundFrame]) -> FaceBatch:
        landmarks = np.stack([face.landmarks for frame in frames for face in frame.faces])
        (blendshapes,) = self._blendshapes(landmarks)
        return FaceBatch(
            crops=_joined([frame.crops for frame in frames if frame.faces]),
            crop_boxes=np.concatenate([frame.crop_boxes for frame in frames]),
            landmarks=landmarks,
            blendshapes=blendshapes,
        )


def _joined(crops: Sequence[FloatArray | DeviceArray]) -> Batch:
    """All crops in one batch, where they are; frames without faces have theirs in the CPU's memory."""
    on_device = [array.here() for array in crops if isinstance(array, DeviceArray)]
    if on_device:
        return torch.cat(on_device)
    return np.concatenate([array for array in crops if not isinstance(array, DeviceArray)])


def _split(
    frames: Sequence[FoundFrame], params: Sequence[FlameParams], affects: Sequence[Affect]
) -> list[AnalysedFrame]:
    results = iter(zip(params, affects, strict=True))
    analysed = []
    for frame in frames:
        faces = []
        for face, box in zip(frame.faces, frame.crop_boxes, strict=True):
            flame, affect = next(results)
            centre_x, centre_y, side = (float(value) for value in box)
            faces.append(AnalysedFace(face, (centre_x, centre_y, side), flame, affect))
        analysed.append(AnalysedFrame(frame.stamp, tuple(faces)))
    return analysed
