"""Arrays come out of a pickle as they went in, and nothing else in it is ever run."""

import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.sparse
import torch

from models.array_pickle import read_pickle
from models.errors import AssetCorrupt, AssetError
from tests.models.flame_pickle import chumpy_array, chumpy_select, python2_pickle

ARRAYS = {
    "float": np.arange(12.0).reshape(3, 4),
    "column-major": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(24, dtype=np.float32).reshape(4, 6)[::2, 1::2],
    "other byte order": np.arange(5, dtype=">i4"),
    "unsigned": np.array([[2**32 - 1, 0]], np.uint32),
    "bytes": np.arange(4, dtype=np.int8),
    "bool": np.array([True, False]),
    "half": np.array(0.5, np.float16),
    "empty": np.zeros((0, 3)),
}


def save(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_arrays_come_back(tmp_path: Path, protocol: int) -> None:
    found = read_pickle(save(tmp_path / "a.pkl", ARRAYS, protocol))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype, name
        assert np.array_equal(found[name], array), name
        found[name][...] = 0  # it is its own


@pytest.mark.parametrize("protocol", [0, 2])
def test_arrays_of_python_2_come_back(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "a.pkl").write_bytes(python2_pickle(ARRAYS, protocol))
    found = read_pickle(tmp_path / "a.pkl")
    for name, array in ARRAYS.items():
        assert np.array_equal(found[name], array), name


@pytest.mark.parametrize("made", [scipy.sparse.csc_matrix, scipy.sparse.csr_matrix, scipy.sparse.coo_matrix])
@pytest.mark.parametrize("form", ["python 2", "python 3", "array"])
def test_sparse_matrices_come_back_dense(tmp_path: Path, made: Callable[..., object], form: str) -> None:
    dense = np.array([[0, 1.5, 0, 0], [2, 0, 0, -3], [0, 0, 0, 0]])
    if form == "array":
        made = getattr(scipy.sparse, made.__name__.replace("matrix", "array"))
    content = {"m": made(dense)}
    (tmp_path / "m.pkl").write_bytes(python2_pickle(content, 2) if form == "python 2" else pickle.dumps(content))
    assert np.array_equal(read_pickle(tmp_path / "m.pkl")["m"], dense)


@pytest.mark.parametrize("protocol", [0, 2])
def test_chumpys_arrays_come_back_without_chumpy(tmp_path: Path, protocol: int) -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    picked = np.array([5, 3, 1, 0])
    content = {
        "plain": chumpy_array(array),
        "select": chumpy_select(chumpy_array(array), picked, (2, 2)),
    }
    (tmp_path / "c.pkl").write_bytes(python2_pickle(content, protocol))
    assert "chumpy" not in sys.modules
    found = read_pickle(tmp_path / "c.pkl")
    assert np.array_equal(found["plain"], array)
    assert np.array_equal(found["select"], [[5, 3], [1, 0]])


def test_numpys_numbers_and_plain_values_come_back(tmp_path: Path) -> None:
    content = {"number": np.float64(2.5), "count": 3, "name": "smpl", "list": [1, 2], "set": {4}}
    found = read_pickle(save(tmp_path / "a.pkl", content))
    assert {name: found[name] for name in content} == content


def test_a_dict_with_tensors_in_an_npy(tmp_path: Path) -> None:
    tensor = torch.arange(24).reshape(4, 6)
    content = {"plain": tensor, "view": tensor[1:, ::2].T, "float": torch.tensor([0.5]), "array": np.eye(2)}
    np.save(tmp_path / "e.npy", content, allow_pickle=True)
    found = read_pickle(tmp_path / "e.npy")
    assert found["plain"].dtype == np.int64
    for name, value in content.items():
        assert np.array_equal(found[name], np.asarray(value)), name


class Calls:
    """Pickled as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("suffix", [".pkl", ".npy"])
def test_a_pickle_that_calls_is_named_and_not_run(tmp_path: Path, protocol: int, suffix: str) -> None:
    content = {"v_template": Calls(os.system, f"touch {tmp_path / 'ran'}")}
    path = tmp_path / f"evil{suffix}"
    if suffix == ".npy":
        np.save(path, content, allow_pickle=True)
    else:
        save(path, content, protocol)
    with pytest.raises(AssetCorrupt, match=r"posix\.system, which is no array, and was not run") as caught:
        read_pickle(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("function", "name"),
    [(eval, "builtins.eval"), (getattr, "builtins.getattr"), (torch.load, "torch"), (np.load, "numpy")],
)
def test_other_ways_to_run_something_are_refused(tmp_path: Path, function: Callable[..., object], name: str) -> None:
    with pytest.raises(AssetCorrupt, match=rf"asks for {name}.*was not run"):
        read_pickle(save(tmp_path / "evil.pkl", {"a": Calls(function, "1")}))


def test_code_inside_of_a_tensors_bytes_is_not_run(tmp_path: Path) -> None:
    inner = pickle.dumps(Calls(os.system, f"touch {tmp_path / 'ran'}"))
    content = {"a": Calls(torch.storage._load_from_bytes, inner)}
    with pytest.raises(AssetCorrupt):
        read_pickle(save(tmp_path / "evil.pkl", content))
    assert not (tmp_path / "ran").exists()


def asks(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


@pytest.mark.parametrize(
    "program",
    [
        asks("numpy.core.multiarray", "_reconstruct") + b"}b.",  # a function given a state
        asks("numpy.core.multiarray", "_reconstruct") + b"(N}\x8c\x09_functionNst\x86b.",
        asks("numpy", "ndarray") + b"}b.",  # a class given a state
        asks("numpy", "ndarray") + b"N}\x8c\x05array" + asks("builtins", "set") + b"s\x86b.",
        asks("builtins", "set") + b"N}\x8c\x03addNs\x86b.",
        asks("copyreg", "_reconstructor") + asks("builtins", "set") + asks("builtins", "object") + b"N\x87R.",
        asks("_codecs", "encode") + b"\x8c\x01a\x8c\x05rot13\x86R.",
        b"\x80\x02\x82\x01.",  # from copyreg's registry of extensions
        b"\x80\x02K\x01Q.",  # from a persistent store
    ],
)
def test_the_recorders_cannot_be_altered(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "evil.pkl").write_bytes(program)
    with pytest.raises(AssetCorrupt):
        read_pickle(tmp_path / "evil.pkl")
    test_arrays_come_back(tmp_path, 2)


def crafted(shape: tuple[int, ...], code: str, raw: object) -> object:
    """An array that says one thing and holds another."""
    array = np.zeros(1)
    function, arguments, _ = array.__reduce__()[:3]  # type: ignore[misc]
    return Crafted(function, arguments, (1, shape, Calls(np.dtype, code, False, True), False, raw))


class Crafted(Calls):
    def __init__(self, function: Callable[..., object], arguments: tuple[object, ...], state: object) -> None:
        super().__init__(function, *arguments)
        self.state = state

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...], object]:  # type: ignore[override]
        return *self.call, self.state


@pytest.mark.parametrize(
    ("shape", "code", "raw"),
    [
        ((10**12,), "f8", b"\0" * 8),  # more than it holds
        ((1,), "f8", b"\0" * 64),  # less
        ((-3,), "f8", b"\0" * 8),
        ((1,), "O8", b"\x41" * 8),  # bytes as pointers
        ((1,), "V8", b"\0" * 8),
        ((2,), "U1", b"\0" * 8),
        ((1,), "f8", [1.0]),
    ],
)
def test_arrays_whose_bytes_do_not_fit_are_refused(
    tmp_path: Path, shape: tuple[int, ...], code: str, raw: object
) -> None:
    found = read_pickle(save(tmp_path / "a.pkl", {"good": np.eye(2), "bad": crafted(shape, code, raw)}))
    assert np.array_equal(found["good"], np.eye(2))
    with pytest.raises(AssetCorrupt, match="bad is no array"):
        found["bad"]


def test_a_sparse_matrix_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    matrix = scipy.sparse.coo_matrix(([1.0], ([0], [0])), shape=(10**9, 10**9))
    found = read_pickle(save(tmp_path / "a.pkl", {"m": matrix}))
    with pytest.raises(AssetCorrupt, match="1000000000 x 1000000000"):
        found["m"]


def test_a_few_bytes_that_ask_for_all_memory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}r\xff\xff\xff\xff.")  # kept as number 4 294 967 295
    assert len(read_pickle(tmp_path / "a.pkl")) == 0
    matrix = scipy.sparse.csc_matrix(np.eye(2))
    matrix.indptr[-1] = 2**31 - 1
    found = read_pickle(save(tmp_path / "m.pkl", {"m": matrix}))
    with pytest.raises(AssetCorrupt, match="another count of numbers"):
        found["m"]


def test_a_tensor_outside_of_its_storage_is_refused(tmp_path: Path) -> None:
    storage = torch.zeros(4)._typed_storage()
    for offset, size, stride, said in (
        (2, (3,), (1,), "out of bounds"),
        (0, (10**6, 10**6), (0, 0), "more numbers than it holds"),  # one number, all over the memory
    ):
        content = {"a": Calls(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})}
        np.save(tmp_path / "e.npy", content, allow_pickle=True)
        with pytest.raises(AssetCorrupt, match=said):
            read_pickle(tmp_path / "e.npy")


def test_lists_that_share_lists_are_left_alone(tmp_path: Path) -> None:
    nested: list[object] = []
    for _ in range(100):
        nested = [nested, nested]  # 2 ** 100 lists for who walks them
    assert "n" in read_pickle(save(tmp_path / "n.pkl", {"n": nested}))


@pytest.mark.parametrize("kept", [0, 1, 20, -1, -30])
def test_a_truncated_pickle(tmp_path: Path, kept: int) -> None:
    path = save(tmp_path / "a.pkl", ARRAYS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(AssetCorrupt, match="truncated or no pickle of arrays"):
        read_pickle(path)


@pytest.mark.parametrize("content", [b"<html>sign in</html>", b"\x93NUMPY\x09\x09", struct.pack("<100d", *range(100))])
@pytest.mark.parametrize("suffix", [".pkl", ".npy"])
def test_what_is_no_pickle(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(AssetCorrupt) as caught:
        read_pickle(tmp_path / f"a{suffix}")
    assert "\n" not in str(caught.value)


def test_an_npy_of_numbers_and_a_pickle_of_a_list_hold_no_arrays_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    with pytest.raises(AssetCorrupt, match="an array of numbers, expected a dict"):
        read_pickle(tmp_path / "a.npy")
    with pytest.raises(AssetCorrupt, match="no dict"):
        read_pickle(save(tmp_path / "l.pkl", [np.eye(3)]))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.pkl", tmp_path):
        with pytest.raises(AssetError, match=r"cannot read .*; check the path"):
            read_pickle(path)


def test_damage_anywhere_is_an_error_of_ours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "e.npy", {"t": torch.arange(24).reshape(4, 6)}, allow_pickle=True)
    content = {"c": chumpy_array(np.eye(3)), "m": scipy.sparse.csc_matrix(np.eye(3)), "i": np.arange(5)}
    bases = [(".pkl", python2_pickle(content, 2)), (".npy", (tmp_path / "e.npy").read_bytes())]
    refused = 0
    for turn in range(1000):
        suffix, data = bases[turn % 2]
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] = rng.integers(256)
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(damaged)
        try:
            found = read_pickle(path)
            for name in found:
                found[name]
        except AssetCorrupt:
            refused += 1
    assert refused > 200


def test_the_module_name_alone_does_not_make_a_class_real(tmp_path: Path) -> None:
    """A module called chumpy on the path is not imported."""
    module = ModuleType("chumpy")
    module.__getattr__ = lambda name: pytest.fail(f"chumpy.{name} was looked up")  # type: ignore[method-assign]
    (tmp_path / "c.pkl").write_bytes(python2_pickle({"x": chumpy_array(np.eye(2))}, 2))
    sys.modules["chumpy"] = module
    try:
        assert np.array_equal(read_pickle(tmp_path / "c.pkl")["x"], np.eye(2))
    finally:
        del sys.modules["chumpy"]
