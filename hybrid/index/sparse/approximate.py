"""The recall that a faster, approximate sparse search costs, measured on the index itself.

Shrinking every upper bound by a factor under 1 skips blocks that could, but seldom do, hold a hit
(threshold over-estimation, Macdonald et al., 2012). A user names a recall; the factor that kept it
on sampled queries is looked up here. Short queries lose more than long ones, so both are made of
sampled documents and the lower recall counts. It is measured at the depths at which an index of
this size is pruned at all; deeper searches are exact whatever was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import UsageError
from hybrid.kernels.sparse import planner, tiles
from hybrid.machine.arrays import Ints

FACTORS = (0.975, 0.95, 0.9, 0.85, 0.8, 0.7)
DEPTHS = (10, 100, 1000)
LONG = 30
SHORT = 5
Search = Callable[[csr_matrix, int, float], tuple[Ints, NDArray[np.float32]]]


@dataclass(frozen=True)
class Approximation:
    """One factor, and the share of the exact top ``depth`` that it found on sampled queries."""

    shrink: float
    recall: float
    depth: int
    queries: int


@dataclass(frozen=True)
class Accuracy:
    """The exactness of one search of a sparse branch; prints as its label.

    Attributes:
        shrink: what upper bounds are multiplied by; 1 is exact.
        recall: the share of the exact top ``depth`` that was found at build; 1 if exact.
        depth: of that measurement; 0 if exact.
        queries: on how many sampled queries; 0 if exact.
        reason: why a search that may be approximate is exact.
    """

    shrink: float = 1.0
    recall: float = 1.0
    depth: int = 0
    queries: int = 0
    reason: str = ""

    @property
    def exact(self) -> bool:
        """Whether no hit can be missed."""
        return self.shrink == 1

    def __str__(self) -> str:
        if self.exact:
            return f"exact: {self.reason}" if self.reason else "exact"
        return (
            f"approximate: recall about {self.recall:.3f} of the top {self.depth}, measured at "
            f"build on {self.queries} sampled queries (bounds x {self.shrink:g})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the label as JSON data."""
        return {"exact": self.exact, **asdict(self), "label": str(self)}


def check_share(name: str, value: float) -> None:
    """Refuse a recall, or a factor of bounds, that is not in (0, 1].

    Raises:
        UsageError: it is not.
    """
    if not isinstance(value, Real) or not 0 < value <= 1:
        raise UsageError(f"{name} is {value!r}; it must be above 0 and at most 1 (which is exact)")


def depths(documents: int) -> tuple[int, ...]:
    """Return the depths of which pruning may pay in an index of so many documents.

    >>> depths(20_000), depths(1_000_000)
    ((), (10, 100))
    """
    return tuple(d for d in DEPTHS if d * planner.HIT_TILES <= documents // tiles.TILE)


def queries_of(rows: csr_matrix, seed: int) -> list[csr_matrix]:
    """Return documents as long and as short queries.

    A short one holds 5 terms, drawn by weight: the heaviest alone would find more than real
    queries do, and terms drawn evenly less.
    """
    rng = np.random.default_rng(seed)
    short = rows.copy()
    for row in range(rows.shape[0]):
        data = short.data[rows.indptr[row] : rows.indptr[row + 1]]
        if len(data) > SHORT:
            chances = data.astype(np.float64) / data.sum(dtype=np.float64)
            kept = rng.choice(len(data), SHORT, replace=False, p=chances)
            data[np.setdiff1d(np.arange(len(data)), kept)] = 0
    short.eliminate_zeros()
    return [heaviest(rows, LONG), short]


def heaviest(rows: csr_matrix, terms: int) -> csr_matrix:
    """Return documents as queries: the heaviest terms of each row, more where they tie."""
    kept = rows.copy()
    for row in range(rows.shape[0]):
        data = kept.data[rows.indptr[row] : rows.indptr[row + 1]]
        if len(data) > terms:
            data[data < np.partition(data, len(data) - terms)[len(data) - terms]] = 0
    kept.eliminate_zeros()
    return kept


def measure(
    search: Search, samples: Sequence[csr_matrix], at: Sequence[int]
) -> list[Approximation]:
    """Return the recall of each factor at each depth, the lowest over the samples.

    ``search(queries, k, shrink)`` with 1.0 is exact. The best hit of each query is left out: a
    document used as a query finds itself too easily.
    """
    count = sum(sample.shape[0] for sample in samples)
    made = []
    for depth in at:
        exact = [search(sample, depth + 1, 1.0)[1] for sample in samples]
        for factor in FACTORS:
            cut = [search(sample, depth + 1, factor)[1] for sample in samples]
            recall = min(map(share_found, exact, cut), default=1.0)
            made.append(Approximation(factor, recall, depth, count))
    return made


def share_found(exact: NDArray[np.float32], scores: NDArray[np.float32]) -> float:
    """Return the share of the exact hits after each query's first that were found.

    By score, so that a tie at the cutoff is not counted as a miss. Both are (queries, k), padded
    with -inf.
    """
    hit = np.isfinite(exact)
    last = np.where(hit, exact, np.inf).min(axis=1, initial=np.inf)[:, None]
    wanted = int(hit[:, 1:].sum())
    kept = int((np.isfinite(scores[:, 1:]) & (scores[:, 1:] >= last)).sum())
    return kept / wanted if wanted else 1.0


def accuracy_for(recall: float, k: int, table: Sequence[Approximation]) -> Accuracy:
    """Return the smallest factor that kept ``recall`` at the measured depths around ``k``.

    Under the least measured depth that one counts: the search must then go as deep and be cut.
    The table must not be empty.
    """
    measured = sorted({entry.depth for entry in table})
    if k > measured[-1]:
        return Accuracy(
            reason=f"searches to depth {measured[-1]} or less can be cut, and this one goes to {k}"
        )
    wanted = max(k, measured[0])
    around = {
        max(depth for depth in measured if depth <= wanted),
        min(depth for depth in measured if depth >= wanted),
    }
    best: Approximation | None = None
    for factor in sorted({entry.shrink for entry in table}):
        entries = [e for e in table if e.shrink == factor and e.depth in around]
        worst = min(entries, key=lambda entry: entry.recall)
        if worst.recall >= recall:
            best = worst
            break
    if best is None:
        return Accuracy(reason=f"no cut that was measured at build kept recall {recall:g}")
    return Accuracy(best.shrink, best.recall, best.depth, best.queries)


def over_segments(alone: Sequence[Accuracy]) -> Accuracy:
    """Return how exact a search of all segments is, given how exact each is alone.

    Recall was measured with the threshold of one segment. All segments share one, which hits of the
    others raise before the cut one's best tiles are scored, so only one alone may be cut.

    >>> over_segments([Accuracy(0.9, 0.98, 10, 128)]).exact
    False
    >>> over_segments([Accuracy(0.9, 0.98, 10, 128), Accuracy()]).exact
    True
    """
    if len(alone) > 1 and not all(each.exact for each in alone):
        return Accuracy(
            reason="recall was measured for each segment alone; `hybrid compact` makes one of them"
        )
    return alone[0]
