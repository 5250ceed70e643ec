"""A weight for each query, from what is known before judging; kept only where it wins held out.

The model is linear in a few standardised features of the query and of the branches' scores. It
learns from the exact curves: a query's target is how much more its measure gains to the right of
the common alpha than to the left. Ridge keeps it small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.evaluate.significance import Difference, compare_paired
from hybrid.fusion import Fusion
from hybrid.fusion.apply import pool_table
from hybrid.fusion.normalise import normalise
from hybrid.fusion.table import FloatArray
from hybrid.pool import Pool
from hybrid.tune.line import GRID, Curve
from hybrid.tune.search import Line, Search
from hybrid.tune.verdict import SIGNIFICANT

TOP = 10
REACH = 30
STEPS = (0.0, 0.5, 1.0, 2.0, 4.0)
RIDGE = 10.0


def query_features(
    pool: Pool, extra: Mapping[str, Mapping[str, float]] | None = None
) -> tuple[tuple[str, ...], FloatArray]:
    """Return (names, float64 (queries, features)), all known before judging.

    For each branch the gap between its first and tenth normalised score and the entropy of its
    first ten, and for each two branches the share of their first ten that they have in common.

    Args:
        pool: the candidates.
        extra: further features, name to query to value, such as query length or idf.

    Raises:
        UsageError: an extra feature lacks a query.
    """
    names: list[str] = []
    columns: list[FloatArray] = []
    rows = np.arange(len(pool.branches))
    taken, table = pool_table(pool, rows)
    scores, starts = normalise(table, "tmm"), table.offsets
    tops = [_tops(scores, table.ranks, starts, row) for row in range(len(rows))]
    for name, top in zip(pool.branches, tops, strict=True):
        share = np.exp(top * TOP) * (top > 0)
        share = share / np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
        entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1)
        names += [f"{name} gap", f"{name} entropy"]
        columns += [top[:, 0] - top[:, -1], entropy]
    for a in rows:
        for b in rows[a + 1 :]:
            first = ((table.ranks[[a, b]] > 0) & (table.ranks[[a, b]] <= TOP)).all(axis=0)
            both = np.add.reduceat(np.append(first, False), np.append(starts, len(taken))[:-1])
            shared = np.where(table.lengths > 0, both[: len(pool)], 0) / TOP
            names.append(f"{pool.branches[a]} and {pool.branches[b]} overlap")
            columns.append(shared.astype(np.float64))
    for name, values in (extra or {}).items():
        missing = [query for query in pool.query_ids if query not in values]
        if missing:
            raise UsageError(f"feature {name!r} has no value for query {missing[0]!r}")
        names.append(name)
        columns.append(np.array([float(values[query]) for query in pool.query_ids]))
    return tuple(names), np.stack(columns, axis=1)


def _tops(
    scores: FloatArray, ranks: NDArray[np.int32], starts: NDArray[np.int64], row: int
) -> FloatArray:
    """Return each query's first ten scores of a branch, float64 (queries, 10), 0 beyond."""
    top = np.zeros((len(starts) - 1, TOP))
    query = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    chosen = (ranks[row] > 0) & (ranks[row] <= TOP)
    top[query[chosen], ranks[row][chosen] - 1] = scores[row][chosen]
    return top


@dataclass(frozen=True)
class PerQueryModel:
    """alpha of a query = ``centre`` + ``step`` times ``weights`` . standardised features.

    Attributes:
        line: what alpha mixes.
        centre: the common alpha.
        step: how far the model may move it; 0 leaves it.
        names: of the features.
        mean, scale, weights: float64 (features,).
    """

    line: Line
    centre: float
    step: float
    names: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    weights: FloatArray

    def alphas(self, features: FloatArray) -> FloatArray:
        """Return alpha for each row of ``features`` (queries, features), from 0 to 1."""
        moved = ((features - self.mean) / self.scale) @ self.weights
        return np.clip(self.centre + self.step * moved, 0.0, 1.0)

    def fuse(self, pool: Pool, features: FloatArray) -> FloatArray:
        """Return fused scores of the candidates, float64 (n,); -inf as in ``fusion.fuse``."""
        rows = np.array([pool.branch(name) for name in self.line.names])
        taken, table = pool_table(pool, rows)
        x = normalise(table, self.line.norm)
        alpha = np.repeat(self.alphas(features), table.lengths)
        fused = np.full(len(pool.doc_nums), -np.inf)
        fused[taken] = (1 - alpha) * x[0] + alpha * x[1]
        return fused

    def to_dict(self) -> dict[str, Any]:
        """Return the model as JSON data."""
        return {
            "fusion": str(Fusion("cc", (), self.centre, None, self.line.norm, self.line.names)),
            "step": self.step,
            "features": {
                name: {"mean": float(m), "scale": float(s), "weight": float(w)}
                for name, m, s, w in zip(
                    self.names, self.mean, self.scale, self.weights, strict=True
                )
            },
        }


@dataclass(frozen=True)
class PerQueryResult:
    """The model and whether it may be used.

    Attributes:
        model: fitted to all queries.
        difference: held-out per-query weights minus held-out common weight.
        keep: whether the difference is positive and significant.
    """

    model: PerQueryModel
    difference: Difference
    keep: bool


def learn_per_query(
    search: Search,
    names: tuple[str, ...],
    features: FloatArray,
    *,
    norm: str = "minmax",
    folds: int = 5,
    seed: int = 0,
) -> PerQueryResult:
    """Return the per-query model of the two branches, judged by cross-validation.

    Args:
        search: over the judged queries; two branches.
        names, features: of ``query_features`` for the judged pool, in its order.
        norm: normalisation of the line.
        folds: of the cross-validation.
        seed: of folds and test.

    Raises:
        UsageError: other than two branches, or features of other queries.
    """
    branches, count = search.space.branches, len(search.bench.judged)
    if len(branches) != 2 or features.shape != (count, len(names)):
        raise UsageError(
            f"{len(branches)} branches and features {features.shape} were given; expected 2 "
            f"branches and ({count}, {len(names)})"
        )
    line = Line("cc", norm, (), branches)
    curve = search.curve(line)
    own, common = np.zeros(count), np.zeros(count)
    order = np.random.default_rng(seed).permutation(count)
    for part in np.array_split(order, min(folds, count)):
        rest = np.sort(np.setdiff1d(order, part))
        model = _fit(line, curve, names, features, rest)
        own[part] = _at(curve, part, model.alphas(features[part]))
        common[part] = _at(curve, part, np.full(len(part), model.centre))
    (difference,) = compare_paired(own, [common], seed=seed)
    keep = difference.mean > 0 and difference.p < SIGNIFICANT
    return PerQueryResult(_fit(line, curve, names, features, np.arange(count)), difference, keep)


def _fit(
    line: Line,
    curve: Curve,
    names: tuple[str, ...],
    features: FloatArray,
    queries: NDArray[np.int64],
) -> PerQueryModel:
    centre = curve.stable(queries)
    mean, scale = features[queries].mean(axis=0), features[queries].std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x = (features[queries] - mean) / scale
    middle = round(centre * (GRID - 1))
    right = curve.grid[queries, middle : middle + REACH].mean(axis=1)
    left = curve.grid[queries, max(0, middle - REACH) : middle + 1].mean(axis=1)
    slope = right - left
    gram = x.T @ x + RIDGE * np.eye(len(names))
    weights = np.linalg.solve(gram, x.T @ (slope - slope.mean()))
    found = [PerQueryModel(line, centre, step, names, mean, scale, weights) for step in STEPS]
    means = [_at(curve, queries, model.alphas(features[queries])).mean() for model in found]
    return found[int(np.argmax(means))]


def _at(curve: Curve, queries: NDArray[np.int64], alphas: FloatArray) -> FloatArray:
    columns = np.rint(alphas * (GRID - 1)).astype(np.int64)
    return np.asarray(curve.grid[queries, columns])
