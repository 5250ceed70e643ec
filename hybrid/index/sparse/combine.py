"""Small segments combined into one in memory, so that a search finds each term's postings once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.index.sparse.merge import HEAD_FILL, HEAD_POSTINGS
from hybrid.kernels.postings import combining
from hybrid.kernels.sparse.layout import BLOCK, RANGE, TILE, Postings
from hybrid.kernels.sparse.table import table_of

COMBINED_HEAD = 2  # postings a tile that a head has: in memory, time counts for more than room
LOOKS = 500_000  # terms of segments that are looked at in some 40 milliseconds
SMALL = 32_768
"""Documents of a segment up to which it is combined with others; larger ones cost little apart."""


def group_segments(segments: Sequence[Postings]) -> list[list[int]]:
    """Return groups of segments to combine: small ones with the scales of the first.

    With two segments in all there is too little to gain, and with a large vocabulary looking at
    every term would take most of the time.
    """
    same_scales = [
        len(segments) > 2 and np.array_equal(each.scales, segments[0].scales) for each in segments
    ]
    groups: list[list[int]] = []
    for group in pack_small([len(each.order) for each in segments], same_scales):
        looks = len(group) * len(segments[0].heads)
        entries = sum(len(segments[each].head_stream) for each in group)
        entries += sum(len(segments[each].tail_places) for each in group)
        groups += [group] if looks <= max(LOOKS, entries) else [[each] for each in group]
    return groups


def pack_small(sizes: Sequence[int], allowed: Sequence[bool]) -> list[list[int]]:
    """Return groups of segments: small ones that are allowed to, as many as one range holds.

    >>> pack_small([100_000, 30_000, 30_000, 20_000, 5], [True] * 5)
    [[0], [1, 2, 4], [3]]
    """
    groups: list[list[int]] = []
    room: list[int] = []
    for segment in sorted(range(len(sizes)), key=lambda each: -sizes[each]):
        size = sizes[segment]
        small = allowed[segment] and size <= SMALL
        fitting = [group for group in range(len(groups)) if small and size <= room[group]]
        if fitting:
            groups[fitting[0]].append(segment)
            room[fitting[0]] -= size
        else:
            groups.append([segment])
            room.append(RANGE - size if small else -1)
    return groups


def combine_postings(segments: Sequence[Postings]) -> Postings:
    """Return the live postings of small segments of the same scales as one segment of one range."""
    table = table_of(segments)
    codes = segments[0].tail_codes
    live = sum(int((each.order >= 0).sum()) for each in segments)
    order = np.empty(live, dtype=np.int32)
    moved = combining.new_places(table, order)
    tile_count = -(-live // TILE)
    vocabulary_size = len(segments[0].heads)
    most = np.sum([each.spans[:, 1] - each.spans[:, 0] for each in segments], axis=0)
    least_head = live + 1
    if codes.dtype == np.uint8:
        least_head = max(HEAD_POSTINGS, COMBINED_HEAD * tile_count)
    least = np.array([least_head, max(1, int(np.ceil(HEAD_FILL * tile_count)))], dtype=np.int64)
    rows = int((most >= least[0]).sum())
    total = int(most.sum())
    heads = np.empty(vocabulary_size, dtype=np.int32)
    spans = np.empty((vocabulary_size, 2), dtype=np.int64)
    stream = np.empty(total + rows * tile_count, dtype=np.uint16)
    starts = np.empty((rows, tile_count), dtype=np.uint16)
    maxima = np.empty((rows, tile_count * (TILE // BLOCK // 2)), dtype=np.uint8)
    tail_places = np.empty(total, dtype=np.uint16)
    tail_codes: NDArray[Any] = np.empty(total, dtype=codes.dtype)
    filled = heads, spans, stream, starts, maxima, tail_places, tail_codes
    rows, entries, tails = combining.combine(table, moved, tile_count, least, *filled)
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
