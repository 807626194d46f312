"""Pickles as Python 2 wrote the official FLAME files: its strings, its module names, chumpy's objects."""

import io
import pickle
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

OLD_NAMES = {
    b"numpy._core.": b"numpy.core.",
    b"scipy.sparse._csc": b"scipy.sparse.csc",
    b"scipy.sparse._csr": b"scipy.sparse.csr",
    b"scipy.sparse._coo": b"scipy.sparse.coo",
}
"""What numpy and scipy called their modules in the years of Python 2."""


class Ch:
    """As chumpy.ch.Ch pickles itself: its attributes, but for its weak references and caches."""

    def __init__(self, **terms: object) -> None:
        self.__dict__.update(terms, _dirty_vars=set(terms), _itr=None, _depends_on_deps=False)


class Select(Ch):
    """chumpy.reordering.Select: `a` flattened, picked at `idxs` and reshaped."""


Ch.__module__, Select.__module__ = "chumpy.ch", "chumpy.reordering"


def chumpy_array(array: np.ndarray) -> Ch:
    return Ch(x=array)


def chumpy_select(a: object, idxs: np.ndarray, shape: tuple[int, ...]) -> Ch:
    return Select(a=a, idxs=idxs, preferred_shape=shape)


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]  # the one in Python, which can be extended
    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_string(self, text: bytes | str) -> None:
        raw = text.encode("latin1") if isinstance(text, str) else text
        if self.proto == 0:
            self.write(b"S" + ascii(raw)[1:].encode() + b"\n")
        else:
            self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_string


@contextmanager
def _chumpy() -> Iterator[None]:
    """A package of chumpy's name, there while its objects are pickled and no longer."""
    modules = {"chumpy": {}, "chumpy.ch": {"Ch": Ch}, "chumpy.reordering": {"Select": Select}}
    for name, content in modules.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(content)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def python2_pickle(content: object, protocol: int = 2) -> bytes:
    """What pickle.dumps of Python 2 would have given (protocol 0 or 2)."""
    file = io.BytesIO()
    with _chumpy():
        _Python2Pickler(file, protocol, fix_imports=True).dump(content)
    data = file.getvalue()
    for name, old in OLD_NAMES.items():
        data = data.replace(b"c" + name, b"c" + old)  # in the opcode that asks for a name, which ends with its line
    return data
