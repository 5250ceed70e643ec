"""CandidateTable: the candidates that a fusion reads, and reductions over each query's segment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CandidateTable:
    """Candidates in CSR layout over queries, for the branches that take part.

    Attributes:
        offsets: int64 (queries + 1,).
        scores: float64 (branches, n); any finite number where ``known`` is False.
        known: bool (branches, n); all True for a pool.
        ranks: int32 (branches, n), from 1; 0 where the branch did not retrieve the document.
        minimum: float64 (branches,), the least score that a branch can give; -inf where it has no
            bound.
    """

    offsets: NDArray[np.int64]
    scores: FloatArray
    known: NDArray[np.bool_]
    ranks: NDArray[np.int32]
    minimum: FloatArray

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Candidates of each query, int64 (queries,)."""
        return np.diff(self.offsets)

    @cached_property
    def complete(self) -> bool:
        """Whether every score is known, as in a pool."""
        return bool(self.known.all())

    @cached_property
    def retrieved(self) -> NDArray[np.bool_]:
        """Whether each branch retrieved each document, bool (branches, n)."""
        return self.ranks > 0

    def reduce(self, ufunc: Any, values: NDArray[Any], empty: float) -> FloatArray:
        """Return ``ufunc`` over each query's segment, (branches, queries); ``empty`` if none."""
        return reduce_segments(ufunc, values, self.offsets, empty)

    def spread(self, values: FloatArray) -> FloatArray:
        """Return one value a query repeated for each of its candidates, (branches, n)."""
        return np.repeat(values, self.lengths, axis=-1)


def reduce_segments(
    ufunc: Any, values: NDArray[Any], offsets: NDArray[np.int64], empty: float
) -> FloatArray:
    """Return ``ufunc`` over each segment of the last axis; ``empty`` for segments of length 0.

    >>> reduce_segments(np.add, np.array([1.0, 2.0, 4.0]), np.array([0, 2, 2, 3]), 0.0)
    array([3., 0., 4.])
    """
    filled = np.diff(offsets) > 0
    result = np.full((*values.shape[:-1], len(filled)), empty, dtype=np.float64)
    if filled.any():
        result[..., filled] = ufunc.reduceat(values, offsets[:-1][filled], axis=-1)
    return result
