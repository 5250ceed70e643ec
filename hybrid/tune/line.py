"""The exact line search: a measure as a function of one weight, with all of its breakpoints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hybrid.evaluate import ArrayScorer

FloatArray = NDArray[np.float64]
GRID = 101


@dataclass(frozen=True)
class Curve:
    """The measure of every query as a step function of alpha on (0, 1).

    Attributes:
        starts: float64 (queries,), the value just above alpha 0.
        alphas: float64 (breakpoints,), rising.
        changes: float64 (breakpoints,), by how much the value of a query changes there.
        queries: int64 (breakpoints,), which query.
    """

    starts: FloatArray
    alphas: FloatArray
    changes: FloatArray
    queries: NDArray[np.int64]

    def mean(self, chosen: NDArray[np.int64] | None = None) -> tuple[FloatArray, FloatArray]:
        """Return (edges, values): the mean over queries is values[i] from edges[i] to edges[i+1].

        Args:
            chosen: positions of the queries to average; all where None.
        """
        part, starts = slice(None), self.starts
        if chosen is not None:
            member = np.zeros(len(self.starts), dtype=bool)
            member[chosen] = True
            part, starts = member[self.queries], self.starts[chosen]  # type: ignore[assignment]
        sums = np.concatenate([[0.0], np.cumsum(self.changes[part])]) + starts.sum()
        edges = np.concatenate([[0.0], self.alphas[part], [1.0]])
        return edges, sums / max(len(starts), 1)

    def best(self, chosen: NDArray[np.int64] | None = None) -> tuple[float, float]:
        """Return (alpha, mean): the middle of the widest stretch that has the greatest mean."""
        edges, values = self.mean(chosen)
        widths = np.diff(edges)
        # A stretch narrower than float32 can tell cannot be hit by a fused score.
        top = values[widths > 1e-6].max()
        reached = np.flatnonzero((values >= top - 1e-12) & (widths > 1e-6))
        widest = reached[np.argmax(widths[reached])]
        return float((edges[widest] + edges[widest + 1]) / 2), float(values[widest])

    def at(self, alpha: float) -> FloatArray:
        """Return the value of each query at one alpha, float64 (queries,)."""
        passed = self.alphas < alpha
        steps = np.bincount(self.queries[passed], self.changes[passed], len(self.starts))
        return np.asarray(self.starts + steps)

    @cached_property
    def grid(self) -> FloatArray:
        """The value of each query at alpha 0, .01, ... 1: float64 (queries, 101)."""
        columns = np.ceil(self.alphas * (GRID - 1)).astype(np.int64)
        steps = np.zeros((len(self.starts), GRID + 1))
        np.add.at(steps, (self.queries, columns), self.changes)
        return np.asarray(self.starts[:, None] + np.cumsum(steps, axis=1)[:, :GRID])

    def stable(self, chosen: NDArray[np.int64]) -> float:
        """Return the middle of the alphas around the best one that lie within one standard error.

        The error is that of the paired difference to the best. The middle moves less from sample
        to sample than the best point does.
        """
        values = self.grid[chosen]
        top, _ = self.best(chosen)
        gaps = self.at(top)[chosen, None] - values
        error = gaps.std(axis=0, ddof=1) / np.sqrt(len(chosen)) if len(chosen) > 1 else 0.0
        within = gaps.mean(axis=0) <= error
        middle = round(top * (GRID - 1))
        if not within[middle]:
            return round(top, 2)
        low = middle - int(np.argmin([*within[middle::-1], False]))
        high = middle + int(np.argmin([*within[middle:], False]))
        return float(round((low + high) / 2)) / (GRID - 1)


def alpha_curve(scorer: ArrayScorer, x: FloatArray, y: FloatArray) -> Curve:
    """Return the curve of the scorer's measure for fused scores (1 - alpha) x + alpha y.

    Args:
        scorer: measures the candidates that x and y score.
        x, y: float64 (n,), finite.
    """
    from hybrid.kernels.measures.breakpoints import all_breakpoints

    starts = np.zeros(len(scorer.judged))
    alphas, changes, queries = all_breakpoints(
        np.ascontiguousarray(x),
        np.ascontiguousarray(y),
        scorer.judged.pool.offsets,
        scorer.offsets,
        scorer.positions,
        scorer.gains,
        scorer.measure.kind,
        scorer.measure.cutoff,
        scorer.ideals,
        starts,
    )
    order = np.argsort(alphas, kind="stable")
    return Curve(starts, alphas[order], changes[order], queries[order])
