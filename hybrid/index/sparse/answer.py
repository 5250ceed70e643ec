"""Rows of sparse queries, answered by the kernel in threads: of one segment, or of many as one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import UsageError
from hybrid.index.documents.subset import Subset
from hybrid.kernels.postings import assembly
from hybrid.kernels.sparse import planner, search
from hybrid.kernels.sparse.table import Table
from hybrid.machine.threads import in_slices

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def answers(
    table: Table,
    frequencies: Ints,
    together: float,
    doc_count: int,
    queries: csr_matrix,
    k: int,
    *,
    threads: int,
    shrink: float = 1.0,
    path: int = planner.AUTO,
    within: Subset | None = None,
) -> tuple[Ints, Floats]:
    """Return (doc_nums, scores), both (queries, k), padded with -1 and -inf.

    Args:
        table: of arrays that the caller holds until this returns.
        frequencies: in how many documents of all segments each term is.
        together: see `planner.pays`.
        doc_count: live documents.
        queries: checked.
        k: at least 1.
        threads: queries answered at once; 0 means one a core.
        shrink: under 1, hits may be missed.
        path: `planner.AUTO` or one way for all queries.
        within: the documents that may be hits, as a mask.
    """
    nums = np.empty((queries.shape[0], k), dtype=np.int32)
    scores = np.empty((queries.shape[0], k), dtype=np.float32)
    rows = compiled(queries)
    depth = min(k, doc_count)
    allowed: tuple[Any, ...] = ()
    if within is not None:
        depth = min(depth, len(within))
        allowed = within.mask, depth * doc_count // max(len(within), 1)
    given = table, frequencies, together, *rows
    way = path, depth, shrink, nums, scores, *allowed

    def answer(first: int, last: int) -> None:
        search.answer(*given, first, last, *way)

    in_slices(answer, len(nums), threads)
    return nums, scores


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
    """Return the matrix as canonical CSR float32: sorted terms, no duplicate, no stored zero."""
    if matrix.shape[1] != width:
        raise UsageError(
            f"A {what} matrix has {matrix.shape[1]} columns; the index has {width} terms. "
            "Use the encoder that the index was built with."
        )
    if not isinstance(matrix, csr_matrix) or matrix.dtype != np.float32:
        matrix = csr_matrix(matrix, dtype=np.float32)
    state = assembly.inspect(matrix.indptr, matrix.indices, matrix.data)
    if state == assembly.BAD_WEIGHT:
        raise UsageError(
            f"A {what} has a weight that is negative or not finite; weights must be >= 0."
        )
    if state == assembly.NOT_CANONICAL:
        matrix = matrix.copy()
        matrix.has_canonical_format = False
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix
