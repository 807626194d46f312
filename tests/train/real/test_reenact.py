"""A real face is fitted, and reenacted with its own pixels: MediaPipe sees what was asked for."""

import numpy as np
import pytest
import torch

from models import renderer
from models.assets import fetch
from models.geometry import Image
from models.head_pose import fit_head, read_canonical_face
from models.open_basis import BLENDSHAPE_NAMES
from models.open_head import load_open_head
from models.spec import FloatArray
from train.real.fit import Fitted, Fitter, to_crop
from train.real.gather import Gatherer, recropped
from train.real.reenact import CANVAS, Actor, Stage, within
from train.real.roles import FEATURES
from train.real.teacher import Faces, Teacher
from train.synthetic.parameters import PLACES


@pytest.fixture(scope="module")
def faces(teacher: Teacher, picture: Image) -> Faces:
    found = teacher.look(picture)
    assert len(found) == 1
    return found


@pytest.fixture(scope="module")
def fitted(faces: Faces) -> Fitted:
    return Fitter(load_open_head(), read_canonical_face(fetch("face_landmarker")))(faces)


def to_frame(x: float, y: float, box: np.ndarray) -> np.ndarray:
    """SMIRK's normalised place in a crop, in pixels of the frame, from the middle of its first pixel."""
    pixel = (1 + np.array([x, y])) / 2 * 224
    return np.asarray(box[:2] + box[2] * (pixel / 223 - 0.5))


def action(blendshapes: FloatArray, name: str) -> float:
    return float(blendshapes[0, BLENDSHAPE_NAMES.index(name)])


def test_the_fit_lies_on_the_face(faces: Faces, fitted: Fitted) -> None:
    assert fitted.errors[0] < 0.04
    pose, _ = fit_head(read_canonical_face(fetch("face_landmarker")), faces.landmarks, faces.boxes)
    assert np.degrees(np.linalg.norm(fitted.parameters[0, PLACES["pose"]] - pose[0])) < 1


def test_an_actor_that_does_nothing_new_looks_as_before(picture: Image, faces: Faces, fitted: Fitted) -> None:
    stage = Stage(load_open_head())
    actor = stage.actor(picture, faces.boxes[0], faces.landmarks[0], fitted.parameters[0])
    again = stage.perform(actor, fitted.parameters[0], np.random.default_rng(0))
    assert again.shape == (CANVAS, CANVAS, 3)
    assert np.abs(again.astype(int) - actor.picture).mean() < 1.5


def test_mediapipe_sees_what_the_actor_does(teacher: Teacher, picture: Image, faces: Faces, fitted: Fitted) -> None:
    stage = Stage(load_open_head())
    actor = stage.actor(picture, faces.boxes[0], faces.landmarks[0], fitted.parameters[0])

    def seen(**changes: tuple[int, float]) -> FloatArray:
        parameters = fitted.parameters[0].copy()
        parameters[PLACES["expression"]] = 0
        parameters[PLACES["jaw"]] = parameters[PLACES["eyelids"]] = 0
        for name, (place, value) in changes.items():
            parameters[PLACES[name].start + place] = value
        drawn = stage.perform(actor, parameters, np.random.default_rng(0))
        return teacher.look_near(drawn, actor.landmarks[None]).blendshapes

    plain, opened, closed = seen(), seen(jaw=(0, 0.35)), seen(eyelids=(0, 1.0))
    assert action(opened, "jawOpen") > action(plain, "jawOpen") + 0.25
    assert action(closed, "eyeBlinkLeft") > action(plain, "eyeBlinkLeft") + 0.2
    assert action(plain, "mouthSmileLeft") < 0.5 * action(faces.blendshapes, "mouthSmileLeft")


def test_teeth_part_with_the_jaw_alone(fitted: Fitted) -> None:
    stage = Stage(load_open_head())

    def opening(**changes: float) -> float:
        parameters = fitted.parameters[0].copy()
        parameters[PLACES["jaw"]] = 0
        for name, value in changes.items():
            parameters[PLACES[name].start] = value
        bite = stage.bite(parameters)
        return float((bite.lower - bite.upper) @ bite.down) / bite.millimetre

    assert opening() == pytest.approx(0, abs=1e-3)
    assert opening(expression=1.0) == pytest.approx(0, abs=1e-3)
    assert 8 < opening(jaw=0.1) < 14  # a tenth of a radian, eleven centimetres from the joint
    assert opening(jaw=0.2) == pytest.approx(2 * opening(jaw=0.1), rel=0.1)


def test_a_face_that_looks_up_has_its_mouth_between_its_lips_alone(
    picture: Image, faces: Faces, fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head ends below the chin, where one would see the inside of the mouth from behind."""
    shares: list[FloatArray] = []

    def seen(rgb: Image, share: FloatArray, *_: object) -> Image:
        shares.append(share)
        return rgb

    monkeypatch.setattr("train.real.reenact.paint_mouth", seen)
    stage = Stage(load_open_head())
    actor = stage.actor(picture, faces.boxes[0], faces.landmarks[0], fitted.parameters[0])
    parameters = fitted.parameters[0].copy()
    parameters[PLACES["jaw"].start] = 0.3
    parameters[PLACES["pose"]] = (-0.6, 0, 0)
    stage.perform(actor, parameters, np.random.default_rng(0))
    bite = stage.bite(parameters)
    rows, columns = np.nonzero(shares[0] > 0.5)
    assert len(rows) > 100
    below = ((columns - bite.lower[0]) * bite.down[0] + (rows - bite.lower[1]) * bite.down[1]) / bite.millimetre
    assert below.max() < 15  # the lower lip; the chin's underside is 40 below


def test_a_blend_lies_between_two_people(picture: Image, faces: Faces, fitted: Fitted) -> None:
    """Here of a person and the same one in colours that were turned round: matched, they differ less than before."""
    stage, random = Stage(load_open_head()), np.random.default_rng(0)
    whole, other = (
        stage.actor(rgb, faces.boxes[0], faces.landmarks[0], fitted.parameters[0])
        for rgb in (picture, np.ascontiguousarray(255 - picture))
    )
    own = stage.perform(whole, fitted.parameters[0], random).astype(float)
    none, half = (
        stage.perform_blended(whole, other, share, fitted.parameters[0], random).astype(float) for share in (0, 0.5)
    )
    assert np.abs(none - own).max() <= 1
    middle, edge = slice(CANVAS // 2 - 20, CANVAS // 2 + 20), slice(0, 20)
    assert np.abs(half[middle, middle] - own[middle, middle]).mean() > 5
    assert np.abs(half[edge] - own[edge]).max() <= 1
    assert half[middle, middle].mean() == pytest.approx(own[middle, middle].mean(), abs=25)


def test_a_blend_has_no_edge() -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[50:150, 50:150] = 1
    weight = within(mask)
    assert weight[100, 100] == pytest.approx(1, abs=0.01)
    assert weight[100, 30] == pytest.approx(0, abs=0.01)
    assert np.abs(np.diff(weight[100])).max() < 0.1


def test_a_new_crop_has_the_camera_that_keeps_the_head_in_place(fitted: Fitted) -> None:
    parameters = fitted.parameters[0]
    box = np.array([150.0, 140.0, 200.0], np.float32)
    scale, tx, ty = recropped(parameters, box)[PLACES["camera"]]
    old_scale, old_tx, old_ty = parameters[PLACES["camera"]]
    for x, y in ((0.0, 0.0), (0.05, -0.03)):
        old = to_frame(old_scale * (x + old_tx), -old_scale * (y + old_ty), np.array([143.5, 143.5, 223.0]))
        new = to_frame(scale * (x + tx), -scale * (y + ty), box)
        np.testing.assert_allclose(new, old, atol=1e-3)


def test_examples_are_made_of_a_face_and_its_reenactments(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[FloatArray] = []
    perform = Stage.perform

    def watched(
        stage: Stage, actor: Actor, parameters: FloatArray, random: np.random.Generator, aside: float | None = None
    ) -> Image:
        changes.append((parameters - actor.parameters)[PLACES["shape"]][:FEATURES])
        return perform(stage, actor, parameters, random, aside)

    monkeypatch.setattr(Stage, "perform", watched)
    gatherer = Gatherer(load_open_head())
    seen = list(gatherer.stills([fetch("single_face")]))
    assert len(seen) == 2  # and mirrored
    made = list(gatherer.examples(seen, 3, np.random.default_rng(0)))
    assert [set(part.kinds.tolist()) for part in made] == [{1}, {2}, {2}, {2}]
    assert all(part.images.shape[1:] == (224, 224, 3) for part in made)
    assert all(np.abs(part.points).max() < 1 for part in made)
    assert np.ptp(np.std(changes, axis=1)) > 0.1  # somebody else's features, by more or less


def test_points_of_a_frame_go_into_the_crop_and_back(faces: Faces) -> None:
    inside = to_crop(faces.landmarks[:, :, :2], faces.boxes)
    back = renderer.to_frame(torch.from_numpy(np.dstack([inside, inside[..., :1]])), torch.from_numpy(faces.boxes))
    np.testing.assert_allclose(back[0, :, :2].numpy() - 0.5, faces.landmarks[0, :, :2], atol=1e-2)
