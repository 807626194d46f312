"""How far a model agrees with MediaPipe on real faces: actions, rotation, landmarks; over clips and over people.

MediaPipe is believed where it can be: in frames in which nothing is before the face, and of actions of which it says
the same when the picture is mirrored. What it guesses is counted too, and judged by nothing.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.flame import HeadLayer, project
from models.head import HeadModel
from models.head_pose import DoubleArray, fit_head
from models.open_basis import BLENDSHAPE_NAMES, actions
from models.spec import FlameParams, FloatArray
from train.errors import MediaError
from train.evaluate.figures import degrees_between, pearson, stacked, turns
from train.evaluate.package import as_the_package_turns
from train.evaluate.report import Figure, Section, Track, untracked
from train.evaluate.watch import Bench, Watched, watch_clip, watch_pictures
from train.real.fit import targets_of
from train.real.media import FIRST_FACE, JUDGED_CLIPS, in_view, portraits, read_clip, read_picture
from train.real.teacher import Faces

BoolArray = npt.NDArray[np.bool_]

KEYS: dict[str, tuple[str, ...]] = {
    "jawOpen": ("jawOpen",),
    "mouthSmile": ("mouthSmileLeft", "mouthSmileRight"),
    "eyeBlink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "browInnerUp": ("browInnerUp",),
}
"""Actions that are judged one by one; the mean of left and right."""
MOVES = 0.02
"""Standard deviation of the teacher's score from which an action moves."""
SURE = 0.6
"""r of the teacher with itself, of mirrored pictures, below which an action is a guess: no model can agree with it."""
KEY_R, MEAN_R, DEGREES, PERCENT = 0.8, 0.6, 4.0, 4.0
"""Targets: r of a key action and on average, mean angle, landmarks in percent of the distance between the eyes."""
_KEY_COLUMNS = {key: [BLENDSHAPE_NAMES.index(name) for name in names] for key, names in KEYS.items()}


@dataclass(frozen=True, slots=True)
class Agreement:
    """A model's figures on F faces."""

    keys: Mapping[str, float | None]
    """r of each of KEYS; None where the teacher's does not move, or is not sure."""
    moving: Mapping[str, float]
    """r of every action that moves and of which the teacher is sure."""
    unsure: Mapping[str, float]
    """r of the other actions that move."""
    degrees: float
    """Mean angle to our fit of MediaPipe's canonical face."""
    package_degrees: float | None
    """The same to the mediapipe package's own, in its space; None where it is not installed or sees no face."""
    percent: float
    """Median distance of the 105 landmarks to MediaPipe's, of the distance between the eyes' outer corners."""

    @property
    def mean_r(self) -> float | None:
        """Over the actions that move, if the teacher is sure of them."""
        return _mean(self.moving)

    @property
    def mean_r_of_all(self) -> float | None:
        """Over the actions that move."""
        return _mean({**self.moving, **self.unsure})


def _mean(figures: Mapping[str, float]) -> float | None:
    return float(np.mean(list(figures.values()))) if figures else None


def key_actions(scores: FloatArray) -> FloatArray:
    """The four of KEYS [N, 4], of actions [N, 52]."""
    return np.stack([scores[:, columns].mean(axis=1) for columns in _KEY_COLUMNS.values()], axis=1)


def agreement(bench: Bench, watched: Watched, params: Sequence[FlameParams]) -> Agreement:
    """How parameters of the faces agree with MediaPipe."""
    found, true = actions(params), watched.faces.blendshapes
    key_r, key_moves, key_sure = _read(key_actions(found), key_actions(true), key_actions(watched.mirrored))
    r, moves, sure = _read(found, true, watched.mirrored)
    turned = turns(np.stack([face.pose for face in params]))
    fitted, _ = fit_head(bench.canonical, watched.faces.landmarks, watched.faces.boxes)
    package_degrees = None
    if watched.rotations is not None:
        seen = np.isfinite(watched.rotations).all(axis=(1, 2))
        if seen.any():
            there = as_the_package_turns(bench.canonical, turned[seen], watched.away[seen])
            package_degrees = float(degrees_between(there, watched.rotations[seen]).mean())
    return Agreement(
        keys={key: float(key_r[i]) if key_moves[i] and key_sure[i] else None for i, key in enumerate(KEYS)},
        moving={name: float(r[i]) for i, name in enumerate(BLENDSHAPE_NAMES) if moves[i] and sure[i]},
        unsure={name: float(r[i]) for i, name in enumerate(BLENDSHAPE_NAMES) if moves[i] and not sure[i]},
        degrees=float(degrees_between(turned, turns(fitted)).mean()),
        package_degrees=package_degrees,
        percent=100 * float(np.median(landmark_distances(bench.head, watched.faces, params))),
    )


def _read(found: FloatArray, true: FloatArray, again: FloatArray) -> tuple[DoubleArray, BoolArray, BoolArray]:
    """r of N actions [F, N] that were found, whether each moves, and whether the teacher says it `again`."""
    return pearson(found, true), true.std(axis=0) >= MOVES, pearson(again, true) >= SURE


@torch.inference_mode()
def landmark_distances(head: HeadModel, faces: Faces, params: Sequence[FlameParams]) -> FloatArray:
    """Distances [F, 105] of the head's landmarks to MediaPipe's, in distances between the eyes' outer corners."""
    values = stacked(params)
    camera = values.pop("camera")
    points = project(HeadLayer(head, landmarks_only=True)(**values).mediapipe, camera)[..., :2].numpy()
    targets = targets_of(head, faces)
    apart: FloatArray = np.linalg.norm(points - targets.points, axis=2) / targets.eye_distance[:, None]
    return apart


def clip_paths(media: Path, names: Sequence[str] | None = None) -> dict[str, Path]:
    """The judged clips by name, all or some of them. Raises MediaError for one that is unknown or not there."""
    chosen = list(JUDGED_CLIPS) if names is None else list(names)
    unknown = [name for name in chosen if name not in JUDGED_CLIPS]
    if unknown:
        raise MediaError(f"clip {unknown[0]}: expected some of {', '.join(JUDGED_CLIPS)}")
    paths = {name: media / JUDGED_CLIPS[name] for name in chosen}
    for path in paths.values():
        if not path.is_file():
            raise MediaError(f"{path}: no such clip; give --media the folder that holds the MANIFEST's files")
    return paths


def judge_clip(bench: Bench, name: str, path: Path, track: Track = untracked) -> tuple[list[Section], Watched]:
    """A clip of a person who is in no training; then, judged by nothing, its frames where something hides the face.

    Raises MediaError or TrainingError.
    """
    frames = itertools.islice(read_clip(path), FIRST_FACE.get(name, 0), None)
    watched = watch_clip(bench, track(frames, f"clip {name}"), str(path))
    clear = in_full_view(name, watched)
    seen, hidden = watched.those(clear), watched.those(~clear)
    sections = [_section(bench, f"clip {name}, {len(seen)} faces", seen, judged=True)]
    if len(hidden):
        what = f"clip {name}, {len(hidden)} faces behind a hand, which the teacher guesses"
        sections.append(_section(bench, what, hidden, judged=False))
    return sections, watched


def in_full_view(name: str, watched: Watched) -> BoolArray:
    """Whether nothing is before each face [F] of a judged clip."""
    path, first = Path(JUDGED_CLIPS[name]), FIRST_FACE.get(name, 0)
    return np.array([in_view(path, first + number) for number in watched.pictures])


def judge_portraits(bench: Bench, media: Path, limit: int | None = None, track: Track = untracked) -> Section:
    """The portraits kept out of training, all or the first; r is over people. Raises MediaError or TrainingError."""
    stills = portraits(media, "held_out")[:limit]
    pictures = (read_picture(still.path) for still in track(stills, "portraits", len(stills)))
    watched = watch_pictures(bench, pictures, str(media))
    return _section(bench, f"held-out portraits, {len(watched)} faces", watched, judged=False)


def _section(bench: Bench, name: str, watched: Watched, *, judged: bool) -> Section:
    """The figures of both models; only clips are judged by targets."""
    model = agreement(bench, watched, watched.model)
    other = agreement(bench, watched, watched.baseline)
    figures = [
        Figure(
            f"r of {key}",
            model.keys[key],
            other.keys[key],
            target=(">=", KEY_R) if judged else None,
            note="" if model.keys[key] is not None else "the teacher's does not move, or it is not sure",
        )
        for key in KEYS
    ]
    counted = f"{len(model.moving)}; {len(model.unsure)} more are the teacher's guesses"
    rows = [
        Figure("r of actions that move, mean", model.mean_r, other.mean_r, "", (">=", MEAN_R), counted),
        Figure("the same, guesses too", model.mean_r_of_all, other.mean_r_of_all),
        Figure("rotation, mean", model.degrees, other.degrees, "°", ("<=", DEGREES), "to our weak-perspective fit"),
        Figure("landmarks, median", model.percent, other.percent, "%", ("<=", PERCENT), "of the eyes' distance"),
    ]
    if model.package_degrees is not None:
        degrees = (model.package_degrees, other.package_degrees)
        rows.insert(
            3, Figure("rotation, mean", *degrees, "°", ("<=", DEGREES), "to the mediapipe package's, in its space")
        )
    if not judged:
        rows = [Figure(row.what, row.model, row.baseline, row.unit, None, row.note) for row in rows]
    details = {
        "faces": len(watched),
        "moving": {"model": dict(model.moving), "baseline": dict(other.moving)},
        "unsure": {"model": dict(model.unsure), "baseline": dict(other.unsure)},
    }
    return Section(name, [*figures, *rows], details)
