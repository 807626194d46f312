"""The face landmark and blendshape networks of MediaPipe's face landmarker: 478 points and 52 coefficients a face.

Networks: Grishchenko et al., arXiv 2006.10962 (landmarks) and 2309.05782 (blendshapes). Figures are those of the
face_landmarker task, face_landmarks_detector.tflite and face_blendshapes.tflite.
"""

import numpy as np
import torch
from torch import Tensor, nn

from models.geometry import Float64Array, bounding_boxes
from models.spec import FloatArray
from models.tflite import Graph

INPUT_SIZE = 256
"""Side of the landmark network's input, pixels."""
LANDMARKS = 478
MIN_PRESENCE = 0.5
"""Below this presence a region holds no face."""
REGION_SCALE = 1.5
"""Side of the next frame's region over the longer side of the landmarks' box."""
RIGHT_EYE_CORNER, LEFT_EYE_CORNER = 33, 263
"""The outer corners of the eyes; the person's right eye is left in the picture."""

# fmt: off
BLENDSHAPE_POINTS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80,
    81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153,
    154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251,
    263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318,
    321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386,
    387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)
# fmt: on
"""The 146 landmarks that the blendshape network reads."""


class FaceMesh(nn.Module):
    """face_landmarks_detector.tflite with its constants: pixels of a region in, landmarks and presence out."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.network = graph  # not `graph`: an exported module has an attribute of that name

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """`pixels` [B, 3, 256, 256], RGB 0..255, to landmarks [B, 478, 3] and presence [B], 0..1.

        Landmarks are in fractions of the region's side, z in the scale of x and smaller towards the camera.
        """
        points, presence, _ = self.network((pixels / 255).permute(0, 2, 3, 1))
        return points.reshape(-1, LANDMARKS, 3) / INPUT_SIZE, torch.sigmoid(presence.reshape(-1))


class Blendshapes(nn.Module):
    """face_blendshapes.tflite: landmarks in, coefficients out."""

    points: Tensor

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.network = graph  # not `graph`: an exported module has an attribute of that name
        self.register_buffer("points", torch.tensor(BLENDSHAPE_POINTS))

    def forward(self, landmarks: Tensor) -> Tensor:
        """`landmarks` [B, 478, 3] in frame pixels (its scale and place cancel out) to blendshapes [B, 52], 0..1."""
        (blendshapes,) = self.network(landmarks[:, :, :2].index_select(1, self.points))
        return torch.as_tensor(blendshapes)


def landmark_regions(landmarks: FloatArray) -> Float64Array:
    """Where to look for the same faces in the next frame: regions [B, 5], from landmarks [B, 478, 3].

    A square around the landmarks' upright box, turned so that the eyes lie level.
    """
    boxes = bounding_boxes(landmarks).astype(np.float64)
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) * REGION_SCALE
    x, y = (landmarks[:, LEFT_EYE_CORNER, :2] - landmarks[:, RIGHT_EYE_CORNER, :2]).T.astype(np.float64)
    return np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, side, side, np.arctan2(y, x)])
