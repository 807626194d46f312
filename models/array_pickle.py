"""Pickles of arrays, read without running any of their code.

A pickle is a program: whatever name it asks for, it may call. Here it gets none of the real ones. A handful of names
stand for recorders of this file, which keep bytes, shapes and types and rebuild arrays from them with every size
checked; any other name is refused and told. That is enough for the official FLAME files: numpy arrays, scipy's sparse
matrices, chumpy's arrays (a library that no longer runs) and torch tensors, also as Python 2 wrote them.
"""

import io
import math
import pickle
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt
import torch

from models.errors import AssetCorrupt, AssetError

Array = npt.NDArray[Any]

_DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    RuntimeError,
    AssertionError,
    struct.error,
)
"""What unpickling raises on bytes that are no pickle, or one cut short."""


class PickledArrays(Mapping[str, Any]):
    """The dict a file holds, its arrays rebuilt as they are asked for. Other values come as the recorders kept them."""

    def __init__(self, path: Path, recorded: dict[str, Any]) -> None:
        self._path = path
        self._recorded = recorded

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        """Raises AssetCorrupt when the array's sizes do not fit its bytes."""
        recorded = self._recorded[name]
        try:
            return _rebuilt(recorded)
        except _DAMAGED as error:
            raise AssetCorrupt(f"{self._path}: {name} is no array ({_reason(error)}); get the file again") from error

    def __contains__(self, name: object) -> bool:
        return name in self._recorded

    def __iter__(self) -> Iterator[str]:
        return iter(self._recorded)

    def __len__(self) -> int:
        return len(self._recorded)


def read_pickle(path: Path) -> PickledArrays:
    """The arrays by name of a pickled dict, or of an .npy file that holds one.

    Raises AssetError when the file cannot be opened; AssetCorrupt when it is damaged, holds no dict or asks for
    anything but arrays (nothing of it is run then).
    """
    try:
        with path.open("rb") as file:
            if path.suffix == ".npy":
                _skip_header(file)
            content = _ArrayUnpickler(file, encoding="latin1").load()
            if isinstance(content, _Array):
                content = content.only()
    except OSError as error:
        raise AssetError(f"cannot read {path} ({error.strerror or error}); check the path") from error
    except _Refused as error:
        raise AssetCorrupt(
            f"{path} asks for {error}, which is no array, and was not run; get the file from its maker"
        ) from error
    except _DAMAGED as error:
        raise AssetCorrupt(f"{path} is truncated or no pickle of arrays ({_reason(error)}); get it again") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) and name.isprintable() for name in content):
        raise AssetCorrupt(f"{path} holds no dict of arrays by name; get the file from its maker")
    return PickledArrays(path, content)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or "unexpected end"


def _rebuilt(value: Any) -> Any:  # noqa: ANN401
    # One level: what the file nests deeper is not ours, and shared lists could be nested without end.
    return value.array() if isinstance(value, _Array | _Sparse | _Chumpy) else value


class _Refused(pickle.UnpicklingError):
    """The pickle asks for a name that is not in the table."""


class _ArrayUnpickler(pickle._Unpickler):
    """pickle in Python: a few bytes can make the one in C reserve (and clear) all memory, for its memo."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if module.partition(".")[0] == "chumpy":
            return _Chumpy
        if module.startswith("scipy.sparse") and name.partition("_")[0] in _Sparse.KINDS:
            return _SPARSE[name.partition("_")[0]]
        # Python 2's and numpy 1's names of the same things.
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module).replace("._core.", ".core.")
        try:
            return _NAMES[f"{module}.{name}"]
        except KeyError:
            raise _Refused(ascii(f"{module}.{name}")[1:-1]) from None


class _Recorder:
    """Made by a pickle with any arguments. Classes of it cannot be changed by the pickle, only their instances."""

    __slots__ = ("state",)

    def __init__(self, *_: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Call:
    """A function a pickle may call, but not alter."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> Any:  # noqa: ANN401
        return self._function(*arguments)

    def __setstate__(self, _: object) -> NoReturn:
        raise pickle.UnpicklingError("it changes a function")


class _Type(_Recorder):
    """A numpy.dtype: a plain number's, or `object`."""

    __slots__ = ("code",)

    def __init__(self, code: object = None, *_: object) -> None:
        super().__init__()
        self.code = code

    def dtype(self) -> np.dtype[Any] | None:
        """None stands for objects."""
        if isinstance(self.code, str) and self.code[:1] == "O":
            return None
        if not isinstance(self.code, str) or self.code not in _NUMBERS:
            raise pickle.UnpicklingError(f"an array of {self.code!r}")
        swapped = isinstance(self.state, tuple) and self.state[1] == ">"  # (version, byte order, ...)
        return np.dtype((">" if swapped else "<") + self.code)


_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class _Array(_Recorder):
    """A numpy.ndarray; its state is ([version], shape, type, column-major, bytes or a list of objects)."""

    __slots__ = ()

    def array(self) -> Array:
        shape, kind, column_major, raw = self.state[-4:]
        return _from_bytes(raw, kind, shape, "F" if column_major else "C")

    def only(self) -> object:
        """The object in an array of one object, which is how numpy saves a dict."""
        _, kind, _, raw = self.state[-4:]
        if kind.dtype() is not None or len(raw) != 1:
            raise pickle.UnpicklingError("an array, expected a dict")
        return raw[0]


class _Sparse(_Recorder):
    """A matrix of scipy.sparse, made dense."""

    __slots__ = ()
    KINDS = ("csc", "csr", "coo")
    kind = ""

    def array(self) -> Array:
        state = {str(key).lstrip("_"): _rebuilt(held) for key, held in self.state.items()}
        rows, columns = (int(side) for side in state["shape"])
        if self.kind == "coo":
            row, column = map(_rebuilt, state["coords"]) if "coords" in state else (state["row"], state["col"])
        else:
            counts = np.diff(state["indptr"])
            if (counts < 0).any() or counts.sum() != len(state["data"]):
                raise pickle.UnpicklingError("a sparse matrix of another count of numbers than it says")
            along = np.repeat(np.arange(len(counts)), counts)
            row, column = (state["indices"], along) if self.kind == "csc" else (along, state["indices"])
        if rows * columns > _LARGEST_MATRIX:
            raise pickle.UnpicklingError(f"a matrix of {rows} x {columns}")
        dense: Array = np.zeros((rows, columns), state["data"].dtype)
        np.add.at(dense, (row, column), state["data"])  # duplicates add up, as in scipy
        return dense


_LARGEST_MATRIX = 10_000_000
"""Numbers of a dense matrix: a few bytes could ask for any size. FLAME's regressor has 25 115."""

_SPARSE = {kind: type(f"_{kind}", (_Sparse,), {"__slots__": (), "kind": kind}) for kind in _Sparse.KINDS}


class _Chumpy(_Recorder):
    """Any chumpy object that holds an array `x`, or picks and reshapes one of `a`; its state is its attributes."""

    __slots__ = ()

    def array(self) -> Array:
        if "x" in self.state:
            return np.asarray(_rebuilt(self.state["x"]))
        found = np.asarray(_rebuilt(self.state["a"]))
        if "idxs" in self.state:  # chumpy.reordering.Select
            picked = self.state["idxs"]
            found = found.ravel()[picked.array() if isinstance(picked, _Array) else picked]
        shape = self.state.get("preferred_shape", self.state.get("newshape"))
        return found if shape is None else found.reshape(shape)


def _from_bytes(raw: object, dtype: object, shape: Any, order: Any) -> Array:  # noqa: ANN401
    """Numbers of a buffer; the shape must use up all its bytes."""
    if isinstance(raw, str):  # Python 2's bytes
        raw = raw.encode("latin1")
    if isinstance(dtype, _Type):
        dtype = dtype.dtype()
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, np.dtype) or order not in ("C", "F"):
        raise pickle.UnpicklingError("an array without its numbers")
    if not isinstance(shape, tuple) or any(side < 0 for side in shape):
        raise pickle.UnpicklingError(f"an array of shape {shape}")
    # A copy, because what a buffer of the file lends cannot be written to.
    return np.frombuffer(raw, dtype).reshape(shape, order=order).copy()


def _number(dtype: _Type, raw: object) -> Any:  # noqa: ANN401
    return _from_bytes(raw, dtype, (), "C")[()]


def _remade(kind: type, *_: object) -> _Recorder:
    """copyreg._reconstructor, Python 2's way to make an object before its state is known."""
    if not issubclass(kind, _Recorder):
        raise pickle.UnpicklingError("an object that is no array")
    return kind()


def _encoded(text: str, encoding: str) -> bytes:
    """_codecs.encode, by which Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding!r}")
    return text.encode("latin1")


def _storage(raw: bytes) -> torch.Tensor:
    """torch.storage._load_from_bytes, by torch's own weights-only reader: the numbers of a tensor, flat."""
    with warnings.catch_warnings():
        # Tells a developer how to save; what is no storage is refused all the same.
        warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
        storage = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    return torch.empty(0, dtype=storage.dtype).set_(storage)


def _tensor(storage: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Array:
    """torch._utils._rebuild_tensor_v2; as_strided refuses what lies outside of the storage."""
    if math.prod(size) > storage.numel():
        raise pickle.UnpicklingError("a tensor of more numbers than it holds")
    return torch.as_strided(storage, size, stride, offset).numpy().copy()


def _skip_header(file: BinaryIO) -> None:
    """To the pickle in an .npy file: magic, version, length and text of the header."""
    start = file.read(8)
    if start[:6] != b"\x93NUMPY":
        raise ValueError(f"it starts with {start[:6]!r}")
    length = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
    if b"'|O'" not in file.read(length):
        raise ValueError("an array of numbers, expected a dict")


_NAMES: dict[str, Any] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Type,
    "numpy.core.multiarray._reconstruct": _Call(lambda *_: _Array()),
    "numpy.core.numeric._frombuffer": _Call(_from_bytes),
    "numpy.core.multiarray.scalar": _Call(_number),
    "torch._utils._rebuild_tensor_v2": _Call(_tensor),
    "torch.storage._load_from_bytes": _Call(_storage),
    "copyreg._reconstructor": _Call(_remade),
    "_codecs.encode": _Call(_encoded),
    "collections.OrderedDict": dict,
    "builtins.bytes": _Call(lambda: b""),  # how Python 3 writes no bytes for Python 2
    "builtins.set": set,
    "builtins.object": object,
}
