"""The faults of the arrays of a sparse segment, as far as kernels rely on them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hybrid.index.sparse.segment import SparseSegment
from hybrid.kernels.sparse.layout import RANGE, TILE, Postings


def check_postings(segment: SparseSegment) -> list[str]:
    """Return the faults of a sparse segment; none if it is sound.

    Types and shapes were checked when it was opened. Checked here: the order of documents is a
    permutation, and the table of places its inverse; scales are finite; every term's postings lie
    inside their array and are cut into ranges that ascend; places of a term ascend within a range
    and name documents that there are; codes are finite and not zero; the counts agree.
    """
    return list(_problems(segment.postings, segment.places, segment.nnz))


def _problems(postings: Postings, place: NDArray[np.int32], nnz: int) -> Iterator[str]:
    count = len(postings.order)
    ranges = max(1, -(-count // RANGE))
    if not np.array_equal(np.sort(postings.order), np.arange(count)):
        yield "the order of documents is no permutation"
        return
    if not np.array_equal(place[postings.order], np.arange(count)):
        yield "the places of documents are not the inverse of their order"
        return
    if not (np.isfinite(postings.scales).all() and (postings.scales > 0).all()):
        yield "a scale is not a positive number"
    heads = np.asarray(postings.heads)
    rows = heads[heads >= 0]
    if not np.array_equal(np.sort(rows), np.arange(len(postings.head_starts))):
        yield "the head terms do not fit their rows"
        return
    start, end = postings.spans[:, 0], postings.spans[:, 1]
    limit = np.where(heads >= 0, len(postings.head_stream), len(postings.tail_places))
    if (start < 0).any() or (start > end).any() or (end > limit).any():
        yield "the postings of a term lie outside of their array"
        return
    edges = np.concatenate(
        [start[:, None], start[:, None] + postings.cuts.astype(np.int64), end[:, None]], axis=1
    )
    if (np.diff(edges, axis=1) < 0).any():
        yield "the ranges of a term do not ascend"
        return
    codes = np.asarray(postings.tail_codes, dtype=np.float32)
    if not (np.isfinite(codes).all() and (codes > 0).all()):
        yield "a weight is zero, negative or not finite"
    for term in np.flatnonzero(heads >= 0).tolist():
        for part in range(ranges):
            entries = postings.head_stream[edges[term, part] : edges[term, part + 1]]
            if not _head_fits(entries, postings.head_starts[heads[term]], part):
                yield f"head term {term}: an entry leaves its tile"
                return
    for term in np.flatnonzero((heads < 0) & (end > start)).tolist():
        for part in range(ranges):
            places = postings.tail_places[edges[term, part] : edges[term, part + 1]]
            inside = min(RANGE, count - part * RANGE)
            ascending = (np.diff(places.astype(np.int32)) > 0).all()
            if len(places) and (int(places[-1]) >= inside or not ascending):
                yield f"term {term}: a place is out of order or names no document"
                return
    if (heads < 0).all() and int((end - start).sum()) != nnz:
        yield f"{int((end - start).sum())} postings, {nnz} expected"


def _head_fits(entries: NDArray[np.uint16], starts: NDArray[np.uint16], part: int) -> bool:
    """Return whether each tile has entries (gap in the low byte, code in the high) inside it."""
    per_range = RANGE // TILE
    begins = starts[part * per_range : (part + 1) * per_range].astype(np.int64)
    if not len(entries):
        return not begins.any()
    bounds = np.append(begins, len(entries))
    if bounds[0] != 0 or (np.diff(bounds) < 1).any():
        return False
    steps = np.concatenate([[0], np.cumsum((entries & 255).astype(np.int64) + 1)])
    return bool((steps[bounds[1:]] - steps[bounds[:-1]] <= TILE).all())
