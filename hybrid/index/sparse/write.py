"""Writes the postings of one segment from a stream of matrices, in bounded memory.

Four passes over temporary files, each sequential: spool the rows (and learn each term's largest
weight), quantise and deal them out to ranges of 65,536 places, sort each range by term, merge the
ranges term by term. What stays in memory is some 50 bytes a document, whatever its length, and
one range a thread.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import UsageError
from hybrid.index.sparse.merge import HEAD_FILL, HEAD_POSTINGS, SortedRanges, in_order, merge
from hybrid.index.sparse.queries import checked
from hybrid.index.sparse.ranges import deal, sort_range
from hybrid.index.sparse.segment import DESCRIPTION, FORMAT, Weights
from hybrid.index.sparse.spool import Spool, clustered_order, spooled
from hybrid.kernels.sparse.layout import RANGE, TILE
from hybrid.machine.arrays import Floats

REORDER_FROM = 20_000
SMALL = RANGE  # documents up to which block maxima seldom pay
SMALL_HEAD = 4  # postings a tile that a head of a small index has; with fewer it takes more room
Order = Literal["auto", "none", "cluster"]


@dataclass(frozen=True, eq=False)
class SparseOptions:
    """Options of the postings of a segment.

    Attributes:
        vocabulary_size: columns of every matrix.
        weights: ``uint8`` stores round(weight / scale) with one scale a term.
        order: ``cluster`` puts similar documents side by side, which pruning needs; ``auto`` does
            so from 20,000 documents on. Never visible outside.
        seed: of the clustering.
        threads: 0 means one a core. Changes no byte of the result.
        head_fill: a term with postings in this share of the tiles gets block maxima; up to 65,536
            documents it needs four a tile, too.
        scales: float32 (vocabulary_size,), those of an index whose documents must get the same
            codes here; a weight above 255 of them is cut. Default: from the largest weights.

    Raises:
        UsageError: no such weights or order.
    """

    vocabulary_size: int
    weights: Weights = "uint8"
    order: Order = "auto"
    seed: int = 0
    threads: int = 0
    head_fill: float = HEAD_FILL
    scales: Floats | None = None

    def __post_init__(self) -> None:
        orders = ("auto", "none", "cluster")
        if self.weights not in ("uint8", "float32") or self.order not in orders:
            raise UsageError(
                f"weights is {self.weights!r} and order {self.order!r}; expected uint8 or float32, "
                "and auto, none or cluster."
            )

    @property
    def may_cluster(self) -> bool:
        """Whether documents are put in another order, if they are many enough."""
        return self.order != "none" and self.weights == "uint8"

    def clusters(self, documents: int) -> bool:
        """Return whether so many documents are put in another order."""
        return self.may_cluster and (self.order == "cluster" or documents >= REORDER_FROM)


@dataclass(frozen=True)
class SparseReport:
    """The size of the postings that were written, and what rounding to 8 bits cost.

    Errors are over all non-zeros, in units of the weights; ``mean_relative_error`` is the sum
    of absolute errors over the sum of weights. ``dropped`` counts weights that rounded to zero.
    """

    format: int
    doc_count: int
    vocabulary_size: int
    nnz: int
    weights: Weights
    order: Literal["none", "cluster"]
    seed: int
    max_abs_error: float
    mean_abs_error: float
    mean_relative_error: float
    dropped: int
    size_bytes: int
    order_seconds: float
    seconds: float


def write_postings(
    vectors: Iterable[csr_matrix],
    directory: Path,
    options: SparseOptions,
    *,
    progress: Callable[[int], None] | None = None,
) -> SparseReport:
    """Return the report on postings written into an existing empty directory.

    Memory stays bounded: the vectors are spooled to temporary files inside ``directory``.

    Args:
        vectors: parts of the collection, CSR float32 (n, vocabulary_size), in doc_num order.
        directory: where the files go.
        options: how they are written.
        progress: called with the number of newly read documents.

    Raises:
        UsageError: a part has another width, or a weight that is negative or not finite.
    """
    width = options.vocabulary_size
    parts = (checked(part, width, "document") for part in vectors)
    return SparseReport(**_write(parts, directory, options, progress))


def _write(
    parts: Iterable[csr_matrix],
    directory: Path,
    options: SparseOptions,
    progress: Callable[[int], None] | None,
) -> dict[str, Any]:
    """Write all files of canonical CSR parts; return the report on them as a dictionary."""
    start = time.perf_counter()
    workers = options.threads or os.cpu_count() or 1
    with (
        TemporaryDirectory(dir=directory, prefix="spool-") as name,
        ThreadPoolExecutor(workers) as pool,
    ):
        sketching = pool if options.may_cluster else None
        spool = spooled(parts, Path(name), options.vocabulary_size, sketching, progress)
        lengths = np.concatenate(spool.lengths)
        reordered = options.clusters(len(lengths))
        order_start = time.perf_counter()
        order = np.arange(len(lengths), dtype=np.int32)
        if reordered and len(lengths):
            order = clustered_order(spool, len(lengths), options.seed, workers)
        order_seconds = time.perf_counter() - order_start
        place = np.empty(len(lengths), dtype=np.int32)
        place[order] = np.arange(len(lengths), dtype=np.int32)
        scales = _scales(spool, options)
        loss = deal(spool, place, scales, options.weights)
        ranges = _sorted(spool, len(lengths), options, pool)
        merge(ranges, directory, pool)
    heads = np.where(ranges.is_head, np.cumsum(ranges.is_head) - 1, -1).astype(np.int32)
    frequencies = ranges.counts.sum(axis=0, dtype=np.int32)
    for name, array in (("order", order), ("place", place), ("scales", scales), ("heads", heads)):
        np.save(directory / f"{name}.npy", array)
    np.save(directory / "frequencies.npy", frequencies)
    described = {
        "format": FORMAT,
        "doc_count": len(lengths),
        "vocabulary_size": options.vocabulary_size,
        "nnz": int(ranges.counts.sum(dtype=np.int64)),
        "weights": options.weights,
        "order": "cluster" if reordered else "none",
        "seed": options.seed,
    }
    (directory / DESCRIPTION).write_text(json.dumps(described, indent=1) + "\n")
    return described | {
        **_lost(loss, int(lengths.sum(dtype=np.int64))),
        "size_bytes": sum(path.stat().st_size for path in directory.iterdir()),
        "order_seconds": order_seconds,
        "seconds": time.perf_counter() - start,
    }


def _lost(loss: NDArray[np.float64], weights: int) -> dict[str, Any]:
    """Return the loss by rounding of so many weights, for the report."""
    return {
        "max_abs_error": float(loss[0]),
        "mean_abs_error": float(loss[1] / weights) if weights else 0.0,
        "mean_relative_error": float(loss[1] / loss[2]) if loss[2] else 0.0,
        "dropped": int(loss[3]),
    }


def _scales(spool: Spool, options: SparseOptions) -> Floats:
    if options.weights == "float32":
        return np.ones(options.vocabulary_size, dtype=np.float32)
    return fitting_scales(spool.largest) if options.scales is None else options.scales


def fitting_scales(largest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each term's scale, float32 (vocabulary,): its largest weight becomes the code 255.

    A term without weights gets the largest scale, for documents that bring it later.
    """
    tiny = np.finfo(np.float32).tiny
    scales: NDArray[np.float32] = np.maximum(largest / np.float32(255), tiny).astype(np.float32)
    scales[largest == 0] = scales.max(initial=tiny)
    return scales


def _sorted(
    spool: Spool, doc_count: int, options: SparseOptions, pool: ThreadPoolExecutor
) -> SortedRanges:
    """Return the dealt ranges, sorted, and which terms become heads."""
    parts = range(max(1, -(-doc_count // RANGE)))
    jobs = [partial(sort_range, spool, part, options.weights) for part in parts]
    results = list(in_order(pool, jobs, 1))
    counts = np.array([count for count, _ in results], dtype=np.uint32)
    counts = counts.reshape(len(parts), options.vocabulary_size)
    tiles = np.sum([occupied for _, occupied in results], axis=0)
    tile_count = -(-doc_count // TILE)
    is_head = (tiles >= max(options.head_fill * tile_count, 1)) & (options.weights == "uint8")
    least = SMALL_HEAD * tile_count if doc_count <= SMALL else 0
    is_head &= counts.sum(axis=0, dtype=np.int64) >= max(HEAD_POSTINGS, least)
    return SortedRanges(spool.folder, doc_count, counts, is_head, np.dtype(options.weights))
