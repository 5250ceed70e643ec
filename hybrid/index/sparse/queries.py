"""Sparse matrices as the kernels take them: checked, and of the types they are compiled for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import UsageError
from hybrid.kernels import loaded, reference
from hybrid.machine.arrays import Floats, Ints


def row_of(matrix: csr_matrix, row: int) -> tuple[Ints, Floats]:
    """Return the terms and weights of one row in the types that the kernels are compiled for."""
    span = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[span].astype(np.int32), np.require(matrix.data[span], requirements="W")


def compiled(matrix: csr_matrix) -> tuple[NDArray[np.int64], Ints, Floats]:
    """Return the arrays of a matrix in the types that the kernels are compiled for."""
    data = matrix.data if matrix.data.flags.writeable else matrix.data.copy()
    indices = matrix.indices
    if indices.dtype != np.int32 or not indices.flags.writeable:
        indices = indices.astype(np.int32)
    return matrix.indptr.astype(np.int64), indices, data


def checked(matrix: csr_matrix, width: int, what: str) -> csr_matrix:
    """Return the matrix as canonical CSR float32: sorted terms, no duplicate, no stored zero.

    Raises:
        UsageError: another width, or a weight that is negative or not finite.
    """
    if matrix.shape[1] != width:
        raise UsageError(
            f"A {what} matrix has {matrix.shape[1]} columns; the index has {width} terms. "
            "Use the encoder that the index was built with."
        )
    if not isinstance(matrix, csr_matrix) or matrix.dtype != np.float32:
        matrix = csr_matrix(matrix, dtype=np.float32)
    inspect: Callable[..., int] = reference.inspect
    if loaded("postings.assembly"):
        from hybrid.kernels.postings.assembly import inspect
    state = inspect(matrix.indptr, matrix.indices, matrix.data)
    if state == reference.BAD_WEIGHT:
        raise UsageError(
            f"A {what} has a weight that is negative or not finite; weights must be >= 0."
        )
    if state == reference.NOT_CANONICAL:
        matrix = matrix.copy()
        matrix.has_canonical_format = False
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix
