"""Paired tests of two systems over the same queries, seeded, and their correction for number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError

SIGNIFICANT = 0.05
"""A difference of a smaller p is called significant."""
FloatArray = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one system is ahead of another on the same queries.

    Attributes:
        mean: mean of the paired differences.
        low, high: 95 % bootstrap interval of the mean over queries.
        p: two-sided p of the paired randomisation test.
        p_holm: ``p`` corrected for the number of comparisons by Holm; equal to ``p`` for one.
        effect: mean over standard deviation of the differences, Cohen's d for pairs; 0 if all 0.
        wins, ties, losses: queries.
    """

    mean: float
    low: float
    high: float
    p: float
    p_holm: float
    effect: float
    wins: int
    ties: int
    losses: int

    def to_dict(self) -> dict[str, float | int]:
        """Return the fields as JSON data."""
        return asdict(self)


def compare_paired(
    values: FloatArray, baselines: Sequence[FloatArray], *, seed: int = 0
) -> list[Difference]:
    """Return how far ``values`` (queries,) is ahead of each baseline (queries,), Holm-corrected.

    Raises:
        UsageError: lengths differ, or there is no query.
    """
    for baseline in baselines:
        if values.shape != baseline.shape or not len(values):
            raise UsageError(
                f"a paired test got {values.shape} and {baseline.shape} values; give one value for "
                "each query"
            )
    if not baselines:
        return []
    paired = values - np.stack(list(baselines))
    intervals = bootstrap_intervals(paired, seed=seed)
    raw = [randomisation_p(row, seed=seed) for row in paired]
    return [
        _difference(row, interval, p, corrected)
        for row, interval, p, corrected in zip(paired, intervals, raw, holm(raw), strict=True)
    ]


def _difference(
    paired: FloatArray, interval: tuple[float, float], p: float, p_holm: float
) -> Difference:
    deviation = float(paired.std(ddof=1)) if len(paired) > 1 else 0.0
    return Difference(
        mean=float(paired.mean()),
        low=interval[0],
        high=interval[1],
        p=p,
        p_holm=p_holm,
        effect=float(paired.mean()) / deviation if deviation > 0 else 0.0,
        wins=int((paired > 0).sum()),
        ties=int((paired == 0).sum()),
        losses=int((paired < 0).sum()),
    )


def bootstrap_interval(
    values: FloatArray, *, seed: int = 0, samples: int = 10_000
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean of ``values`` (queries,).

    Raises:
        UsageError: there is no value.
    """
    return bootstrap_intervals(values[None], seed=seed, samples=samples)[0]


def bootstrap_intervals(
    values: FloatArray, *, seed: int = 0, samples: int = 10_000
) -> list[tuple[float, float]]:
    """Return the interval of each row of ``values`` (rows, queries), over the same resamples."""
    count = values.shape[1]
    if not count:
        raise UsageError("an interval needs at least one query")
    rng = np.random.default_rng(seed)
    means = np.empty((len(values), samples))
    for start in range(0, samples, 500):
        stop = min(samples, start + 500)
        drawn = rng.integers(0, count, (stop - start, count), dtype=np.int32)
        cells = (drawn + np.arange(stop - start)[:, None] * count).ravel()
        times = np.bincount(cells, minlength=(stop - start) * count).reshape(-1, count)
        means[:, start:stop] = values @ times.T / count
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=1)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def randomisation_p(paired: FloatArray, *, seed: int = 0, samples: int = 10_000) -> float:
    """Return the two-sided p of the paired randomisation test (random signs) of a zero mean.

    Smucker, Allan and Carterette, CIKM 2007. The given labelling counts as one sample, so p is
    never 0; differences that are all 0 give 1. Up to 12 differing queries all signs are tried.

    >>> randomisation_p(np.array([1.0, 1.0, 1.0]))
    0.25
    """
    moved = paired[paired != 0]
    if not len(moved):
        return 1.0
    # Rounding of sums must not decide whether a sample is as extreme as what was observed.
    observed = abs(moved.sum()) * (1 - 1e-12)
    if len(moved) <= 12:
        signs = 1 - 2.0 * ((np.arange(1 << len(moved))[:, None] >> np.arange(len(moved))) & 1)
        return float((np.abs(signs @ moved) >= observed).mean())
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, samples, 1000):
        size = min(samples, start + 1000) - start
        signs = rng.integers(0, 2, (size, len(moved)), dtype=np.int8) * np.int8(2) - np.int8(1)
        extreme += int((np.abs(signs @ moved) >= observed).sum())
    return (extreme + 1) / (samples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the given order. Holm, 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(p_values)
    running = 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = running
    return corrected
