"""The shipped open head: whole, anatomically right, and moved by FLAME's parameters as their names say."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import AssetCorrupt, AssetUnavailable
from models.flame import Head, HeadLayer
from models.head import HeadModel
from models.open_basis import EXPRESSION_NAMES, JAW_OPEN_RADIANS
from models.open_head import OPEN_HEAD, QUANTUM, load_open_head, pack, read_about, unpack
from models.spec import FloatArray

Pose = Callable[..., Head]
CHIN, LIPS_UPPER, LIPS_LOWER = 8, 62, 66
"""Of the 68 points: the chin, and the middles of the lips' inner edges."""


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_open_head()


@pytest.fixture(scope="module")
def pose(head: HeadModel) -> Pose:
    layer = HeadLayer(head)

    def posed(*, jaw: float = 0.0, lids: tuple[float, float] = (0, 0), **actions: float) -> Head:
        expression = torch.zeros(1, 50)
        for name, value in actions.items():
            expression[0, EXPRESSION_NAMES.index(name)] = value
        return layer(
            shape=torch.zeros(1, 300),
            expression=expression,
            pose=torch.zeros(1, 3),
            jaw=torch.tensor([[jaw, 0.0, 0.0]]),
            eyelids=torch.tensor([lids], dtype=torch.float32),
        )

    return posed


def full(head: Head) -> FloatArray:
    return head.full[0].numpy()


def test_it_is_a_head_of_metres_that_looks_at_the_viewer(head: HeadModel) -> None:
    skull = head.template[np.setdiff1d(head.regions["skin"], head.regions["neck"])]
    width, height, depth = np.ptp(skull, axis=0)
    assert 0.14 < width < 0.2  # with the ears
    assert 0.19 < height < 0.26
    assert 0.17 < depth < 0.24
    eyes = head.joint_regressor[3:] @ head.template
    assert 0.055 < eyes[0, 0] - eyes[1, 0] < 0.07  # the subject's left is at +x
    nose = head.template[head.regions["nose"]]
    assert nose[:, 2].max() == pytest.approx(head.template[:, 2].max())
    assert np.abs(head.template.mean(axis=0)).max() < 0.06


def test_its_only_border_is_the_neck_and_it_is_seen_from_outside(head: HeadModel) -> None:
    edges = np.concatenate([head.faces[:, [0, 1]], head.faces[:, [1, 2]], head.faces[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges)  # no two triangles run along an edge the same way
    border = {end for edge in directed if edge[::-1] not in directed for end in edge}
    assert border == set(head.regions["boundary"].tolist())
    for name in ("left_eyeball", "right_eyeball"):
        ball = head.faces[np.isin(head.faces, head.regions[name]).all(axis=1)]
        a, b, c = head.template[ball].astype(np.float64).transpose(1, 0, 2)
        volume = (a * np.cross(b, c)).sum() / 6
        assert volume == pytest.approx(4 / 3 * np.pi * 0.0135**3, rel=0.3)  # positive: counter-clockwise from outside
    assert 4000 < len(head.template) < 10000


def test_the_face_has_holes_for_eyes_and_mouth(head: HeadModel) -> None:
    face = head.faces[np.isin(head.faces, head.regions["face"]).all(axis=1)]
    edges = np.concatenate([face[:, [0, 1]], face[:, [1, 2]], face[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    following = {start: end for end, start in directed if (start, end) not in directed}
    loops = 0
    while following:
        loops += 1
        start = here = next(iter(following))
        while (here := following.pop(here)) != start:
            pass
    assert loops == 4  # the outline, two eyes, the mouth


def test_left_and_right_are_mirror_images(head: HeadModel) -> None:
    mirrored = head.template * np.array([-1, 1, 1], np.float32)
    distances = np.linalg.norm(head.template[:, None, ::1][::7] - mirrored[None], axis=2).min(axis=1)
    assert distances.max() < 1e-3


def test_a_jaw_of_half_a_radian_opens_the_mouth(head: HeadModel, pose: Pose) -> None:
    still, open_ = full(pose()), full(pose(jaw=JAW_OPEN_RADIANS))
    assert np.allclose(still, full(pose(jaw=0.0)))
    assert still[CHIN, 1] - open_[CHIN, 1] > 0.02
    assert 0.03 < np.linalg.norm(still[CHIN] - open_[CHIN]) < 0.06
    assert abs(still[LIPS_UPPER, 1] - open_[LIPS_UPPER, 1]) < 0.004
    assert open_[LIPS_UPPER, 1] - open_[LIPS_LOWER, 1] > 0.03
    inner = list(zip((61, 62, 63), (67, 66, 65), strict=True))  # upper and lower, from right to left
    assert all(open_[above, 1] - open_[below, 1] > 0.02 for above, below in inner)
    closed = full(pose(jaw=JAW_OPEN_RADIANS, mouthClose=1.0))
    assert closed[LIPS_UPPER, 1] - closed[LIPS_LOWER, 1] < 0.012


def test_each_lid_closes_its_own_eye(head: HeadModel, pose: Pose) -> None:
    def openings(found: Head) -> FloatArray:
        points = full(found)
        right, left = points[[37, 38]] - points[[41, 40]], points[[43, 44]] - points[[47, 46]]
        return np.array([left[:, 1].mean(), right[:, 1].mean()], np.float32)

    neutral, left, right = openings(pose()), openings(pose(lids=(1, 0))), openings(pose(lids=(0, 1)))
    assert (neutral > 0.006).all()
    assert left[0] < 0.3 * neutral[0]
    assert left[1] == pytest.approx(neutral[1], abs=2e-4)
    assert right[1] < 0.3 * neutral[1]
    assert right[0] == pytest.approx(neutral[0], abs=2e-4)


def test_actions_do_what_they_are_called(head: HeadModel, pose: Pose) -> None:
    still = full(pose())
    smile = full(pose(mouthSmileLeft=1.0)) - still
    assert smile[54, 1] > 0.003  # the left corner goes up, and further than the right one
    assert smile[54, 1] > 5 * abs(smile[48, 1])
    brows = full(pose(browInnerUp=1.0)) - still
    assert brows[[21, 22], 1].min() > 0.002
    pucker = full(pose(mouthPucker=1.0))
    assert pucker[54, 0] - pucker[48, 0] < 0.9 * (still[54, 0] - still[48, 0])
    gaze = pose(eyeLookOutLeft=1.0).vertices[0].numpy() - pose().vertices[0].numpy()
    assert gaze[head.regions["left_eyeball"], 0].max() > 0.003
    assert np.abs(gaze[head.regions["right_eyeball"]]).max() < 1e-4
    for name in ("jawOpen", "jawLeft", "jawRight", "tongueOut"):
        assert not head.expression_basis[..., EXPRESSION_NAMES.index(name)].any()
    moving = np.abs(head.expression_basis).max(axis=(0, 1)) > 1e-3
    assert moving.sum() == 46


def test_the_first_shape_axes_hold_most_of_the_variance(head: HeadModel) -> None:
    face = head.shape_basis[head.regions["face"]].reshape(-1, 300).astype(np.float64)
    energy = np.square(face).sum(axis=0)
    assert energy[:10].sum() > 5 * energy[10:].sum()
    assert read_about()["explained"]["300"] > 0.999


def test_the_outline_slides_only_on_the_side_that_turns_away(head: HeadModel) -> None:
    triangles = head.contour.triangles
    assert (triangles[0] == head.full.triangles[:17]).all()
    assert (triangles[1:40, :9] == triangles[0, :9]).all()  # turned left: the right side stays
    assert (triangles[40:, 8:] == triangles[0, 8:]).all()
    corners = head.template[head.faces[triangles[39]]]
    turned = (corners * head.contour.weights[39][..., None]).sum(axis=1)
    frontal = (head.template[head.faces[triangles[0]]] * head.contour.weights[0][..., None]).sum(axis=1)
    assert (turned[10:, 2] > frontal[10:, 2]).all()
    assert np.abs(turned[:, 1] - frontal[:, 1]).max() < 1e-3


def test_it_says_whose_it_is() -> None:
    about = read_about()
    assert about["licence"] == "CC0-1.0"
    assert "MakeHuman" in json.dumps(about["provenance"])
    assert about["landmark_error"]["mediapipe_mean"] < 0.02
    assert OPEN_HEAD.stat().st_size < 8 << 20


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(AssetUnavailable, match=r"none\.npz"):
        load_open_head(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda arrays: arrays.pop("template"), "template"),
        (lambda arrays: arrays["faces"].__setitem__((0, 0), 60000), "faces name vertices"),
        (lambda arrays: arrays["skinning"].__setitem__(0, 0.5), "skinning do not sum"),
        (lambda arrays: arrays["template"].__setitem__((0, 0), np.nan), "not finite"),
        (lambda arrays: arrays.update({"eyelids.low": arrays["eyelids.low"][:1]}), "eyelids"),
        (lambda arrays: arrays["region.face"].__setitem__(0, 4000), "region face"),
        (lambda arrays: arrays["mediapipe.weights"].__setitem__(0, 0.0), "mediapipe do not sum"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(
    tmp_path: Path, spoil: Callable[[dict[str, np.ndarray]], object], told: str
) -> None:
    with np.load(OPEN_HEAD) as file:
        arrays = {name: file[name] for name in file.files}
    spoil(arrays)
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, **arrays)
    with pytest.raises(AssetCorrupt, match=told) as refused:
        load_open_head(wrong)
    assert "\n" not in str(refused.value)


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    torn = tmp_path / "torn.npz"
    torn.write_bytes(OPEN_HEAD.read_bytes()[:100_000])
    with pytest.raises(AssetCorrupt):
        load_open_head(torn)
    with zipfile.ZipFile(tmp_path / "empty.npz", "w") as file:
        file.writestr("other.txt", "")
    with pytest.raises(AssetCorrupt):
        load_open_head(tmp_path / "empty.npz")


def test_packing_keeps_micrometres() -> None:
    values = np.random.default_rng(0).normal(0, 0.01, (3, 7, 3))
    assert np.abs(unpack(pack("x", values), "x") - values).max() <= QUANTUM / 2 * 1.01
    with pytest.raises(ValueError, match=r"0\.100 m"):
        pack("x", np.array([0.1]))
