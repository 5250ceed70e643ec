"""The sparse branch: an inverted index over non-negative term weights, exact to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy.sparse import csr_matrix, vstack

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.segments import search_apart
from hybrid.index.documents.subset import Subset, SubsetLike, checked_doc_nums
from hybrid.index.sparse.queries import checked, row_of
from hybrid.index.sparse.segment import SparseSegment
from hybrid.kernels import loaded, reference
from hybrid.machine.arrays import Floats, Ints
from hybrid.machine.threads import each, scoring_threads

if TYPE_CHECKING:
    from hybrid.index.sparse.searcher import PostingsSearcher

SearchPath = Literal["auto", "exhaustive", "pruned"]
PATHS: tuple[SearchPath, ...] = get_args(SearchPath)
SCAN_MOST = 10_000_000
"""Postings and documents that NumPy looks at, in all queries, in a fifth of a second. The kernels
take one second to load, and are loaded when more is asked for."""
SCAN_START = 1_000
"""Those that it looks at in the time that it takes to begin with a term."""
SCANNED = 50_000
"""Documents of a mask that are looked through in the time that one more call takes, with room."""


class InvertedIndex:
    """The postings of one segment or of many, searched in one call with one threshold.

    Args:
        segments: where the postings are.
        numbering: the documents of the segments; None for one segment with nothing deleted.
    """

    def __init__(
        self, segments: Sequence[SparseSegment], numbering: Numbering | None = None
    ) -> None:
        self.segments = segments
        self.numbering = Numbering.whole(len(segments[0])) if numbering is None else numbering
        self._scanned = 0

    def __getstate__(self) -> dict[str, Any]:
        # The searcher holds addresses, which a copy does not share.
        return {name: value for name, value in self.__dict__.items() if name != "searcher"}

    @classmethod
    def open(cls, directory: Path) -> InvertedIndex:
        """Return the index of the one segment in ``directory``, memory-mapped.

        Raises:
            CorruptIndexError: a file is missing, or does not fit the others.
            IndexFormatError: the files are of another format version.
        """
        return cls([SparseSegment.open(directory)])

    @property
    def doc_count(self) -> int:
        """Number of live documents."""
        return len(self.numbering)

    @property
    def vocabulary_size(self) -> int:
        """Number of terms, used or not."""
        return self.segments[0].vocabulary_size

    @property
    def nnz(self) -> int:
        """Number of postings, those of deleted documents included."""
        return sum(stored.nnz for stored in self.segments)

    def search(
        self,
        queries: csr_matrix,
        k: int,
        *,
        threads: int = 0,
        subset: SubsetLike | None = None,
        path: SearchPath = "auto",
    ) -> tuple[Ints, Floats]:
        """Return (doc_nums, scores), both (queries, k), padded with -1 and -inf.

        Ordered by score descending, then doc_num ascending; only scores above zero are hits.

        Args:
            queries: CSR float32 (queries, vocabulary_size), weights >= 0.
            k: at least 1; may exceed the number of documents.
            threads: queries answered at once; 0 means one a core. Changes no bit of the result.
            subset: search only these doc_nums, ascending int32, or those where a bool
                (doc_count,) is true.
            path: ``auto`` lets the planner choose; all paths return the same bits.

        Raises:
            UsageError: k under 1, a doc_num that does not exist, weights that are negative or of
                another width, an unknown path.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1.")
        if path not in PATHS:
            raise UsageError(f"path is {path!r}; expected {', '.join(PATHS)}.")
        queries = checked(queries, self.vocabulary_size, "query")
        within = None if subset is None else Subset.of(subset, self.doc_count)
        if path == "auto" and self._scans(queries):
            return self._scan(queries, k, within)
        if within is not None:
            if not within.dense and len(self.segments) == 1:
                return self._search_places(queries, k, within, threads)
            if not within.dense and self.doc_count > SCANNED * len(self.segments):
                return self._search_apart(queries, k, within, threads)
        searcher = self.searcher  # held until the kernel is done, which reads by address
        return searcher.search(queries, k, threads=threads, path=path, within=within)

    def load_kernels(self) -> None:
        """Load every kernel that a search or a score here may take, with and without a filter."""
        if not (self.doc_count and self.vocabulary_size):
            return
        query = csr_matrix(([1], [0], [0, 1]), shape=(1, self.vocabulary_size), dtype=np.float32)
        first = Subset.of(np.zeros(1, dtype=np.int32), self.doc_count)
        for within in (None, Subset.of(first.mask, self.doc_count)):
            self.searcher.search(query, 1, within=within)
        alone = self.segments[0]
        InvertedIndex([alone])._search_places(query, 1, Subset(len(alone), first.doc_nums, None), 1)

    @cached_property
    def searcher(self) -> PostingsSearcher:
        """The postings by doc_num, as one compiled call searches them."""
        from hybrid.index.sparse.searcher import PostingsSearcher

        postings = [
            stored.postings._replace(order=order)
            for stored, order in zip(self.segments, self._orders, strict=True)
        ]
        return PostingsSearcher.of(postings, self._frequencies, self.doc_count)

    @cached_property
    def _orders(self) -> list[Ints]:
        """The doc_num at each place of each segment, -1 for a deleted document."""
        orders = [stored.postings.order for stored in self.segments]
        if self.numbering.is_whole:
            return orders
        return [
            np.ascontiguousarray(self.numbering.doc_nums(segment)[order])
            for segment, order in enumerate(orders)
        ]

    @cached_property
    def _frequencies(self) -> Ints:
        """How many documents of all segments each term is in.

        Raises:
            CorruptIndexError: segments of different vocabularies or weights.
        """
        if len({(stored.vocabulary_size, stored.weights) for stored in self.segments}) > 1:
            raise CorruptIndexError(
                "segments of one branch have different vocabularies or weights; build it again"
            )
        frequencies: Ints = np.sum(
            [stored.frequencies for stored in self.segments], axis=0, dtype=np.int32
        )
        frequencies.flags.writeable = False  # kernels are compiled for one type of array
        return frequencies

    def _scans(self, queries: csr_matrix) -> bool:
        """Return whether NumPy answers: in all, it has less to do than loading kernels takes."""
        if loaded("sparse.search"):
            return False
        self._scanned += int(self._frequencies[queries.indices].sum(dtype=np.int64))
        self._scanned += queries.shape[0] * self.doc_count + queries.nnz * SCAN_START
        return self._scanned <= SCAN_MOST

    def _scan(self, queries: csr_matrix, k: int, within: Subset | None) -> tuple[Ints, Floats]:
        """Score every document in NumPy, with the bits of the kernels; see `SCAN_MOST`."""
        nums = np.full((queries.shape[0], k), -1, dtype=np.int32)
        values = np.full((queries.shape[0], k), -np.inf, dtype=np.float32)
        doc_nums = np.concatenate(self._orders)
        hits = doc_nums >= 0
        if within is not None:
            allowed = np.zeros(self.doc_count, dtype=np.bool_)
            allowed[within.doc_nums] = True
            hits &= allowed[doc_nums]
        for row in range(len(nums)):
            scores = np.concatenate(
                [
                    reference.scores_by_place(stored.postings, *row_of(queries, row))
                    for stored in self.segments
                ]
            )
            best, found = reference.top_k(np.where(hits, scores, 0), doc_nums, k)
            nums[row, : len(best)], values[row, : len(best)] = best, found
        return nums, values

    def _search_places(
        self, queries: csr_matrix, k: int, subset: Subset, threads: int
    ) -> tuple[Ints, Floats]:
        """Score the documents of a subset one by one, where there is one segment."""
        from hybrid.kernels.sparse import picking, topk

        nums = np.full((queries.shape[0], k), -1, dtype=np.int32)
        values = np.full((queries.shape[0], k), -np.inf, dtype=np.float32)
        bits = values.view(np.int32)
        depth = min(k, len(subset))
        if not depth:
            return nums, values
        stored = self.segments[0]
        places = np.sort(stored.places[self.numbering.places[subset.doc_nums]])
        doc_nums = self.numbering.doc_nums(0)[stored.postings.order[places]]

        def answer(row: int) -> None:
            scores = np.empty(len(places), dtype=np.float32)
            picking.score_places(stored.postings, *row_of(queries, row), places, scores)
            topk.select(scores, doc_nums, nums[row, :depth], bits[row, :depth])

        each(answer, len(nums), threads)
        return nums, values

    def _search_apart(
        self, queries: csr_matrix, k: int, subset: Subset, threads: int
    ) -> tuple[Ints, Floats]:
        """Search segment by segment for a small subset of large segments."""

        def search(segment: int, k: int, within: Subset | None) -> tuple[Ints, Floats]:
            return self._alone[segment].search(queries, k, threads=threads, subset=within)

        return search_apart(search, self.numbering, k, subset)

    @cached_property
    def _alone(self) -> list[InvertedIndex]:
        return [InvertedIndex([stored]) for stored in self.segments]

    def score(self, queries: csr_matrix, doc_nums: Ints, *, threads: int = 0) -> Floats:
        """Return the score of each named document, float32 of the shape of ``doc_nums``.

        The bits are those that ``search`` returns for the same pair. -1 scores -inf; a document
        that shares no term with the query scores 0.

        Args:
            queries: CSR float32 (queries, vocabulary_size).
            doc_nums: int32 (queries, c).
            threads: queries scored at once; 0 means one a core, where there is enough to do.
        """
        queries = checked(queries, self.vocabulary_size, "query")
        doc_nums = checked_doc_nums(doc_nums, -1, self.doc_count)
        if doc_nums.ndim != 2 or doc_nums.shape[0] != queries.shape[0]:
            raise UsageError(
                f"doc_nums has shape {doc_nums.shape}; one row for each of the "
                f"{queries.shape[0]} queries was expected."
            )
        out = np.full(doc_nums.shape, -np.inf, dtype=np.float32)
        segments, numbers = self.numbering.located(doc_nums)
        score_places: Callable[..., None] = reference.score_places
        if not self._scans(queries):
            from hybrid.kernels.sparse.picking import score_places

        def answer(row: int) -> None:
            terms, weights = row_of(queries, row)
            for segment, stored in enumerate(self.segments):
                named = np.flatnonzero(segments[row] == segment)
                if not len(named):
                    continue
                places = stored.places[numbers[row, named]]
                ascending = np.argsort(places)
                scores = np.empty(len(named), dtype=np.float32)
                score_places(stored.postings, terms, weights, places[ascending], scores)
                out[row, named[ascending]] = scores

        each(answer, queries.shape[0], scoring_threads(doc_nums.size, threads))
        return out

    def vectors(self, doc_nums: Ints) -> csr_matrix:
        """Return the stored vectors of ``doc_nums``, CSR float32 (len(doc_nums), vocabulary_size).

        A call takes about a millisecond a segment, or one pass over its postings for many.
        """
        return self.numbering.gather(
            checked_doc_nums(doc_nums, 0, self.doc_count),
            lambda segment, numbers: self.segments[segment].vectors(numbers),
            lambda parts: csr_matrix(vstack(parts, format="csr", dtype=np.float32)),
        )
