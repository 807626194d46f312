"""The mediapipe package's rotations are understood: wherever in a picture a face is, they are those of our fit."""

import numpy as np
import pytest

from models.assets import fetch
from models.face_engines import open_face_engines
from models.head_pose import CanonicalFace, fit_head, read_canonical_face
from train.evaluate.figures import degrees_between, turns
from train.evaluate.package import as_the_package_turns, off_axis, open_package
from train.real.media import read_picture
from train.real.teacher import Teacher


def test_a_head_in_the_middle_is_turned_as_its_crop_shows(canonical: CanonicalFace) -> None:
    rotations = turns(np.random.default_rng(0).normal(scale=0.3, size=(5, 3)).astype(np.float32))
    there = as_the_package_turns(canonical, rotations, np.zeros((5, 2)))
    assert degrees_between(there, rotations).max() < 0.01


def test_crops_are_so_far_from_the_middle() -> None:
    boxes = np.array([[320, 180, 90], [320 + 180 / np.tan(np.radians(31.5)), 0, 90]], np.float32)
    away = off_axis(boxes, np.zeros((360, 640, 3), np.uint8))
    assert away == pytest.approx(np.array([[0, 0], [1, -np.tan(np.radians(31.5))]]), abs=1e-4)


@pytest.mark.parametrize("side", [0, 1])
def test_the_package_agrees_with_our_fit_at_the_edge_of_a_wide_picture(side: int) -> None:
    pytest.importorskip("mediapipe", reason="the mediapipe package, whose rotations these are, is not installed")
    picture = read_picture(fetch("single_face"))
    height, width = picture.shape[:2]
    wide = np.full((height, 2 * width, 3), 128, np.uint8)
    wide[:, side * width : (side + 1) * width] = picture
    task = fetch("face_landmarker")
    canonical = read_canonical_face(task)
    faces = Teacher(open_face_engines(task)).look(wide)
    pose, _ = fit_head(canonical, faces.landmarks, faces.boxes)
    with open_package(task) as package:
        assert package is not None
        theirs = package.rotation(wide, faces.boxes[0])[None]
    ours = turns(pose)
    there = as_the_package_turns(canonical, ours, off_axis(faces.boxes, wide))
    assert degrees_between(there, theirs)[0] < 2.5
    assert degrees_between(ours, theirs)[0] > 2 * degrees_between(there, theirs)[0]
