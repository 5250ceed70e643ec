"""Segments of a branch that are searched one by one, with the hits that one index would give.

A branch's score is a function of query and document alone, so the best of all segments are among
the best of each, and merging them by the one ordering rule gives what a single index would give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.subset import Subset

Hits: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]


def one_by_one(job: Callable[[int], Hits], count: int) -> list[Hits]:
    """Return the hits that the job gives for 0 to ``count - 1``."""
    return [job(number) for number in range(count)]


def search_apart(
    search: Callable[[int, int, Subset | None], Hits],
    numbering: Numbering,
    k: int,
    subset: Subset | None,
    deal: Callable[[Callable[[int], Hits], int], list[Hits]] = one_by_one,
) -> Hits:
    """Return (doc_nums, scores), both (queries, k), of segments that are each searched alone.

    Args:
        search: returns the best (places, scores) of a segment, to a depth, within a subset of it.
        numbering: the documents of the segments.
        k: at least 1.
        subset: of the whole index.
        deal: runs the searches of so many segments.
    """

    def of_segment(segment: int) -> Hits:
        within, deleted = numbering.searched(segment, subset)
        places, scores = search(segment, k + deleted, within)
        doc_nums = numbering.doc_nums(segment)
        if not len(doc_nums):
            return places, scores
        nums = np.where(places >= 0, doc_nums[places], np.int32(-1))
        return nums, np.where(nums >= 0, scores, np.float32(-np.inf))

    hits = deal(of_segment, len(numbering.sizes))
    nums = np.concatenate([each[0] for each in hits], axis=1)
    scores = np.concatenate([each[1] for each in hits], axis=1)
    # Numbers as the second key: padding has the score -inf and comes last in any case.
    order = np.lexsort((nums, -scores), axis=1)[:, :k]
    return np.take_along_axis(nums, order, axis=1), np.take_along_axis(scores, order, axis=1)
