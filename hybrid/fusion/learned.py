"""A weight for each query: a convex combination whose alpha depends on query features.

alpha of a query = ``alpha`` + sum over slopes of slope times (feature - mean), held to 0 to 1. The
features of a query, none of which needs a judgment:

- ``<branch>.gap``: the first min-max score of the branch minus its tenth;
- ``<branch>.entropy``: of the softmax of its first ten scores;
- ``<branch>+<branch>.overlap``: the share of the first ten that two branches have in common;
- what the pool was told of the text: ``query.length`` in words, and ``<branch>.idf``, the mean
  inverse document frequency of the query's terms in a BM25 branch.

Score distributions as predictors: Shtok et al., TOIS 2012 (gaps); Cummins, SIGIR 2014.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.fusion.norms import minmax
from hybrid.fusion.table import CandidateTable, FloatArray
from hybrid.fusion.values import Fusion

TOP = 10


def table_features(table: CandidateTable, names: Sequence[str]) -> dict[str, FloatArray]:
    """Return feature to one value a query, float64 (queries,).

    Args:
        table: candidates; its rows are ``names``.
        names: the branches.
    """
    scores = minmax(table)
    tops = [_tops(scores, table, row) for row in range(len(names))]
    found: dict[str, FloatArray] = {}
    for name, top in zip(names, tops, strict=True):
        share = np.exp(top * TOP) * (top > 0)
        share = share / np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
        found[f"{name}.gap"] = top[:, 0] - top[:, -1]
        found[f"{name}.entropy"] = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1)
    first = (table.ranks > 0) & (table.ranks <= TOP)
    for a, name in enumerate(names):
        for b in range(a + 1, len(names)):
            both = (first[a] & first[b]).astype(np.float64)
            shared = table.reduce(np.add, both[None], 0.0)[0] / TOP
            found[f"{name}+{names[b]}.overlap"] = shared
    for name, values in table.features.items():
        if name.partition(".")[0] in {*names, "query"}:
            found[name] = values
    return found


def query_alphas(table: CandidateTable, fusion: Fusion) -> FloatArray:
    """Return the alpha of each query, float64 (queries,).

    Raises:
        UsageError: the table lacks a feature, as that of plain runs lacks those of the text.
    """
    names = fusion.branches or ()
    features = table_features(table, names)
    moved = np.full(len(table.lengths), float(fusion.alpha or 0.0))
    for slope in fusion.slopes:
        if slope.feature not in features:
            raise UsageError(
                f"fusion {str(fusion)!r} reads {slope.feature!r}, which is not known here; known "
                f"are {', '.join(features)}. Features of the text need an index, not plain runs"
            )
        moved += slope.slope * (features[slope.feature] - slope.mean)
    return np.asarray(np.clip(moved, 0.0, 1.0))


def _tops(scores: FloatArray, table: CandidateTable, row: int) -> FloatArray:
    """Return each query's first ten scores of a branch, float64 (queries, 10), 0 beyond."""
    top: NDArray[np.float64] = np.zeros((len(table.lengths), TOP))
    query = np.repeat(np.arange(len(table.lengths)), table.lengths)
    chosen = (table.ranks[row] > 0) & (table.ranks[row] <= TOP)
    top[query[chosen], table.ranks[row][chosen] - 1] = scores[row][chosen]
    return top
