"""The last pass of an index build: join the sorted ranges term by term."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hybrid.kernels.postings import assembly
from hybrid.kernels.sparse.tiles import BLOCK, TILE
from hybrid.machine.arrays import ArrayWriter

GROUP = 2_000_000
T = TypeVar("T")


@dataclass
class Group:
    """What the merge made of some consecutive terms."""

    spans: NDArray[np.int64]
    cuts: NDArray[np.uint32]
    head_stream: NDArray[np.uint16]
    head_starts: NDArray[np.uint16]
    head_maxima: NDArray[np.uint8]
    tail_places: NDArray[np.uint16]
    tail_codes: NDArray[Any]


def _join_terms(
    folder: Path,
    first: int,
    last: int,
    counts: NDArray[np.uint32],
    begins: NDArray[np.int64],
    is_head: NDArray[np.bool_],
    doc_count: int,
    code_type: np.dtype[Any],
) -> Group:
    """Return terms ``first`` to ``last``, their postings joined over the ranges."""
    ranges = len(counts)
    part_counts = counts[:, first:last].astype(np.int64)
    places, codes = [], []
    for part in range(ranges):
        count = int(part_counts[part].sum())
        at = int(begins[part])
        item = code_type.itemsize
        source = folder / f"places{part}"
        places.append(np.fromfile(source, dtype=np.uint16, count=count, offset=2 * at))
        source = folder / f"codes{part}"
        codes.append(np.fromfile(source, dtype=code_type, count=count, offset=item * at))
    heads = is_head[first:last]
    width = last - first
    spans = np.zeros((width, 2), dtype=np.int64)
    cuts = np.zeros((width, ranges - 1), dtype=np.uint32)
    within = np.concatenate(
        [np.zeros((ranges, 1), dtype=np.int64), np.cumsum(part_counts, axis=1)], axis=1
    )
    bases = np.concatenate([[0], np.cumsum(within[:, -1])])[:-1]
    offsets = within[:, :-1] + bases[:, None]
    all_places, all_codes = np.concatenate(places), np.concatenate(codes)
    tail_total = int(part_counts[:, ~heads].sum())
    tail_places = np.empty(tail_total, dtype=np.uint16)
    tail_codes = np.empty(tail_total, dtype=code_type)
    assembly.merge_tails(
        heads, part_counts, offsets, all_places, all_codes, tail_places, tail_codes, spans, cuts
    )
    tile_count = -(-doc_count // TILE)
    rows = np.flatnonzero(heads)
    starts = np.zeros((len(rows), tile_count), dtype=np.uint16)
    maxima = np.zeros((len(rows), tile_count * (TILE // BLOCK // 2)), dtype=np.uint8)
    stream = np.empty(int(part_counts[:, heads].sum()) + len(rows) * tile_count, dtype=np.uint16)
    at = 0
    for row, term in enumerate(rows):
        slices = [
            slice(offsets[part, term], offsets[part, term] + part_counts[part, term])
            for part in range(ranges)
        ]
        end = assembly.head_term(
            np.concatenate([all_places[piece] for piece in slices]),
            np.concatenate([all_codes[piece] for piece in slices]),
            part_counts[:, term].copy(),
            tile_count,
            stream,
            at,
            starts[row],
            maxima[row],
            cuts[term],
        )
        spans[term] = at, end
        at = end
    return Group(spans, cuts, stream[:at], starts, maxima, tail_places, tail_codes)


def in_order(pool: ThreadPoolExecutor, jobs: Iterable[Callable[[], T]], ahead: int) -> Iterator[T]:
    """Yield the jobs' results in order, at most ``ahead`` of them made in advance."""
    waiting: deque[Future[T]] = deque()
    for job in jobs:
        waiting.append(pool.submit(job))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def merge(
    folder: Path,
    directory: Path,
    counts: NDArray[np.uint32],
    is_head: NDArray[np.bool_],
    doc_count: int,
    code_type: np.dtype[Any],
    pool: ThreadPoolExecutor,
) -> None:
    """Write the postings into ``directory`` from the sorted ranges in ``folder``.

    ``counts`` (ranges, vocabulary) are the postings of each term in each range.
    """
    ranges = len(counts)
    totals = counts.sum(axis=0, dtype=np.int64)
    tile_count = -(-doc_count // TILE)
    writers = {
        "spans": ArrayWriter(directory / "spans.npy", np.int64, (2,)),
        "cuts": ArrayWriter(directory / "cuts.npy", np.uint32, (ranges - 1,)),
        "head_stream": ArrayWriter(directory / "head_stream.npy", np.uint16),
        "head_starts": ArrayWriter(directory / "head_starts.npy", np.uint16, (tile_count,)),
        "head_maxima": ArrayWriter(
            directory / "head_maxima.npy", np.uint8, (tile_count * (TILE // BLOCK // 2),)
        ),
        "tail_places": ArrayWriter(directory / "tail_places.npy", np.uint16),
        "tail_codes": ArrayWriter(directory / "tail_codes.npy", code_type),
    }

    def jobs() -> Iterator[Callable[[], Group]]:
        # A group is as many terms as make GROUP postings or 64 MB of head rows.
        cost = totals + np.where(is_head, 6 * tile_count // 8, 0)
        group = (np.cumsum(cost) // GROUP).astype(np.int64)
        edges = np.concatenate([[0], np.flatnonzero(np.diff(group)) + 1, [len(totals)]])
        begins = np.zeros(ranges, dtype=np.int64)
        for first, last in itertools.pairwise(edges):
            here = begins.copy()

            def job(a: int = int(first), b: int = int(last), at: NDArray[Any] = here) -> Group:
                return _join_terms(folder, a, b, counts, at, is_head, doc_count, code_type)

            yield job
            begins += counts[:, first:last].sum(axis=1, dtype=np.int64)

    head_at = tail_at = 0
    for made in in_order(pool, jobs(), 2):
        size = len(made.spans)
        done = writers["spans"].count
        shift = np.where(is_head[done : done + size], head_at, tail_at)
        made.spans += shift[:, None]
        head_at += len(made.head_stream)
        tail_at += len(made.tail_places)
        for name, writer in writers.items():
            writer.append(getattr(made, name))
    for writer in writers.values():
        writer.close()
