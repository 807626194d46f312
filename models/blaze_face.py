"""BlazeFace short range: finds faces in a whole frame, as MediaPipe's face landmarker uses it.

Network: Bazarevsky et al., arXiv 1907.05047. Figures (anchors, thresholds, region) are those of MediaPipe's
face_landmarker task, face_detector.tflite.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.geometry import Float64Array, from_letterbox, overlap
from models.spec import FloatArray
from models.tflite import Graph

INPUT_SIZE = 128
"""Side of the detector's input, pixels."""
ANCHOR_GRIDS = ((8, 2), (16, 6))
"""Stride in pixels, and anchors per cell of that stride: 16*16*2 + 8*8*6 = 896."""
MIN_SCORE = 0.5
"""Below this score nothing is a face."""
MIN_OVERLAP = 0.3
"""Detections that overlap the best one by more than this are the same face."""
REGION_SCALE = 1.5
"""Side of the landmark network's region over the side of the detection."""

RIGHT_EYE, LEFT_EYE = 0, 1
"""Key points of a detection: the person's right eye is left in the picture. Then nose, mouth, right and left ear."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A face the detector found."""

    box: FloatArray  # [4] left, top, right, bottom, frame pixels
    keypoints: FloatArray  # [6, 2] frame pixels
    score: float  # 0..1


class BlazeFace(nn.Module):
    """face_detector.tflite with its constants: pixels in, boxes and scores out."""

    anchors: Tensor

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.network = graph  # not `graph`: an exported module has an attribute of that name
        self.register_buffer("anchors", anchor_centres())

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """`pixels` [B, 3, 128, 128], RGB 0..255, to boxes [B, 896, 16] and scores [B, 896], 0..1.

        A box is left, top, right, bottom and six points x, y, all in fractions of the input's side.
        """
        image = (pixels / 127.5 - 1).permute(0, 2, 3, 1)
        offsets, logits = self.network(image)  # [B, 896, 16], [B, 896, 1]
        offsets = offsets / INPUT_SIZE
        centre, half = offsets[:, :, :2] + self.anchors, offsets[:, :, 2:4] / 2
        points = offsets[:, :, 4:] + self.anchors.repeat(1, 6)
        boxes = torch.cat([centre - half, centre + half, points], dim=2)
        return boxes, torch.sigmoid(logits.clamp(-100, 100)).squeeze(2)


def anchor_centres() -> Tensor:
    """Anchor centres [896, 2], x and y in fractions of the input's side, in the network's order."""
    grids = []
    for stride, per_cell in ANCHOR_GRIDS:
        cells = INPUT_SIZE // stride
        centre = (torch.arange(cells) + 0.5) / cells
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        grids.append(torch.stack([x, y], dim=2).reshape(-1, 2).repeat_interleave(per_cell, dim=0))
    return torch.cat(grids)


def decode(boxes: FloatArray, scores: FloatArray, width: int, height: int, min_score: float) -> list[Detection]:
    """Faces in a frame of that size, best first, from the network's boxes [896, 16] and scores [896] for it."""
    likely = np.flatnonzero((scores >= min_score) & (boxes[:, 2:4] >= boxes[:, :2]).all(axis=1))
    likely = likely[np.argsort(-scores[likely], kind="stable")]
    found = []
    for box, score in merge_overlapping(boxes[likely], scores[likely]):
        points = from_letterbox(box.reshape(8, 2), width, height)
        found.append(Detection(points[:2].reshape(4), points[2:], score))
    return found


def merge_overlapping(boxes: FloatArray, scores: FloatArray) -> list[tuple[FloatArray, float]]:
    """Weighted non-maximum suppression of boxes [N, 16] sorted by score [N], best first.

    Boxes of one face become their mean, weighted by score, with the best one's score: steadier than the best box.
    """
    merged = []
    left = np.arange(len(boxes))
    while len(left):
        shared = overlap(boxes[left[:1], :4], boxes[left, :4])[0]
        same = shared > MIN_OVERLAP
        same[0] = True  # also a box without area is used up
        group = left[same]
        weights = scores[group] / scores[group].sum()
        merged.append((weights @ boxes[group], float(scores[group[0]])))
        left = left[~same]
    return merged


def detection_regions(detections: list[Detection]) -> Float64Array:
    """Where the landmark network looks for each face: regions [B, 5] as in `geometry.sample_regions`.

    Centred on the box, turned so that the eyes lie level, 1.5 times as wide and as high.
    """
    regions = np.empty((len(detections), 5))
    for region, detection in zip(regions, detections, strict=True):
        low, high = detection.box[:2].astype(np.float64), detection.box[2:].astype(np.float64)
        x, y = (detection.keypoints[LEFT_EYE] - detection.keypoints[RIGHT_EYE]).tolist()
        region[:2], region[2:4], region[4] = (low + high) / 2, (high - low) * REGION_SCALE, np.arctan2(y, x)
    return regions
