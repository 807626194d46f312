"""The face_landmarker task file: a zip of three graphs, as the networks that find faces."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from models.blaze_face import BlazeFace
from models.errors import AssetCorrupt, AssetUnavailable
from models.face_mesh import Blendshapes, FaceMesh
from models.tflite import Graph, import_graph

DETECTOR_FILE = "face_detector.tflite"
LANDMARKS_FILE = "face_landmarks_detector.tflite"
BLENDSHAPES_FILE = "face_blendshapes.tflite"


@dataclass(frozen=True, slots=True)
class FaceNetworks:
    """The networks of a task, eager, float32, in evaluation mode."""

    detector: BlazeFace
    landmarks: FaceMesh
    blendshapes: Blendshapes


def read_face_networks(task_file: Path) -> FaceNetworks:
    """The three networks of a face_landmarker task. Raises AssetCorrupt, AssetUnavailable or GraphError."""
    try:
        with zipfile.ZipFile(task_file) as task:

            def graph(member: str) -> Graph:
                return import_graph(task.read(member), f"{task_file}:{member}")

            detector, landmarks = BlazeFace(graph(DETECTOR_FILE)), FaceMesh(graph(LANDMARKS_FILE))
            blendshapes = Blendshapes(graph(BLENDSHAPES_FILE))
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise AssetCorrupt(
            f"{task_file}: not an intact face_landmarker task ({error}); remove it to have it fetched again"
        ) from error
    except OSError as error:
        raise AssetUnavailable(f"{task_file}: cannot be read ({error.strerror}); check the path") from error
    return FaceNetworks(detector.eval(), landmarks.eval(), blendshapes.eval())
