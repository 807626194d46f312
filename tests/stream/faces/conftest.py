"""The real networks, compiled once a session, and real pictures to show them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.assets import fetch
from models.face_engines import FaceEngines, open_face_engines
from stream.frame import Frame, FrameStamp

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def face_task() -> Path:
    return fetch("face_landmarker")


@pytest.fixture(scope="session")
def compiled(face_task: Path) -> FaceEngines:
    return open_face_engines(face_task)


@pytest.fixture(scope="session")
def read() -> Callable[[Path], Pixels]:
    """`read(path)`: a picture as RGB."""

    def pixels(path: Path) -> Pixels:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))

    return pixels


@pytest.fixture(scope="session")
def as_frame() -> Callable[..., Frame]:
    """`as_frame(rgb, seq, source="cam", rate=25.0, epoch=0)`: a frame of a steady source."""

    def frame(rgb: Pixels, seq: int, source: str = "cam", rate: float = 25.0, epoch: int = 0) -> Frame:
        height, width = rgb.shape[:2]
        pts_s = seq / rate
        return Frame(FrameStamp(source, epoch, seq, pts_s, int(pts_s * 1000), width, height), rgb)

    return frame
