"""The official files are read whole and safely, and another edition of FLAME is refused with the reason."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

from models import flame_file
from models.errors import AssetCorrupt, AssetError
from models.flame import HeadLayer
from models.flame_file import OPEN_MARK, open_flame
from models.head import HeadModel
from tests.models.flame_pickle import chumpy_array, python2_pickle

VERTICES, TRIANGLES = 80, 150
Content = dict[str, Any]


def flame_content(vertices: int = VERTICES, triangles: int = TRIANGLES) -> Content:
    """What generic_model.pkl holds, by key, type and shape; the numbers are random."""
    rng = np.random.default_rng(1)
    parents = np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], np.uint32)
    regressor = rng.dirichlet(np.ones(vertices), 5)
    regressor[regressor < 0.01] = 0
    return {
        "f": np.stack([rng.permutation(vertices)[:3] for _ in range(triangles)]).astype(np.uint32),
        "v_template": chumpy_array(0.1 * rng.standard_normal((vertices, 3))),
        "shapedirs": chumpy_array(1e-3 * rng.standard_normal((vertices, 3, 400))),
        "posedirs": 1e-3 * rng.standard_normal((vertices, 3, 36)),
        "J_regressor": scipy.sparse.csc_matrix(regressor),
        "kintree_table": parents,
        "weights": rng.dirichlet(np.ones(5), vertices),
        "J": rng.standard_normal((5, 3)),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def embedding_content() -> Content:
    rng = np.random.default_rng(2)

    def points(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.integers(0, TRIANGLES, shape), rng.dirichlet(np.ones(3), shape)

    static, contour, full = points(51), points(79, 17), points(1, 68)
    return {
        "static_lmk_faces_idx": static[0],
        "static_lmk_bary_coords": static[1],
        "dynamic_lmk_faces_idx": torch.from_numpy(contour[0]),
        "dynamic_lmk_bary_coords": torch.from_numpy(contour[1]).float(),
        "full_lmk_faces_idx": full[0],
        "full_lmk_bary_coords": full[1].astype(np.float32),
    }


class Files:
    """A folder of the official files, each of which a test can write anew."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(3)
        self.flame = folder / "generic_model.pkl"
        self.points = folder / "landmark_embedding.npy"
        self.mediapipe = folder / "mediapipe_landmark_embedding.npz"
        self.eyelids = folder / "l_eyelid.npy", folder / "r_eyelid.npy"
        self.masks = folder / "FLAME_masks.pkl"
        self.write_flame(flame_content())
        self.write_points(embedding_content())
        self.write_mediapipe(
            lmk_face_idx=rng.integers(0, TRIANGLES, 105).astype(np.uint32),
            lmk_b_coords=rng.dirichlet(np.ones(3), 105),
            landmark_indices=np.arange(105),
        )
        for path in self.eyelids:
            np.save(path, rng.standard_normal((VERTICES, 3)))
        self.write_masks({"face": np.arange(5, 50), "lips": np.array([9, 7, 8]), "nose": np.arange(3)})

    def write_flame(self, content: Content) -> None:
        self.flame.write_bytes(python2_pickle(content))

    def write_points(self, content: Content) -> None:
        np.save(self.points, content, allow_pickle=True)

    def write_mediapipe(self, **content: np.ndarray) -> None:
        np.savez(self.mediapipe, **content)

    def write_masks(self, content: Content) -> None:
        self.masks.write_bytes(pickle.dumps(content, 2))

    def open(self, *, resaved: bool = True) -> HeadModel:
        return open_flame(
            self.flame,
            landmark_embedding=self.points,
            mediapipe_embedding=self.mediapipe,
            eyelids=self.eyelids,
            masks=self.masks,
            resaved=resaved,
        )

    def refusal(self, kind: type[AssetError] = AssetCorrupt, *, resaved: bool = True) -> str:
        with pytest.raises(kind) as caught:
            self.open(resaved=resaved)
        message = str(caught.value)
        assert "\n" not in message
        assert "; " in message  # ends with what to do about it
        return message


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_every_array_is_where_it_belongs(files: Files) -> None:
    flame, points = flame_content(), embedding_content()
    head = files.open()
    shapes = flame["shapedirs"].x
    assert (head.basis, head.parents, head.uv) == ("flame2020", (-1, 0, 1, 1, 1), None)
    assert "generic_model.pkl" in head.name
    expected = {
        "template": flame["v_template"].x,
        "shape_basis": shapes[:, :, :300],
        "expression_basis": shapes[:, :, 300:350],
        "joint_regressor": flame["J_regressor"].toarray(),
        "skinning": flame["weights"],
        "eyelids": np.stack([np.load(path) for path in files.eyelids]),
    }
    for name, array in expected.items():
        found = getattr(head, name)
        assert found.dtype == np.float32, name
        assert found.flags.c_contiguous, name
        assert np.array_equal(found, array.astype(np.float32)), name
    assert np.array_equal(head.faces, flame["f"])
    assert head.faces.dtype == np.int64
    for vertex, axis, feature in ((0, 0, 0), (7, 2, 35), (79, 1, 20)):
        wanted = np.float32(flame["posedirs"][vertex, axis, feature])
        assert head.pose_basis[feature, 3 * vertex + axis] == wanted
    assert np.array_equal(head.static.triangles, points["static_lmk_faces_idx"])
    assert np.array_equal(head.contour.weights, points["dynamic_lmk_bary_coords"].numpy())
    assert np.array_equal(head.full.triangles, points["full_lmk_faces_idx"][0])
    assert head.full.weights.shape == (68, 3)
    assert head.mediapipe.weights.shape == (105, 3)
    assert head.mediapipe_indices.tolist() == list(range(105))
    assert head.regions["lips"].tolist() == [7, 8, 9]
    assert sorted(head.regions) == ["face", "lips", "nose"]


def test_the_layer_takes_it(files: Files) -> None:
    head = HeadLayer(files.open())(*(torch.zeros(2, size) for size in (300, 50, 3, 3, 2)))
    template = torch.from_numpy(flame_content()["v_template"].x).float()
    assert torch.allclose(head.vertices, template.expand(2, -1, -1), atol=1e-6)


def test_a_copy_saved_again_without_chumpy(files: Files) -> None:
    content = flame_content()
    before = files.open()
    plain = {key: value.x if hasattr(value, "x") else value for key, value in content.items()}
    plain["J_regressor"] = content["J_regressor"].toarray()
    files.flame.write_bytes(pickle.dumps(plain))
    after = files.open()
    assert np.array_equal(after.shape_basis, before.shape_basis)
    assert np.array_equal(after.joint_regressor, before.joint_regressor)


def test_keys_that_are_not_needed_may_hold_anything_harmless(files: Files) -> None:
    strange = chumpy_array(np.eye(2))
    del strange.__dict__["x"]
    files.write_flame(flame_content() | {"v_shaped": strange, "J": [1, {"a": 2}]})
    assert files.open().template.shape == (VERTICES, 3)


def test_an_unknown_file_is_refused_unless_vouched_for(files: Files) -> None:
    message = files.refusal(AssetError, resaved=False)
    assert str(files.flame) in message
    assert "FLAME 2020 has efcd14cc4a69..." in message
    assert "resaved=True" in message


def test_the_official_hash_needs_nobodys_word(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    monkeypatch.setattr(flame_file, "FLAME_2020_SHA256", hashlib.sha256(files.flame.read_bytes()).hexdigest())
    assert files.open(resaved=False).basis == "flame2020"


@pytest.mark.parametrize("resaved", [False, True])
def test_flame_2023_open_is_refused_by_its_mark_with_the_reason(files: Files, resaved: bool) -> None:
    files.write_flame(flame_content() | {OPEN_MARK: {"n_expr": 100}})
    message = files.refusal(AssetError, resaved=resaved)
    assert "is FLAME 2023 Open: its shape and expression axes are turned against those of FLAME 2020" in message
    assert str(files.flame) in message


@pytest.mark.parametrize("edition", ["FLAME 2023 Open", "FLAME 2023"])
def test_other_editions_are_refused_by_hash_before_they_are_read(
    files: Files, monkeypatch: pytest.MonkeyPatch, edition: str
) -> None:
    import hashlib

    files.flame.write_bytes(b"whatever it holds")
    sha256 = hashlib.sha256(b"whatever it holds").hexdigest()
    monkeypatch.setitem(flame_file.OTHER_EDITIONS, sha256, edition)
    assert f"is {edition}: " in files.refusal(AssetError)


def test_a_pickle_that_runs_a_command_is_named_and_not_run(files: Files, tmp_path: Path) -> None:
    class RunsACommand:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    evil = {"face": RunsACommand()}
    for path in (files.flame, files.masks):
        good = path.read_bytes()
        path.write_bytes(pickle.dumps(evil, 2))
        message = files.refusal()
        assert str(path) in message
        assert "posix.system, which is no array, and was not run" in message
        path.write_bytes(good)
    np.save(files.points, evil, allow_pickle=True)
    assert "was not run" in files.refusal()
    np.save(files.eyelids[0], np.array([RunsACommand()]), allow_pickle=True)
    files.write_points(embedding_content())
    assert str(files.eyelids[0]) in files.refusal()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("which", ["flame", "points", "mediapipe", "eyelid", "masks"])
def test_missing_and_cut_files_are_named(files: Files, which: str) -> None:
    path: Path = files.eyelids[1] if which == "eyelid" else getattr(files, which)
    data = path.read_bytes()
    for kept in (0, 50, len(data) // 2):
        path.write_bytes(data[:kept])
        assert str(path) in files.refusal()
    path.unlink()
    message = files.refusal(AssetError)
    assert str(path) in message
    assert "No such file" in message


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "shapedirs",
            np.zeros((VERTICES, 3, 300)),
            f"float64 [{VERTICES}, 3, 300], expected numbers [{VERTICES}, 3, 400]",
        ),
        ("weights", np.zeros((VERTICES - 1, 5)), f"[{VERTICES - 1}, 5]"),
        ("v_template", np.full((VERTICES, 3), np.nan), "v_template holds NaN"),
        ("f", np.full((9, 3), VERTICES), f"f goes from {VERTICES} to {VERTICES}, expected 0 to {VERTICES - 1}"),
        ("f", np.zeros((9, 3)), "expected whole numbers [any, 3]"),
        ("posedirs", "none", "posedirs is <U4 []"),
        ("kintree_table", np.array([[-1, 0, 3, 1, 1], range(5)]), "kintree_table names a parent after its joint"),
    ],
)
def test_arrays_that_do_not_fit_are_named(files: Files, key: str, value: object, said: str) -> None:
    files.write_flame(flame_content() | {key: value})
    message = files.refusal()
    assert said in message
    assert str(files.flame) in message


def test_what_is_lacking_is_named(files: Files) -> None:
    content = flame_content()
    del content["posedirs"]
    files.write_flame(content)
    assert "lacks 'posedirs'" in files.refusal()
    files.write_flame(flame_content())
    files.write_masks({"lips": np.arange(3)})
    assert "lacks the region 'face'" in files.refusal()
    files.write_mediapipe(lmk_face_idx=np.zeros(105, int))
    assert "lacks 'lmk_b_coords'" in files.refusal()


def test_landmarks_of_another_head_are_refused(files: Files) -> None:
    content = embedding_content()
    content["dynamic_lmk_faces_idx"][3, 4] = TRIANGLES
    files.write_points(content)
    message = files.refusal()
    assert f"dynamic_lmk_faces_idx goes from 0 to {TRIANGLES}, expected 0 to {TRIANGLES - 1}" in message
    assert str(files.points) in message


def test_eyelids_of_another_head_are_refused(files: Files) -> None:
    np.save(files.eyelids[1], np.zeros((VERTICES + 1, 3)))
    assert str(files.eyelids[1]) in files.refusal()
