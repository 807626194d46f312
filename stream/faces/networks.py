"""The three networks of the face_landmarker task: detector, landmarks, blendshapes."""

import functools
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch

from models import blaze_face, face_mesh
from models.blaze_face import BlazeFace
from models.engines.engine import Engine, Target
from models.errors import AssetCorrupt, AssetUnavailable
from models.export import DEFAULT, load_or_build
from models.face_mesh import Blendshapes, FaceMesh
from models.tflite import Graph, import_graph

DETECTOR_FILE = "face_detector.tflite"
LANDMARKS_FILE = "face_landmarks_detector.tflite"
BLENDSHAPES_FILE = "face_blendshapes.tflite"


@dataclass(frozen=True, slots=True)
class FaceEngines:
    """The networks of the face_landmarker task, compiled. Stateless and shared."""

    detector: Engine  # models.blaze_face.BlazeFace
    landmarks: Engine  # models.face_mesh.FaceMesh
    blendshapes: Engine  # models.face_mesh.Blendshapes


def open_face_engines(task_file: Path, target: Target = DEFAULT) -> FaceEngines:
    """Compiles the three networks of a face_landmarker task. Raises AssetCorrupt, GraphError or EngineError."""
    detector, landmarks, blendshapes = _read_graphs(task_file)
    random = torch.Generator().manual_seed(0)

    def pixels(size: int) -> tuple[torch.Tensor]:
        return (torch.rand(2, 3, size, size, generator=random) * 255,)

    points = (torch.rand(2, face_mesh.LANDMARKS, 3, generator=random) * 500,)
    build = functools.partial(load_or_build, target=target)
    return FaceEngines(
        build("face_detector", BlazeFace(detector).eval(), pixels(blaze_face.INPUT_SIZE)),
        build("face_landmarks", FaceMesh(landmarks).eval(), pixels(face_mesh.INPUT_SIZE)),
        build("face_blendshapes", Blendshapes(blendshapes).eval(), points),
    )


def _read_graphs(task_file: Path) -> list[Graph]:
    """The detector, landmark and blendshape graphs of a task, which is a zip file of graphs."""
    graphs = []
    try:
        with zipfile.ZipFile(task_file) as task:
            for member in (DETECTOR_FILE, LANDMARKS_FILE, BLENDSHAPES_FILE):
                graphs.append(import_graph(task.read(member), f"{task_file}:{member}"))
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise AssetCorrupt(
            f"{task_file}: not an intact face_landmarker task ({error}); remove it to have it fetched again"
        ) from error
    except OSError as error:
        raise AssetUnavailable(f"{task_file}: cannot be read ({error.strerror}); check the path") from error
    return graphs
