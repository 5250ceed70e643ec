"""The vectors of one segment, memory-mapped, and how its candidates are found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import CorruptIndexError
from hybrid.index.dense.brute_force import BruteForce, FaissBruteForce
from hybrid.index.dense.neighbours import APPROXIMATE, Candidates
from hybrid.machine.arrays import open_array

VECTORS = "vectors.npy"
DESCRIPTION = "vector.json"
MAX_NORM = 1e15
MAX_DIMENSION = 65_536


@dataclass(eq=False)
class VectorSegment:
    """The vectors of one segment, deleted documents included.

    Attributes:
        vectors: float32 (n, dimension).
        largest_norm: no vector is longer.
        candidates: those of an approximate search; None where all vectors are compared.
        brute_force: compares all vectors; any way of doing it gives the same hits.
    """

    vectors: NDArray[np.float32]
    largest_norm: float
    candidates: Candidates | None = None
    brute_force: BruteForce = field(default_factory=FaissBruteForce)

    @classmethod
    def open(cls, directory: Path) -> VectorSegment:
        """Return the segment stored in ``directory``; vectors are mapped, not read.

        Raises:
            CorruptIndexError: a file is missing or does not fit the others.
        """
        stored = _description(directory / DESCRIPTION)
        shape = (stored["count"], stored["dimension"])
        vectors = open_array(directory / VECTORS, np.float32, shape)
        kind = APPROXIMATE.get(stored["kind"])
        candidates = None if kind is None else kind.open(directory, vectors)
        return cls(vectors, stored["largest_norm"], candidates)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return int(self.vectors.shape[1])


def _description(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptIndexError(f"{path} is not readable JSON: {error}") from error
    wanted: dict[str, Callable[[Any], bool]] = {
        "kind": lambda value: value in ("flat", *APPROXIMATE),
        "count": lambda value: type(value) is int and 0 <= value < 2**31,
        "dimension": lambda value: type(value) is int and 0 < value <= MAX_DIMENSION,
        "largest_norm": lambda value: type(value) in (int, float) and 0 <= value <= 2 * MAX_NORM,
    }
    for key, good in wanted.items():
        if not isinstance(stored, dict) or not good(stored.get(key)):
            raise CorruptIndexError(f"{path} has no usable {key!r}")
    return dict(stored)
