"""Rows of sparse queries, answered by the kernel in threads: of one segment, or of many as one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.index.documents.subset import Subset
from hybrid.indexes.query_rows import compiled
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
