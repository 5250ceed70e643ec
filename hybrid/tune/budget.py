"""The label budget: the gain that so many judged queries can show, and how many more are needed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.tune.search import Search

FloatArray = NDArray[np.float64]
POWER, LEVEL = 0.8, 0.05
DRAWS = 12
SIZES = (10, 25, 50, 100, 200, 400, 800)


@dataclass(frozen=True, slots=True)
class LearningPoint:
    """The procedure given ``queries`` judged queries, measured on all the others.

    ``low`` and ``high`` hold the middle 80 % of the draws.
    """

    queries: int
    held_out: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LabelBudget:
    """The gain that the judged queries can show.

    Attributes:
        queries: judged queries.
        gain: held-out gain over the reference.
        deviation: standard deviation of the per-query gain.
        detectable: the smallest true gain that these queries would show with power 0.8.
        power: the chance that these queries show a true gain of the size observed.
        needed: judged queries that would show the observed gain with power 0.8; None if the gain
            is not positive.
        more: how many of those are missing.
        curve: the learning curve, empty where queries are few.
    """

    queries: int
    gain: float
    deviation: float
    detectable: float
    power: float
    needed: int | None
    more: int | None
    curve: tuple[LearningPoint, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return {**asdict(self), "curve": [asdict(point) for point in self.curve]}


def label_budget(
    gains: FloatArray,
    *,
    comparisons: int,
    curve: tuple[LearningPoint, ...] = (),
) -> LabelBudget:
    """Return the budget for per-query ``gains`` (queries,) over the reference.

    The normal approximation of the paired test, two-sided at ``LEVEL`` over ``comparisons``: the
    strictest step of Holm's correction, so the stated power is a lower bound.
    """
    count = len(gains)
    gain = float(gains.mean())
    deviation = float(gains.std(ddof=1)) if count > 1 else 0.0
    reach = _critical(comparisons) + _quantile(POWER)
    needed = max(2, math.ceil((reach * deviation / gain) ** 2)) if gain > 0 else None
    return LabelBudget(
        queries=count,
        gain=gain,
        deviation=deviation,
        detectable=reach * deviation / math.sqrt(count),
        power=stated_power(gain, deviation, count, comparisons=comparisons),
        needed=needed,
        more=None if needed is None else max(0, needed - count),
        curve=curve,
    )


def stated_power(gain: float, deviation: float, queries: int, *, comparisons: int) -> float:
    """Return the chance that ``queries`` judged queries show a true ``gain``; 0 if not positive.

    >>> round(stated_power(0.02, 0.1, 300, comparisons=1), 2)
    0.93
    """
    if gain <= 0:
        return 0.0
    if deviation <= 0:
        return 1.0
    z = gain * math.sqrt(queries) / deviation - _critical(comparisons)
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def learning_curve(search: Search) -> tuple[LearningPoint, ...]:
    """Return the held-out mean after 10, 25, 50, ... judged queries, each over random draws.

    The search is the one given; the rest of the queries, at least 10 of them, measure the choice.
    """
    count = len(search.bench.judged)
    rng = np.random.default_rng(search.options.seed)
    points = []
    for size in (size for size in SIZES if size <= count - 10):
        means = []
        for _ in range(DRAWS):
            order = rng.permutation(count)
            chosen = search.choose(np.sort(order[:size]))
            means.append(search.bench.values(chosen.fusion)[order[size:]].mean())
        low, high = np.quantile(means, [0.1, 0.9])
        points.append(LearningPoint(size, float(np.mean(means)), float(low), float(high)))
    return tuple(points)


def _critical(comparisons: int) -> float:
    return _quantile(1 - LEVEL / max(comparisons, 1) / 2)


def _quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)
