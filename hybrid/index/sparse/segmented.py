"""A sparse branch over all segments, searched in one call with one threshold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.documents.segments import SegmentedBranch
from hybrid.index.documents.subset import Subset, SubsetLike
from hybrid.index.sparse import approximate
from hybrid.index.sparse.answer import answers, checked
from hybrid.index.sparse.approximate import Accuracy
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.write import HEAD_FILL, HEAD_POSTINGS
from hybrid.kernels.postings import joining
from hybrid.kernels.sparse.table import Table, table_of
from hybrid.kernels.sparse.tiles import BLOCK, RANGE, TILE, Postings
from hybrid.machine import threads

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SCANNED = 50_000
"""Documents of a mask that are looked through in the time that one more call takes, with room."""


class SegmentedSparse(SegmentedBranch):
    """A sparse branch over all segments."""

    parts: Sequence[InvertedIndex]

    def __getstate__(self) -> dict[str, Any]:
        # What is searched holds addresses, which a copy does not share.
        return {name: value for name, value in self.__dict__.items() if name != "_searched"}

    def search(
        self,
        queries: Any,
        k: int,
        *,
        threads: int = 0,
        subset: SubsetLike | None = None,
        shrink: float = 1.0,
    ) -> tuple[Ints, Floats]:
        """Return what one index of the live documents would: see the branch of one segment.

        All segments are searched in one call, with one threshold; a small subset of large segments
        is scored segment by segment. A subset is always searched exactly.
        """
        approximate.check_share("shrink", shrink)
        within = None if subset is None else Subset.of(subset, self.doc_count)
        shrink = shrink if within is None else 1.0
        few = self.doc_count > SCANNED * len(self.parts)
        if within is not None and not within.dense and few:
            return super().search(queries, k, threads=threads, subset=within)
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        found = self._searched  # held until the kernel is done: it reads by address
        nums, scores = answers(
            found.table,
            self._frequencies,
            self._together,
            self.doc_count,
            checked(queries, self.vocabulary_size, "query"),
            k if shrink == 1 else max(k, approximate.DEPTHS[0]),
            threads=threads,
            shrink=shrink,
            within=within,
        )
        return nums[:, :k], scores[:, :k]

    def accuracy(self, recall: float, k: int) -> Accuracy:
        """Return how exact a search to depth ``k`` is that asks for this recall."""
        return approximate.over_segments([part.accuracy(recall, k) for part in self.parts])

    @cached_property
    def _frequencies(self) -> Ints:
        total: Ints = np.sum([part.frequencies for part in self.parts], axis=0, dtype=np.int32)
        total.flags.writeable = False  # kernels are compiled for one type of array
        return total

    @cached_property
    def _together(self) -> float:
        """The geometric mean of all documents, and of those in the segment of an average one.

        Where a segment holds a tenth of them, a query's best lie in some three times the tiles.
        """
        sizes = np.array(self.numbering.sizes, dtype=np.float64)
        return float(np.sqrt((sizes**2).sum()))

    @cached_property
    def _searched(self) -> Searched:
        """The postings by number of the whole index, small segments joined."""
        if len({(part.vocabulary_size, part.weights) for part in self.parts}) > 1:
            raise CorruptIndexError(
                "segments of one branch have different vocabularies or weights; build it again"
            )
        numbered = []
        for segment, part in enumerate(self.parts):
            numbers = self.numbering.doc_nums(segment)[part.postings.order]
            numbered.append(part.postings._replace(order=np.ascontiguousarray(numbers)))
        return searched(numbered)

    @property
    def vocabulary_size(self) -> int:
        """Number of terms, used or not."""
        return self.parts[0].vocabulary_size

    @property
    def nnz(self) -> int:
        """Number of postings, those of deleted documents included."""
        return sum(part.nnz for part in self.parts)

    def documents(self, doc_nums: Ints) -> csr_matrix:
        """Return the stored rows of ``doc_nums``, CSR float32 (len(doc_nums), vocabulary_size)."""
        rows = self._gather(
            doc_nums,
            lambda part, places: part.documents(places),
            lambda parts: csr_matrix(vstack(parts, format="csr", dtype=np.float32)),
        )
        return csr_matrix(rows)


JOINED_HEAD = 2  # postings a tile that a head has: in memory, time counts for more than room
LOOKS = 500_000  # terms of segments that are looked at in some 40 milliseconds
JOINED = 32_768
"""Documents of a segment up to which it is joined with others; larger ones cost little apart."""


class Searched(NamedTuple):
    """What one compiled call searches, the largest first."""

    parts: list[Postings]  # whoever holds the table must hold these, too
    table: Table
    segments: list[list[int]]  # of each part: which segments are in it


def searched(segments: Sequence[Postings]) -> Searched:
    """Return how segments are searched, whose ``order`` holds numbers of the whole index.

    A number of -1 is that of a deleted document.
    """
    groups = [group for each in _grouped(segments) for group in _worthwhile(segments, each)]
    parts = [segments[group[0]] for group in groups]
    several = [part for part, group in enumerate(groups) if len(group) > 1]

    def join(number: int) -> None:
        part = several[number]
        parts[part] = joined([segments[each] for each in groups[part]])

    threads.each(join, len(several), 0)
    largest_first = sorted(range(len(parts)), key=lambda part: -len(parts[part].order))
    ordered = [parts[part] for part in largest_first]
    return Searched(ordered, table_of(ordered), [groups[part] for part in largest_first])


def grouped(sizes: Sequence[int], joinable: Sequence[bool]) -> list[list[int]]:
    """Return which segments are searched as one: small ones, as many as one range holds.

    >>> grouped([100_000, 30_000, 30_000, 20_000, 5], [True] * 5)
    [[0], [1, 2, 4], [3]]
    """
    groups: list[list[int]] = []
    room: list[int] = []
    for segment in sorted(range(len(sizes)), key=lambda each: -sizes[each]):
        size = sizes[segment]
        small = joinable[segment] and size <= JOINED
        fitting = [group for group in range(len(groups)) if small and size <= room[group]]
        if fitting:
            groups[fitting[0]].append(segment)
            room[fitting[0]] -= size
        else:
            groups.append([segment])
            room.append(RANGE - size if small else -1)
    return groups


def _grouped(segments: Sequence[Postings]) -> list[list[int]]:
    """Return groups of segments in which a code weighs what it does in the first.

    With two segments in all there is too little to gain.
    """
    joinable = [
        len(segments) > 2 and np.array_equal(each.scales, segments[0].scales) for each in segments
    ]
    return grouped([len(each.order) for each in segments], joinable)


def _worthwhile(segments: Sequence[Postings], group: list[int]) -> list[list[int]]:
    """Return a group, or its segments apart where looking at every term would take most time."""
    looks = len(group) * len(segments[0].heads)
    entries = sum(len(segments[each].head_stream) for each in group)
    entries += sum(len(segments[each].tail_places) for each in group)
    return [group] if looks <= max(LOOKS, entries) else [[each] for each in group]


def joined(segments: Sequence[Postings]) -> Postings:
    """Return the live postings of small segments of the same scales as one segment of one range."""
    table = table_of(segments)
    codes = segments[0].tail_codes
    live = sum(int((each.order >= 0).sum()) for each in segments)
    order = np.empty(live, dtype=np.int32)
    moved = joining.new_places(table, order)
    tile_count = -(-live // TILE)
    vocabulary_size = len(segments[0].heads)
    most = np.sum([each.spans[:, 1] - each.spans[:, 0] for each in segments], axis=0)
    is_head = codes.dtype == np.uint8
    least = np.array(
        [
            max(HEAD_POSTINGS, JOINED_HEAD * tile_count) if is_head else live + 1,
            max(1, int(np.ceil(HEAD_FILL * tile_count))),
        ],
        dtype=np.int64,
    )
    rows = int((most >= least[0]).sum())
    total = int(most.sum())
    heads = np.empty(vocabulary_size, dtype=np.int32)
    spans = np.empty((vocabulary_size, 2), dtype=np.int64)
    stream = np.empty(total + rows * tile_count, dtype=np.uint16)
    starts = np.empty((rows, tile_count), dtype=np.uint16)
    maxima = np.empty((rows, tile_count * (TILE // BLOCK // 2)), dtype=np.uint8)
    tail_places = np.empty(total, dtype=np.uint16)
    tail_codes: NDArray[Any] = np.empty(total, dtype=codes.dtype)
    rows, entries, tails = joining.join(
        table,
        moved,
        tile_count,
        least,
        heads,
        spans,
        stream,
        starts,
        maxima,
        tail_places,
        tail_codes,
    )
    return Postings(
        order,
        segments[0].scales,
        heads,
        spans,
        np.empty((vocabulary_size, 0), dtype=np.uint32),
        stream[:entries],
        starts[:rows],
        maxima[:rows],
        tail_places[:tails],
        tail_codes[:tails],
    )
