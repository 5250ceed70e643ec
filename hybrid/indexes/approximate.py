"""What a faster, approximate search costs in recall, measured on the index itself.

Shrinking every upper bound by a factor under 1 skips blocks that could, but seldom do, hold a hit
(threshold over-estimation, Macdonald et al., 2012). A user names a recall; the factor that kept it
on sampled queries is looked up here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import UsageError

FACTORS = (0.95, 0.9, 0.85, 0.8, 0.7, 0.6)
DEPTH = 10
TERMS = 30
Ints = NDArray[np.int32]
Search = Callable[[csr_matrix, int, float], tuple[Ints, NDArray[np.float32]]]


@dataclass(frozen=True)
class Approximation:
    """One factor, and the share of the exact top 10 that it found on the sampled queries."""

    shrink: float
    recall: float


def sample_queries(rows: csr_matrix) -> csr_matrix:
    """Return documents as queries: the heaviest 30 terms of each row."""
    kept = rows.copy()
    for row in range(rows.shape[0]):
        span = slice(rows.indptr[row], rows.indptr[row + 1])
        data = kept.data[span]
        if len(data) > TERMS:
            data[data < np.partition(data, len(data) - TERMS)[len(data) - TERMS]] = 0
    kept.eliminate_zeros()
    return kept


def measure(search: Search, queries: csr_matrix) -> list[Approximation]:
    """Return the recall of each factor; ``search(queries, k, shrink)`` with 1.0 is exact.

    The best hit of each query is left out: a document used as a query finds itself too easily.
    """
    _, exact = search(queries, DEPTH + 1, 1.0)
    hit = np.isfinite(exact)
    last = np.where(hit, exact, np.inf).min(axis=1, initial=np.inf)[:, None]
    wanted = int(hit[:, 1:].sum())
    made = []
    for factor in FACTORS:
        _, scores = search(queries, DEPTH + 1, factor)
        # By score, so that a tie at the cutoff is not counted as a miss.
        found = int((np.isfinite(scores[:, 1:]) & (scores[:, 1:] >= last)).sum())
        made.append(Approximation(factor, found / wanted if wanted else 1.0))
    return made


def shrink_for(recall: float, table: list[Approximation]) -> float:
    """Return the smallest factor whose measured recall is at least ``recall``; 1.0 if none.

    Raises:
        UsageError: ``recall`` is not in (0, 1].
    """
    if not 0 < recall <= 1:
        raise UsageError(f"recall is {recall}; it must be above 0 and at most 1.")
    if recall == 1:
        return 1.0
    return min((entry.shrink for entry in table if entry.recall >= recall), default=1.0)
