"""Integer impacts: learned weights as the counts that other systems store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError

LARGEST_IMPACT = 2**31 - 1
SCALE = 100.0


@dataclass
class Rounding:
    """The effect of rounding SCALE * weight to integers, halves to even: counts and weight lost.

    Attributes:
        postings: weights that are kept, with an impact of 1 or more.
        dropped: weights that round to 0, so that the term is lost.
        weight_lost: their part of all weight, from 0 to 1.
        largest_error: the greatest |impact / SCALE - weight|; at most 0.5 / SCALE.
    """

    postings: int = 0
    dropped: int = 0
    largest_error: float = 0.0
    _weight: float = 0.0
    _weight_dropped: float = 0.0

    @property
    def weight_lost(self) -> float:
        """Return the part of all weight that the dropped postings held."""
        return self._weight_dropped / self._weight if self._weight else 0.0

    def impacts(self, weights: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """Return int64 impacts of ``weights``, any shape, and count the kept and the lost.

        Raises:
            UsageError: a weight that is negative or not finite, or an impact over 2^31 - 1.

        >>> Rounding().impacts(np.array([1.234, 0.004], np.float32)).tolist()
        [123, 0]
        """
        exact = weights.astype(np.float64)
        if not np.isfinite(exact).all() or (exact < 0).any():
            raise UsageError(
                "weights must be finite and not negative to become impacts; this encoder gives "
                "others, and a system that counts occurrences cannot hold them"
            )
        scaled = np.rint(exact * SCALE)
        if scaled.size and scaled.max() > LARGEST_IMPACT:
            raise UsageError(
                f"weight {exact.max()} times {SCALE:g} is an impact over 2^31 - 1, which a system "
                "that counts occurrences cannot hold"
            )
        lost = (scaled == 0) & (exact > 0)
        self.postings += int(np.count_nonzero(scaled))
        self.dropped += int(np.count_nonzero(lost))
        self._weight += float(exact.sum())
        self._weight_dropped += float(exact[lost].sum())
        error = np.abs(scaled / SCALE - exact)
        self.largest_error = max(self.largest_error, float(error.max(initial=0.0)))
        return scaled.astype(np.int64)

    def to_dict(self) -> Mapping[str, float]:
        """Return the figures for a report or a JSON file."""
        return {
            "scale": SCALE,
            "postings": self.postings,
            "dropped": self.dropped,
            "weight_lost": self.weight_lost,
            "largest_error": self.largest_error,
        }
