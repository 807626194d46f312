"""The three networks of the face_landmarker task, compiled: detector, landmarks, blendshapes."""

from dataclasses import dataclass
from pathlib import Path

import torch

from models import blaze_face, face_mesh
from models.engines.engine import Engine, Target
from models.export import DEFAULT, load_or_build
from models.face_task import read_face_networks
from models.real_faces import real_inputs


@dataclass(frozen=True, slots=True)
class FaceEngines:
    """The networks of the face_landmarker task, compiled. Stateless and shared."""

    detector: Engine  # models.blaze_face.BlazeFace
    landmarks: Engine  # models.face_mesh.FaceMesh
    blendshapes: Engine  # models.face_mesh.Blendshapes


def open_face_engines(task_file: Path, target: Target = DEFAULT) -> FaceEngines:
    """Compiles the three networks of a face_landmarker task. Raises AssetError, GraphError or EngineError."""
    networks = read_face_networks(task_file)
    random = torch.Generator().manual_seed(0)

    def pixels(size: int) -> tuple[torch.Tensor]:
        return (torch.rand(2, 3, size, size, generator=random) * 255,)

    points = (torch.rand(2, face_mesh.LANDMARKS, 3, generator=random) * 500,)
    return FaceEngines(
        load_or_build(
            "face_detector",
            networks.detector,
            pixels(blaze_face.INPUT_SIZE),
            target,
            real_example=lambda: (real_inputs().detector,),
        ),
        load_or_build(
            "face_landmarks",
            networks.landmarks,
            pixels(face_mesh.INPUT_SIZE),
            target,
            real_example=lambda: (real_inputs().landmarks,),
        ),
        load_or_build(
            "face_blendshapes",
            networks.blendshapes,
            points,
            target,
            real_example=lambda: (real_inputs().blendshapes,),
        ),
    )
