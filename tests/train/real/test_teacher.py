"""What MediaPipe says of a face, and of the same one in a mirror."""

import numpy as np

from models.geometry import Image
from models.open_basis import BLENDSHAPE_NAMES
from train.real.teacher import Teacher


def test_a_mirrored_face_does_the_same_on_its_other_side(teacher: Teacher, picture: Image) -> None:
    there = np.ascontiguousarray(picture[20:, 30:])  # the face is not in the middle, nor upright in its region
    faces = teacher.look(there)
    again = teacher.mirrored(there, faces.landmarks)
    assert again.shape == (1, 52)
    assert np.abs(again - faces.blendshapes).mean() < 0.03
    alone = teacher.look(np.ascontiguousarray(there[:, ::-1])).blendshapes
    left, right = (BLENDSHAPE_NAMES.index(f"eyeLookOut{side}") for side in ("Left", "Right"))
    assert np.abs(again[:, [left, right]] - alone[:, [right, left]]).max() < 0.03


def test_no_face_is_none_in_a_mirror(teacher: Teacher, picture: Image) -> None:
    assert teacher.mirrored(picture, np.empty((0, 478, 3), np.float32)).shape == (0, 52)
