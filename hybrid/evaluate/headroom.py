"""Headroom: what the same candidates could still give, with hindsight."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid.evaluate.judged import Judged
from hybrid.fusion import Fusion, cc, single

STEPS = 21


class PerQuery(Protocol):
    """Anything that measures a fusion for each judged query; ``tune.bench.Bench`` does."""

    judged: Judged
    measure: str

    def values(self, fusion: Fusion) -> NDArray[np.float64]: ...


def headroom(bench: PerQuery) -> dict[str, float]:
    """Return the mean of the best branch, and of three oracles that choose for each query.

    "branch oracle" takes the better branch, "weight oracle" (two branches) the best of 21 weights
    under min-max, and "pool oracle" the best order of all candidates.
    """
    from hybrid.evaluate.judged import ArrayScorer

    judged = bench.judged
    branches = judged.pool.branches
    alone = np.stack([bench.values(single(name)) for name in branches])
    found = {
        "best branch": float(alone.mean(axis=1).max()),
        "branch oracle": float(alone.max(axis=0).mean()),
    }
    if len(branches) == 2:
        weights = np.linspace(0, 1, STEPS)
        mixed = np.stack([bench.values(cc(round(float(w), 2), norm="minmax")) for w in weights])
        found["weight oracle"] = float(mixed.max(axis=0).mean())
    ideal = np.zeros(len(judged.pool.doc_nums))
    ideal[judged.positions] = judged.grades
    found["pool oracle"] = float(ArrayScorer(judged, bench.measure)(ideal).mean())
    return found
