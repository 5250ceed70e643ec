"""The first pass of an index build: rows to disk, their sketches beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.index.sparse import reorder
from hybrid.index.sparse.merge import in_order
from hybrid.kernels.postings import assembly, clustering

PIECE = 1_000_000  # postings handled at once while rows are read


@dataclass
class Spool:
    """Rows on disk in doc_num order, and what was learned while they were written."""

    folder: Path
    vocabulary_size: int
    term_type: np.dtype[Any]
    largest: NDArray[np.float32]
    lengths: list[NDArray[np.int32]] = field(default_factory=lambda: [np.empty(0, np.int32)])


def pieces(ends: NDArray[np.integer[Any]], most: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of consecutive rows that hold ``most`` postings or a little more.

    ``ends`` (rows + 1,) are cumulative counts of postings, beginning with any number.
    """
    group = (ends[:-1] - ends[0]) // most
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(group)) + 1, [len(group)]])
    yield from pairwise(cuts.tolist())


def spooled(
    parts: Iterable[csr_matrix],
    folder: Path,
    vocabulary_size: int,
    pool: ThreadPoolExecutor | None,
    progress: Callable[[int], None] | None,
) -> Spool:
    """Return the spool of canonical CSR parts; a pool makes sketches beside the writing."""
    term_type = np.dtype(np.uint16 if vocabulary_size <= 65536 else np.int32)
    spool = Spool(folder, vocabulary_size, term_type, np.zeros(vocabulary_size, dtype=np.float32))

    def sketch_jobs() -> Iterator[Callable[[], tuple[NDArray[Any], NDArray[np.uint8]]]]:
        for part in parts:
            for first, last in pieces(part.indptr, PIECE):
                begin, end = part.indptr[first], part.indptr[last]
                terms = part.indices[begin:end].astype(term_type)
                weights = part.data[begin:end]
                assembly.observe(terms, weights, spool.largest)
                terms_file.write(terms.data)
                file.write(weights.data)
                indptr = (part.indptr[first : last + 1] - begin).astype(np.int64)
                spool.lengths.append(np.diff(indptr).astype(np.int32))
                yield partial(_sketch, indptr, terms, weights)
            if progress is not None:
                progress(part.shape[0])

    with (folder / "terms").open("wb") as terms_file, (folder / "weights").open("wb") as file:
        if pool is None:
            for _ in sketch_jobs():
                pass
            return spool
        with (folder / "sketch_terms").open("wb") as out, (folder / "sketches").open("wb") as also:
            for made_terms, made_weights in in_order(pool, sketch_jobs(), 2):
                out.write(made_terms.data)
                also.write(made_weights.data)
    return spool


def _sketch(
    indptr: NDArray[np.int64], terms: NDArray[Any], weights: NDArray[np.float32]
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    shape = (len(indptr) - 1, reorder.WIDTH)
    out_terms = np.zeros(shape, dtype=terms.dtype)
    out_weights = np.empty(shape, dtype=np.uint8)
    clustering.sketch(indptr, terms, weights, out_terms, out_weights)
    return out_terms, out_weights


def clustered_order(spool: Spool, doc_count: int, seed: int, threads: int) -> NDArray[np.int32]:
    """Return the clustered order, from the sketches on disk."""
    shape = (doc_count, reorder.WIDTH)
    terms, weights = (
        # Writable, because a kernel would be compiled once more for read-only arrays.
        np.memmap(spool.folder / name, kind, "r+", shape=shape).view(np.ndarray)
        for name, kind in (("sketch_terms", spool.term_type), ("sketches", np.uint8))
    )
    return reorder.order(terms, weights, spool.vocabulary_size, seed=seed, threads=threads)
