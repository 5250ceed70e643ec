"""Writes the vectors of one segment, and the lists or the graph of an approximate search."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybrid.index.dense.neighbours import APPROXIMATE
from hybrid.index.dense.segment import DESCRIPTION, VECTORS
from hybrid.index.dense.vector import checked, longest
from hybrid.machine.arrays import ArrayWriter, open_array


def write_vectors(
    vectors: Iterable[NDArray[np.float32]],
    directory: Path,
    *,
    dimension: int,
    kind: str = "flat",
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write the files of a segment into an existing directory.

    Args:
        vectors: parts of the collection, float32 (n, dimension), in doc_num order.
        directory: where the files go.
        dimension: components of a vector.
        kind: ``flat`` compares with every vector; a key of ``APPROXIMATE`` with a part of them.
        seed: of what is trained or built for that; recorded.
        progress: called with the number of newly written vectors.

    Raises:
        UsageError: a part of another width, or a vector that is not finite.
    """
    largest = 0.0
    with ArrayWriter(directory / VECTORS, np.float32, (dimension,)) as writer:
        for part in vectors:
            rows = checked(part, dimension, f"Documents from number {writer.count} on")
            largest = max(largest, longest(rows))
            writer.append(rows)
            if progress is not None:
                progress(len(rows))
        count = writer.count
    written = open_array(directory / VECTORS, np.float32, (count, dimension))
    if kind in APPROXIMATE:
        APPROXIMATE[kind].build(written, directory, seed=seed)
    description = {
        "kind": kind,
        "count": count,
        "dimension": dimension,
        "largest_norm": largest,
        "seed": seed,
    }
    (directory / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
