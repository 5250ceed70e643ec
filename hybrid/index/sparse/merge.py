"""The last pass of an index build: the sorted ranges merged term by term."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hybrid.kernels.postings import assembly
from hybrid.kernels.sparse.layout import BLOCK, TILE
from hybrid.machine.arrays import ArrayWriter

GROUP = 2_000_000
HEAD_FILL = 0.75  # the share of tiles that a head has postings in
HEAD_POSTINGS = 8  # a term with fewer is never a head
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class SortedRanges:
    """Ranges of documents on disk, the postings of each sorted by term.

    Attributes:
        folder: has ``places`` and ``codes`` with the number of each range.
        doc_count: documents of all.
        counts: postings of each term in each range, uint32 (ranges, vocabulary).
        is_head: the terms that are written as heads, bool (vocabulary,).
        code_type: of a weight.
    """

    folder: Path
    doc_count: int
    counts: NDArray[np.uint32]
    is_head: NDArray[np.bool_]
    code_type: np.dtype[Any]

    @property
    def tile_count(self) -> int:
        """Tiles of all documents."""
        return -(-self.doc_count // TILE)

    def read(
        self, name: str, kind: np.dtype[Any], counts: NDArray[np.int64], begins: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Return places or codes: so many of each range, from a first one on."""
        pairs = enumerate(zip(counts.tolist(), begins.tolist(), strict=True))
        return np.concatenate(
            [
                np.fromfile(
                    self.folder / f"{name}{part}", kind, count, offset=kind.itemsize * begin
                )
                for part, (count, begin) in pairs
            ]
        )


@dataclass(frozen=True, eq=False)
class MergedTerms:
    """The postings of some consecutive terms, as they are stored."""

    spans: NDArray[np.int64]
    cuts: NDArray[np.uint32]
    head_stream: NDArray[np.uint16]
    head_starts: NDArray[np.uint16]
    head_maxima: NDArray[np.uint8]
    tail_places: NDArray[np.uint16]
    tail_codes: NDArray[Any]


def _merge_terms(
    ranges: SortedRanges, first: int, last: int, begins: NDArray[np.int64]
) -> MergedTerms:
    """Return terms ``first`` to ``last``, which begin at ``begins`` of each range."""
    counts = ranges.counts[:, first:last].astype(np.int64)
    heads = ranges.is_head[first:last]
    totals = counts.sum(axis=1)
    places = ranges.read("places", np.dtype(np.uint16), totals, begins)
    codes = ranges.read("codes", ranges.code_type, totals, begins)
    offsets = np.cumsum(counts, axis=1) - counts + (np.cumsum(totals) - totals)[:, None]
    spans = np.zeros((last - first, 2), dtype=np.int64)
    cuts = np.zeros((last - first, len(counts) - 1), dtype=np.uint32)
    tail_places = np.empty(int(counts[:, ~heads].sum()), dtype=np.uint16)
    tail_codes = np.empty(len(tail_places), dtype=ranges.code_type)
    assembly.merge_tails(
        heads, counts, offsets, places, codes, tail_places, tail_codes, spans, cuts
    )
    tile_count = ranges.tile_count
    rows = np.flatnonzero(heads)
    starts = np.zeros((len(rows), tile_count), dtype=np.uint16)
    maxima = np.zeros((len(rows), tile_count * (TILE // BLOCK // 2)), dtype=np.uint8)
    stream = np.empty(int(counts[:, heads].sum()) + len(rows) * tile_count, dtype=np.uint16)
    at = 0
    for row, term in enumerate(rows):
        pairs = zip(offsets[:, term], counts[:, term], strict=True)
        slices = [slice(begin, begin + size) for begin, size in pairs]
        end = assembly.head_term(
            np.concatenate([places[piece] for piece in slices]),
            np.concatenate([codes[piece] for piece in slices]),
            counts[:, term].copy(),
            tile_count,
            stream,
            at,
            starts[row],
            maxima[row],
            cuts[term],
        )
        spans[term] = at, end
        at = end
    return MergedTerms(spans, cuts, stream[:at], starts, maxima, tail_places, tail_codes)


def in_order(pool: ThreadPoolExecutor, jobs: Iterable[Callable[[], T]], ahead: int) -> Iterator[T]:
    """Yield the jobs' results in order, at most ``ahead`` of them made in advance."""
    waiting: deque[Future[T]] = deque()
    for job in jobs:
        waiting.append(pool.submit(job))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def merge(ranges: SortedRanges, directory: Path, pool: ThreadPoolExecutor) -> None:
    """Write the postings of sorted ranges into ``directory``."""
    range_count, tile_count = len(ranges.counts), ranges.tile_count
    stored: dict[str, tuple[Any, tuple[int, ...]]] = {
        "spans": (np.int64, (2,)),
        "cuts": (np.uint32, (range_count - 1,)),
        "head_stream": (np.uint16, ()),
        "head_starts": (np.uint16, (tile_count,)),
        "head_maxima": (np.uint8, (tile_count * (TILE // BLOCK // 2),)),
        "tail_places": (np.uint16, ()),
        "tail_codes": (ranges.code_type, ()),
    }
    writers = {name: ArrayWriter(directory / f"{name}.npy", *each) for name, each in stored.items()}

    def jobs() -> Iterator[Callable[[], MergedTerms]]:
        # A group is as many terms as make GROUP postings or 64 MB of head rows.
        totals = ranges.counts.sum(axis=0, dtype=np.int64)
        cost = totals + np.where(ranges.is_head, 6 * tile_count // 8, 0)
        group = (np.cumsum(cost) // GROUP).astype(np.int64)
        edges = np.concatenate([[0], np.flatnonzero(np.diff(group)) + 1, [len(totals)]])
        begins = np.zeros(range_count, dtype=np.int64)
        for first, last in itertools.pairwise(edges.tolist()):
            yield partial(_merge_terms, ranges, first, last, begins.copy())
            begins += ranges.counts[:, first:last].sum(axis=1, dtype=np.int64)

    head_at = tail_at = 0
    for made in in_order(pool, jobs(), 2):
        size = len(made.spans)
        done = writers["spans"].count
        shift = np.where(ranges.is_head[done : done + size], head_at, tail_at)
        made.spans[:] += shift[:, None]
        head_at += len(made.head_stream)
        tail_at += len(made.tail_places)
        for name, writer in writers.items():
            writer.append(getattr(made, name))
    for writer in writers.values():
        writer.close()
