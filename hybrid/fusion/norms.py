"""Normalisations of a branch's scores, each over one query's candidates, vectorised over queries.

Each takes a table and returns float64 (branches, n). Statistics are over the candidates whose
score is known. A missing score becomes 0, the floor of the bounded ones; under ``zscore``, where
0 is the mean, it becomes the least value of the branch. A normalisation that would put a found
document below a missing one is refused.

Where the known scores of a branch are all equal there is nothing to normalise. Under ``minmax``,
``max`` and ``sum`` the documents that the branch retrieved get 1 then, and the others 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from hybrid.errors import UsageError
from hybrid.fusion.table import CandidateTable, FloatArray

ROUNDING = 1e-3
"""How far below its least score rounding may put a score."""
_ANY_SIGN = "norm=minmax, zscore or rank"


def _greatest(table: CandidateTable) -> FloatArray:
    scores = table.scores if table.complete else np.where(table.known, table.scores, -np.inf)
    return table.reduce(np.maximum, scores, -np.inf)


def _least(table: CandidateTable) -> FloatArray:
    scores = table.scores if table.complete else np.where(table.known, table.scores, np.inf)
    return table.reduce(np.minimum, scores, np.inf)


def _count(table: CandidateTable) -> FloatArray:
    return table.reduce(np.add, table.known.astype(np.float64), 0.0)


def _total(table: CandidateTable, values: FloatArray) -> FloatArray:
    return table.reduce(np.add, np.where(table.known, values, 0.0), 0.0)


def _scaled(
    table: CandidateTable, low: FloatArray, width: FloatArray, flat: ArrayLike
) -> FloatArray:
    """Return (s - low) / width; ``flat`` where the width is 0, and 0 where s is not known."""
    usable = np.isfinite(width) & (width > 0)
    values = table.scores - table.spread(np.where(usable, low, 0.0))
    values /= table.spread(np.where(usable, width, 1.0))
    if not usable.all():
        values = np.where(table.spread(usable.astype(np.float64)) > 0, values, flat)
    if not table.complete:
        values *= table.known
    return values


def minmax(table: CandidateTable) -> FloatArray:
    """Return (s - min) / (max - min); where all are equal 1 if retrieved, else 0."""
    low = _least(table)
    return _scaled(table, low, _greatest(table) - low, table.retrieved)


def tmm(table: CandidateTable) -> FloatArray:
    """Return (s - m) / (max - m), m the least score possible; 0 where max is m.

    Theoretical min-max, Bruch, Gai and Ingber, TOIS 2023.

    Raises:
        UsageError: a branch has no least score, as an inner product of free lengths has none, or
            a run holds a score below the one that was given for it.
    """
    if not np.isfinite(table.minimum).all():
        raise UsageError(
            "norm=tmm needs the least score that each branch can give, and a branch that compares "
            f"by the inner product has none; give {_ANY_SIGN}"
        )
    for scores, known, minimum in zip(table.scores, table.known, table.minimum, strict=True):
        least = scores.min(where=known, initial=np.inf)
        if least < minimum - ROUNDING:
            raise UsageError(
                f"norm=tmm takes {minimum:g} for the least score that a run can give, and the run "
                f"holds {least:g}; give the least score (minimum=, or --minimum NAME=SCORE), or "
                f"{_ANY_SIGN}"
            )
    low = np.broadcast_to(table.minimum[:, None], (len(table.minimum), len(table.lengths)))
    return _scaled(table, low, _greatest(table) - low, 0.0)


def maximum(table: CandidateTable) -> FloatArray:
    """Return s / max; where all are equal 1 if retrieved, else 0.

    Raises:
        UsageError: max is 0 or less, or a score is while others are missing.
    """
    low, high = _least(table), _greatest(table)
    varied = low < high
    if (varied & (high <= 0)).any():
        raise UsageError(
            "norm=max divides by a branch's greatest score, and for a query one has none above 0; "
            f"give {_ANY_SIGN}"
        )
    if not table.complete:
        _refuse_negative(low[varied], "max")
    return _scaled(table, np.zeros_like(high), np.where(varied, high, 0.0), table.retrieved)


def total(table: CandidateTable) -> FloatArray:
    """Return (s - min) / sum of (s - min); where all are equal 1 if retrieved, else 0."""
    low = _least(table)
    shifted = table.scores - table.spread(np.where(np.isfinite(low), low, 0.0))
    return _scaled(table, low, _total(table, shifted), table.retrieved)


def _refuse_negative(scores: FloatArray, norm: str) -> None:
    if (scores < 0).any():
        raise UsageError(
            f"under norm={norm} a score that a run lacks counts 0, and a run holds scores below 0: "
            f"its documents would fall below those that it lacks; give {_ANY_SIGN}"
        )


def _moments(table: CandidateTable) -> tuple[FloatArray, FloatArray]:
    count = np.maximum(_count(table), 1.0)
    mean = _total(table, table.scores) / count
    centred = np.where(table.known, table.scores - table.spread(mean), 0.0)
    deviation = np.sqrt(table.reduce(np.add, centred**2, 0.0) / count)
    # Rounding leaves a tiny deviation where all scores are equal; that branch says nothing.
    flat = _greatest(table) == _least(table)
    return mean, np.where(flat, 0.0, deviation)


def zscore(table: CandidateTable) -> FloatArray:
    """Return (s - mean) / deviation; 0 where all are equal; missing: the branch's least value."""
    mean, deviation = _moments(table)
    values = _scaled(table, mean, deviation, 0.0)
    least = table.reduce(np.minimum, np.where(table.known, values, np.inf), np.inf)
    floor = table.spread(np.where(np.isfinite(least), least, 0.0))
    return np.where(table.known, values, floor)


def dbsf(table: CandidateTable) -> FloatArray:
    """Return (s - (mean - 3 sd)) / 6 sd; 0.5 where all are equal.

    Distribution-based score fusion, as Qdrant has it: not clipped.
    """
    mean, deviation = _moments(table)
    return _scaled(table, mean - 3 * deviation, 6 * deviation, 0.5)


def rank(table: CandidateTable) -> FloatArray:
    """Return 1 - (rank - 1) / length of the branch's list; 0 for a document not retrieved."""
    length = table.reduce(np.add, table.retrieved.astype(np.float64), 0.0)
    values = 1 - (table.ranks - 1) / table.spread(np.maximum(length, 1.0))
    return np.where(table.retrieved, values, 0.0)


def borda(table: CandidateTable) -> FloatArray:
    """Return 1 - (rank - 1) / candidates; those not retrieved share the points that are left.

    Aslam and Montague, SIGIR 2001; so scaled by Renda and Straccia, SAC 2003.
    """
    candidates = table.spread(np.maximum(table.lengths.astype(np.float64), 1.0))
    length = table.spread(table.reduce(np.add, table.retrieved.astype(np.float64), 0.0))
    left = 0.5 - (length - 1) / (2 * candidates)
    return np.where(table.retrieved, 1 - (table.ranks - 1) / candidates, left)


def none(table: CandidateTable) -> FloatArray:
    """Return the scores as they are; 0 where missing.

    Raises:
        UsageError: a score is below 0 while others are missing.
    """
    if not table.complete:
        _refuse_negative(table.scores[table.known], "none")
    return np.where(table.known, table.scores, 0.0)


NORMS: dict[str, Callable[[CandidateTable], FloatArray]] = {
    "minmax": minmax,
    "tmm": tmm,
    "max": maximum,
    "sum": total,
    "zscore": zscore,
    "dbsf": dbsf,
    "rank": rank,
    "borda": borda,
    "none": none,
}


def normalise(table: CandidateTable, norm: str) -> FloatArray:
    """Return the normalised scores, float64 (branches, n).

    Raises:
        UsageError: an unknown normalisation, or one that cannot be applied to these scores.
    """
    if norm not in NORMS:
        raise UsageError(f"normalisation {norm!r} is unknown; give one of {', '.join(NORMS)}")
    return NORMS[norm](table)
