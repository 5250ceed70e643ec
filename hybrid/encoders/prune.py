"""Smaller representations: the strongest terms, terms above a threshold, 8-bit weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hybrid.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

LEVELS = 255


def strongest(weights: csr_matrix, count: int) -> csr_matrix:
    """Return the ``count`` greatest weights of every row; ties keep the lower term number.

    Args:
        weights: CSR float32 (texts, vocabulary).
        count: at least 1.

    >>> from scipy.sparse import csr_matrix
    >>> strongest(csr_matrix([[3.0, 1.0, 2.0], [0.0, 1.0, 0.0]]), 2).toarray().tolist()
    [[3.0, 0.0, 2.0], [0.0, 1.0, 0.0]]
    """
    if count < 1:
        raise UsageError(f"count is {count}; expected 1 or more terms")
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    order = np.lexsort((weights.indices, -weights.data, rows))
    place = np.arange(len(order)) - np.asarray(weights.indptr)[rows]
    keep = np.zeros(len(order), dtype=bool)
    keep[order[place < count]] = True
    return _kept(weights, keep)


def above(weights: csr_matrix, threshold: float) -> csr_matrix:
    """Return the weights greater than ``threshold``."""
    return _kept(weights, weights.data > threshold)


def eight_bits(weights: csr_matrix) -> csr_matrix:
    """Return the weights rounded to 255 equal steps of the greatest one, none rounded to 0.

    One scale for all terms, so scores stay inner products of integers.
    """
    found = weights.copy()
    if len(found.data):
        step = found.data.max() / LEVELS
        found.data = (np.maximum(np.rint(found.data / step), 1) * step).astype(np.float32)
    return found


def _kept(weights: csr_matrix, keep: NDArray[np.bool_]) -> csr_matrix:
    found = weights.copy()
    found.data = np.where(keep, found.data, 0).astype(np.float32)
    found.eliminate_zeros()
    return found
