"""Agreement with MediaPipe, on faces whose figures are known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.flame import HeadLayer, project
from models.head import HeadModel
from models.open_basis import BLENDSHAPE_NAMES
from models.renderer import to_frame
from models.spec import FlameParams
from train.errors import MediaError
from train.evaluate.agreement import agreement, clip_paths, judge_clip, landmark_distances
from train.evaluate.figures import stacked
from train.evaluate.watch import Watched
from train.real.media import JUDGED_CLIPS
from train.real.teacher import Faces

Make = Callable[..., Any]
COLUMN = {name: i for i, name in enumerate(BLENDSHAPE_NAMES)}


def scores(count: int = 60) -> np.ndarray:
    """Actions [count, 52] of which three move."""
    random, moved = np.random.default_rng(0), np.full((count, 52), 0.1, np.float32)
    for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft"):
        moved[:, COLUMN[name]] = random.uniform(0, 1, count)
    return moved


def watched_of(faces: Faces, params: list[FlameParams]) -> Watched:
    return Watched(np.arange(len(faces)), faces, faces.blendshapes, params, params, None, np.zeros((len(faces), 2)))


def test_the_same_actions_and_turns_agree_wholly(bench_of: Make, faces_of: Make, params_of: Make, saying: Make) -> None:
    true, poses = scores(), np.random.default_rng(1).normal(scale=0.3, size=(60, 3))
    watched = watched_of(faces_of(poses, true), params_of(poses, true))
    found = agreement(bench_of([], saying(None)), watched, watched.model)
    assert found.keys["browInnerUp"] is None  # it does not move
    assert [found.keys[key] for key in ("jawOpen", "mouthSmile", "eyeBlink")] == pytest.approx([1, 1, 1], abs=1e-5)
    assert found.moving.keys() == {"jawOpen", "mouthSmileLeft", "eyeBlinkLeft"}
    assert found.mean_r == pytest.approx(1, abs=1e-5)
    assert found.degrees < 0.1
    assert found.package_degrees is None


def test_what_the_teacher_does_not_say_again_is_judged_by_nothing(
    bench_of: Make, faces_of: Make, params_of: Make, saying: Make
) -> None:
    true, poses = scores(), np.zeros((60, 3))
    again = true.copy()
    again[:, COLUMN["jawOpen"]] = true[::-1, COLUMN["jawOpen"]]
    said = true.copy()
    said[:, COLUMN["jawOpen"]] = 1 - true[:, COLUMN["jawOpen"]]
    watched = replace(watched_of(faces_of(poses, true), params_of(poses, said)), mirrored=again)
    found = agreement(bench_of([], saying(None)), watched, watched.model)
    assert found.keys["jawOpen"] is None
    assert found.unsure == {"jawOpen": pytest.approx(-1, abs=1e-4)}
    assert found.mean_r == pytest.approx(1, abs=1e-4)
    assert found.mean_r_of_all == pytest.approx(1 / 3, abs=1e-4)


def test_what_is_never_predicted_counts_as_nothing(
    bench_of: Make, faces_of: Make, params_of: Make, saying: Make
) -> None:
    true, poses = scores(), np.zeros((60, 3))
    said = true.copy()
    said[:, COLUMN["jawOpen"]] = 0.5
    turned = poses + np.array([0, np.radians(7), 0])
    watched = watched_of(faces_of(poses, true), params_of(turned, said))
    found = agreement(bench_of([], saying(None)), watched, watched.model)
    assert found.keys["jawOpen"] == 0
    assert found.mean_r == pytest.approx(2 / 3, abs=1e-5)
    assert found.degrees == pytest.approx(7, abs=0.05)


def test_the_package_is_asked_only_where_it_sees_a_face(
    bench_of: Make, faces_of: Make, params_of: Make, saying: Make
) -> None:
    poses = np.zeros((3, 3))
    rotations = np.stack([np.eye(3), np.full((3, 3), np.nan), np.diag([-1.0, 1.0, -1.0])])
    faces, params = faces_of(poses, scores(3)), params_of(poses, scores(3))
    watched = replace(watched_of(faces, params), rotations=rotations)
    found = agreement(bench_of([], saying(None)), watched, params)
    assert found.package_degrees == pytest.approx(90, abs=1e-3)  # the mean of 0 and 180


def test_landmarks_of_the_head_itself_are_where_they_are(head: HeadModel, params_of: Make) -> None:
    params = params_of(np.array([[0, 0.3, 0], [0.1, 0, 0.2]]), scores(2))
    values = stacked(params)
    camera = values.pop("camera")
    seen = project(HeadLayer(head, landmarks_only=True)(**values).mediapipe, camera)
    boxes = np.array([[300, 200, 150], [80, 90, 60]], np.float32)
    landmarks = np.zeros((2, 478, 3), np.float32)
    landmarks[:, head.mediapipe_indices, :2] = to_frame(seen, torch.from_numpy(boxes)).numpy()[..., :2] - 0.5
    assert landmark_distances(head, Faces(landmarks, scores(2), boxes), params).max() < 1e-3
    eyes = np.linalg.norm(landmarks[:, 33, :2] - landmarks[:, 263, :2], axis=1)
    landmarks[:, :, 0] += 0.1 * eyes[:, None]
    apart = landmark_distances(head, Faces(landmarks, scores(2), boxes), params)
    assert apart == pytest.approx(np.full((2, 105), 0.1), abs=1e-3)


def test_a_clip_that_is_missing_or_unknown_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"noface_face\.mov: no such clip; give --media"):
        clip_paths(tmp_path, ["man"])
    with pytest.raises(MediaError, match="clip dog: expected some of woman, man, gesture"):
        clip_paths(tmp_path, ["dog"])


@pytest.mark.media
def test_frames_behind_a_hand_are_counted_apart(
    bench_of: Make, faces_of: Make, params_of: Make, saying: Make, media: Make
) -> None:
    path = media(JUDGED_CLIPS["gesture"])
    true = scores(195)
    true[54:] = 1 - true[54:]
    seen = [faces_of(np.zeros((1, 3)), row[None]) for row in true]
    told = [*params_of(np.zeros((54, 3)), true[:54]), *params_of(np.zeros((141, 3)), 1 - true[54:])]
    model = saying(lambda batch: [told.pop(0) for _ in batch.blendshapes], needs_crops=False)
    other = saying(lambda batch: params_of(np.zeros((len(batch), 3)), batch.blendshapes), needs_crops=False)
    (clear, hidden), watched = judge_clip(bench_of(seen, model, other), "gesture", path)
    assert (len(watched), clear.details["faces"], hidden.details["faces"]) == (195, 54, 141)
    assert clear.figures[0].model == pytest.approx(1, abs=1e-4)
    assert hidden.figures[0].model == pytest.approx(-1, abs=1e-4)
    assert clear.figures[0].met is True
    assert hidden.figures[0].met is None


@pytest.mark.media
def test_a_real_clip_is_read_to_its_end(
    bench_of: Make, faces_of: Make, params_of: Make, saying: Make, media: Make
) -> None:
    """The judged clip's frames after its title reach the teacher and the models; what these say is made up."""
    path = media(JUDGED_CLIPS["man"])
    true = scores(73)
    seen = [faces_of(np.zeros((1, 3)), row[None]) for row in true]
    mirror = saying(lambda batch: params_of(np.zeros((len(batch), 3)), 1 - batch.blendshapes), needs_crops=False)
    (section,), watched = judge_clip(bench_of(seen, mirror), "man", path)
    by_name = {figure.what: figure for figure in section.figures}
    assert len(watched) == 73
    assert by_name["r of jawOpen"].model == pytest.approx(-1, abs=1e-4)
    assert by_name["r of jawOpen"].met is False
    assert by_name["r of browInnerUp"].met is None
    assert "does not move" in by_name["r of browInnerUp"].note
    assert by_name["rotation, mean"].met is True
