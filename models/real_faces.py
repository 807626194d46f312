"""What the networks are really given: inputs cut from two photographs of faces, for checking compiled engines.

An engine in half precision, or on a GPU, is compared with eager float32 on these. Random numbers would not do: they
reach neither the largest activations nor the smallest differences that faces cause.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pictures

from models import blaze_face, face_mesh
from models.assets import fetch
from models.errors import AssetCorrupt
from models.face_task import FaceNetworks, read_face_networks
from models.geometry import (
    Float64Array,
    Image,
    crop_box,
    crop_faces,
    letterbox,
    regions_to_frame,
    sample_regions,
)
from models.spec import FloatArray

PICTURES = ("multi_face", "single_face")
"""Assets: a group of five people and a portrait. Each is seen whole and as two halves, in which small faces are larger,
and all that mirrored."""


@dataclass(frozen=True, slots=True)
class RealInputs:
    """Inputs of every network, for P pictures with R regions that may hold a face, of which F do."""

    detector: torch.Tensor  # [P, 3, 128, 128] RGB 0..255
    landmarks: torch.Tensor  # [R, 3, 256, 256] RGB 0..255
    blendshapes: torch.Tensor  # [F, 478, 3] pixels
    crops: torch.Tensor  # [F, 3, 224, 224] RGB 0..1


@functools.cache
def real_inputs() -> RealInputs:
    """Inputs from the photographs, which are fetched first if need be; the networks that find faces run eagerly.

    Raises AssetError.
    """
    networks = read_face_networks(fetch("face_landmarker"))
    return cut_inputs([view for name in PICTURES for view in _views(_read_picture(fetch(name)))], networks)


def cut_inputs(pictures: list[Image], networks: FaceNetworks) -> RealInputs:
    """The inputs that `pictures` lead to. Raises ValueError when they show no two faces."""
    detector = [letterbox(picture, blaze_face.INPUT_SIZE) for picture in pictures]
    meshes, landmarks, crops = [], [], []
    for picture, pixels in zip(pictures, detector, strict=True):
        regions = _regions(networks, picture, pixels)
        if len(regions) == 0:
            continue
        meshes.append(sample_regions(picture, regions, face_mesh.INPUT_SIZE))
        with torch.inference_mode():
            points, presence = (output.numpy() for output in networks.landmarks(torch.from_numpy(meshes[-1])))
        seen = presence >= face_mesh.MIN_PRESENCE
        landmarks.append(regions_to_frame(points[seen], regions[seen]))
        crops.append(crop_faces(picture, crop_box(landmarks[-1])))
    if sum(map(len, crops)) < 2:
        raise ValueError(f"{len(pictures)} pictures show {sum(map(len, crops))} faces; expected two or more")
    return RealInputs(torch.from_numpy(np.stack(detector)), *(_joined(inputs) for inputs in (meshes, landmarks, crops)))


def _views(picture: Image) -> list[Image]:
    middle = picture.shape[1] // 2
    views = [picture, picture[:, :middle], picture[:, middle:]]
    return [np.ascontiguousarray(view) for view in (*views, *(view[:, ::-1] for view in views))]


def _regions(networks: FaceNetworks, picture: Image, pixels: FloatArray) -> Float64Array:
    with torch.inference_mode():
        boxes, scores = (output[0].numpy() for output in networks.detector(torch.from_numpy(pixels[None])))
    height, width = picture.shape[:2]
    return blaze_face.detection_regions(blaze_face.decode(boxes, scores, width, height, blaze_face.MIN_SCORE))


def _joined(inputs: list[FloatArray]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(inputs))


def _read_picture(path: Path) -> Image:
    try:
        with Pictures.open(path) as picture:
            return np.ascontiguousarray(np.asarray(picture.convert("RGB")))
    except OSError as error:
        raise AssetCorrupt(f"{path}: no picture can be read from it ({error}); remove it to have it fetched") from error
