"""A picture of one face, and MediaPipe to see what is in it."""

import pytest

from models.assets import fetch
from models.face_engines import open_face_engines
from models.geometry import Image
from train.real.media import read_picture
from train.real.teacher import Teacher


@pytest.fixture(scope="session")
def teacher() -> Teacher:
    return Teacher(open_face_engines(fetch("face_landmarker")))


@pytest.fixture(scope="session")
def picture() -> Image:
    return read_picture(fetch("single_face"))
