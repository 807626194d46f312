"""Sparse matrices and graphs: what the builder asks of SciPy, which comes with the `train` extra."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, vstack
from scipy.sparse.csgraph import connected_components

IntArray = npt.NDArray[np.int64]

Matrix: TypeAlias = Any
"""A csr_array; SciPy brings no types."""


def identity(size: int) -> Matrix:
    """[size, size]."""
    return csr_array((np.ones(size), (np.arange(size), np.arange(size))), shape=(size, size))


def incidence(owners: IntArray, members: IntArray, shape: tuple[int, int], value: float = 1.0) -> Matrix:
    """`value` at every pair of owner and member, summed where a pair comes twice."""
    return csr_array((np.full(len(owners), value), (owners, members)), shape=shape)


def means(rows: IntArray, count: int) -> Matrix:
    """[R, count] the mean of each row's members, of rows [R, n]."""
    size = rows.shape[1]
    return incidence(np.repeat(np.arange(len(rows)), size), rows.ravel(), (len(rows), count), 1 / size)


def scaled(factors: npt.NDArray[np.generic], rows: Matrix) -> Matrix:
    """Rows times factors, one each."""
    return csr_array(rows.multiply(np.asarray(factors, np.float64)[:, None]))


def stack(blocks: Sequence[Matrix]) -> Matrix:
    """One below the other."""
    return csr_array(vstack(blocks))


def sparse(dense: npt.NDArray[np.float64]) -> Matrix:
    """What is not zero of [R, C]."""
    return csr_array(dense)


def select(rows: Matrix, kept: IntArray) -> Matrix:
    """Those of the rows, in that order."""
    return csr_array(rows[kept])


def components(first: IntArray, second: IntArray, count: int) -> IntArray:
    """[count] which connected part of a graph each node is in, of edges from `first` to `second`."""
    _, labels = connected_components(incidence(first, second, (count, count)), directed=False)
    return np.asarray(labels, np.int64)
