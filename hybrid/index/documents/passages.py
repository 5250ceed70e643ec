"""Passages inside an index: their files, their numbers, and MaxP over any branch.

Where texts are cut, a row of a branch is a passage. The passages of a document lie side by side, in
the order of the documents, so "score descending, then number ascending" means the same for rows
and documents, and the first passage of a document in a ranked list of rows is its best.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus.passages import PassageTable, expand, starts
from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.subset import Subset, SubsetLike, checked_doc_nums
from hybrid.machine.arrays import Floats, Ints, open_array

PASSAGES = "passages"
OFFSETS = "offsets.npy"
SPANS = "spans.npy"
QUERIES_AT_ONCE = 64
SPARE = 32


class Rows(Protocol):
    """A branch whose rows are passages."""

    @property
    def doc_count(self) -> int: ...

    def search(
        self, queries: Any, k: int, *, threads: int = 0, subset: SubsetLike | None = None
    ) -> tuple[Ints, Floats]: ...

    def score(self, queries: Any, doc_nums: Ints) -> Floats: ...


def save_passages(table: PassageTable, directory: Path) -> None:
    """Write the passages of a segment into an existing directory."""
    np.save(directory / OFFSETS, table.offsets.astype(np.int64))
    np.save(directory / SPANS, table.spans.astype(np.int32))


def open_passages(directory: Path, documents: int) -> PassageTable:
    """Return the passages of a segment of so many documents, memory-mapped.

    Raises:
        CorruptIndexError: a document without a passage, or counts that do not fit.
    """
    offsets = open_array(directory / OFFSETS, np.int64, (documents + 1,))
    if offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise CorruptIndexError(f"{directory / OFFSETS}: the passages of a document do not ascend")
    return PassageTable(offsets, open_array(directory / SPANS, np.int32, (int(offsets[-1]), 2)))


def row_numbering(
    numbering: Numbering, parts: Sequence[PassageTable]
) -> tuple[Numbering, NDArray[np.int64]]:
    """Return where each live passage lies, and the offsets of the live documents among them."""
    first = np.zeros(len(numbering), dtype=np.int64)
    stop = np.zeros(len(numbering), dtype=np.int64)
    for segment, part in enumerate(parts):
        doc_nums, places = numbering.live(segment)
        first[doc_nums], stop[doc_nums] = part.offsets[places], part.offsets[places + 1]
    counts = stop - first
    rows = Numbering(
        np.repeat(numbering.segments, counts),
        expand(first, stop).astype(np.int32),
        [len(part) for part in parts],
    )
    return rows, starts(counts)


class MaxPassage:
    """A branch over documents, each scored by its best passage; exact if the one below is.

    Args:
        rows: the branch of passages.
        offsets: int64 (documents + 1,); document ``i`` owns the rows ``offsets[i]:offsets[i + 1]``.
    """

    def __init__(self, rows: Rows, offsets: NDArray[np.int64]) -> None:
        self.rows = rows
        self.offsets = offsets

    @property
    def doc_count(self) -> int:
        """Number of documents."""
        return len(self.offsets) - 1

    def search(
        self, queries: Any, k: int, *, threads: int = 0, subset: SubsetLike | None = None
    ) -> tuple[Ints, Floats]:
        """Return (doc_nums, scores), both (queries, k), as a branch of documents does.

        The passages are searched to twice the depth, and twice as deep again for the queries whose
        list does not hold ``k`` documents yet.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        within: Subset | None = None
        total, documents_left = self.rows.doc_count, self.doc_count
        if subset is not None:
            chosen = Subset.of(subset, self.doc_count)
            within = self._rows_of(chosen)
            total, documents_left = len(within), len(chosen)
        count = queries.shape[0]
        nums = np.full((count, k), -1, dtype=np.int32)
        scores = np.full((count, k), -np.inf, dtype=np.float32)
        wanted = min(k, documents_left)
        left = np.arange(count)
        fetch = min(total, 2 * k + SPARE)
        while len(left) and wanted:
            nearest, values = self.rows.search(queries[left], fetch, threads=threads, subset=within)
            short = []
            for query, rows, row_scores in zip(left.tolist(), nearest, values, strict=True):
                rows = rows[rows >= 0]
                documents = np.searchsorted(self.offsets, rows, side="right") - 1
                _, first = np.unique(documents, return_index=True)
                best = np.sort(first)[:k]
                if len(best) < wanted and len(rows) == fetch < total:
                    short.append(query)
                    continue
                nums[query, : len(best)] = documents[best]
                scores[query, : len(best)] = row_scores[best]
            left = np.array(short, dtype=np.int64)
            fetch = min(total, 2 * fetch)
        return nums, scores

    def _rows_of(self, subset: Subset) -> Subset:
        rows = self.rows.doc_count
        if subset.dense:
            return Subset.of(np.repeat(subset.mask, np.diff(self.offsets)), rows)
        first, last = self.offsets[subset.doc_nums], self.offsets[subset.doc_nums + 1]
        return Subset.of(expand(first, last).astype(np.int32), rows)

    def score(self, queries: Any, doc_nums: Ints) -> Floats:
        """Return the score of each named document, as a branch of documents does."""
        return self._best(queries, doc_nums)[0]

    def best_rows(self, queries: Any, doc_nums: Ints) -> NDArray[np.int64]:
        """Return the row of the passage that gives each document its score, the first of equals."""
        return self._best(queries, doc_nums)[1]

    def _best(self, queries: Any, doc_nums: Ints) -> tuple[Floats, NDArray[np.int64]]:
        doc_nums = checked_doc_nums(doc_nums, -1, self.doc_count)
        scores = np.full(doc_nums.shape, -np.inf, dtype=np.float32)
        best = np.full(doc_nums.shape, -1, dtype=np.int64)
        for start in range(0, len(doc_nums), QUERIES_AT_ONCE):
            part = slice(start, start + QUERIES_AT_ONCE)
            self._best_of(queries[part], doc_nums[part], scores[part], best[part])
        return scores, best

    def _best_of(
        self, queries: Any, doc_nums: Ints, scores: Floats, best: NDArray[np.int64]
    ) -> None:
        present = doc_nums >= 0
        named = [row[here] for row, here in zip(doc_nums, present, strict=True)]
        rows = [expand(self.offsets[each], self.offsets[each + 1]) for each in named]
        padded = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int32)
        for line, each in zip(padded, rows, strict=True):
            line[: len(each)] = each
        row_scores = self.rows.score(queries, padded)
        for at, each in enumerate(named):
            if not len(each):
                continue
            begin = starts(self.offsets[each + 1] - self.offsets[each])
            values = row_scores[at, : begin[-1]]
            top = np.maximum.reduceat(values, begin[:-1])
            scores[at, present[at]] = top
            # Of the places where a passage has its document's score, the first of each document.
            equal = np.flatnonzero(values == np.repeat(top, np.diff(begin)))
            best[at, present[at]] = rows[at][equal[np.searchsorted(equal, begin[:-1])]]
