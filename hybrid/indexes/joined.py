"""The segments of a sparse branch as the kernel searches them: small ones joined in memory.

Nothing of this is stored. Joining takes some 10 milliseconds and 4 MB for 10,000 documents of 100
terms, at the first search of an opened index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybrid.index.sparse.write import HEAD_FILL, HEAD_POSTINGS
from hybrid.kernels.postings import joining
from hybrid.kernels.sparse.table import Table, table_of
from hybrid.kernels.sparse.tiles import BLOCK, RANGE, TILE, Postings
from hybrid.machine import threads

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
