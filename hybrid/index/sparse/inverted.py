"""The sparse branch: an inverted index over non-negative term weights, exact to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import UsageError
from hybrid.index.documents.subset import Subset, SubsetLike, checked_doc_nums
from hybrid.index.sparse import approximate
from hybrid.index.sparse.answer import answers, checked, row_of
from hybrid.index.sparse.approximate import Accuracy, Approximation
from hybrid.index.sparse.layout import open_sparse
from hybrid.index.sparse.write import HEAD_FILL, Weights, write_index
from hybrid.kernels.postings import rows
from hybrid.kernels.sparse import picking, planner, table, tiles, topk
from hybrid.machine.threads import each, scoring_threads

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Order = Literal["auto", "none", "cluster"]
SearchPath = Literal["auto", "exhaustive", "pruned"]
SAMPLED = 64
REORDER_FROM = 20_000
PATHS = {"auto": planner.AUTO, "exhaustive": planner.EXHAUSTIVE, "pruned": planner.PRUNED}


@dataclass(frozen=True)
class SparseBuildReport:
    """What a build wrote, and what rounding the weights to 8 bits cost.

    Errors are over all non-zeros, in units of the weights; ``mean_relative_error`` is the sum
    of absolute errors over the sum of weights. ``dropped`` counts weights that rounded to zero.
    """

    format: int
    doc_count: int
    vocabulary_size: int
    nnz: int
    weights: Weights
    order: Literal["none", "cluster"]
    seed: int
    max_abs_error: float
    mean_abs_error: float
    mean_relative_error: float
    dropped: int
    size_bytes: int
    order_seconds: float
    seconds: float
    approximations: tuple[Approximation, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dictionary for JSON."""
        return asdict(self)


class InvertedIndex:
    """Tiled postings, memory-mapped from one directory."""

    def __init__(self, arrays: dict[str, NDArray[Any]], described: dict[str, Any]) -> None:
        # All read-only, also those without entries: kernels are compiled for one type of array.
        arrays = {name: array.view() for name, array in arrays.items()}
        for array in arrays.values():
            array.flags.writeable = False
        self._postings = tiles.Postings(*(arrays[name] for name in tiles.Postings._fields))
        self._place = arrays["place"]
        self._frequencies = arrays["frequencies"]
        self._described = described
        self._accuracies: dict[tuple[float, int], Accuracy] = {}

    def __getstate__(self) -> dict[str, Any]:
        # The table holds addresses, which a copy does not share.
        return {name: value for name, value in self.__dict__.items() if name != "_table"}

    @property
    def doc_count(self) -> int:
        """Number of documents."""
        return len(self._postings.order)

    @property
    def vocabulary_size(self) -> int:
        """Number of terms, used or not."""
        return len(self._postings.scales)

    @property
    def nnz(self) -> int:
        """Number of postings."""
        return int(self._described["nnz"])

    @property
    def weights(self) -> Weights:
        """How a weight is stored."""
        return "uint8" if self._postings.tail_codes.dtype == np.uint8 else "float32"

    @property
    def places(self) -> Ints:
        """Where each doc_num stands in the internal order, int32 (doc_count,)."""
        places: Ints = self._place
        return places

    @property
    def postings(self) -> tiles.Postings:
        """The arrays underneath."""
        return self._postings

    @property
    def frequencies(self) -> Ints:
        """In how many documents each term is, int32 (vocabulary_size,)."""
        return self._frequencies

    @property
    def scales(self) -> Floats:
        """What one step of a code weighs, float32 (vocabulary_size,)."""
        return self._postings.scales

    @staticmethod
    def build(
        documents: Iterable[csr_matrix],
        directory: Path,
        *,
        vocabulary_size: int,
        weights: Weights = "uint8",
        order: Order = "auto",
        seed: int = 0,
        threads: int = 0,
        head_fill: float = HEAD_FILL,
        scales: Floats | None = None,
        sample: csr_matrix | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> SparseBuildReport:
        """Write the index files into an existing empty directory and return what they hold.

        Memory stays bounded: the parts are spooled to temporary files inside ``directory``.

        Args:
            documents: parts of the collection, CSR float32 (n, vocabulary_size), in doc_num order.
            directory: where the files go.
            vocabulary_size: columns of every part.
            weights: ``uint8`` stores round(weight / scale) with one scale a term.
            order: ``cluster`` puts similar documents side by side, which pruning needs; ``auto``
                does so from 20,000 documents on. Never visible outside.
            seed: of the clustering.
            threads: 0 means one a core. Changes no byte of the result.
            head_fill: a term with postings in this share of the tiles gets block maxima; up to
                65,536 documents it needs four a tile, too.
            scales: float32 (vocabulary_size,), those of an index whose documents must get the same
                codes here; a weight above 255 of them is cut. Default: from the largest weights.
            sample: queries to measure approximate search on; if None, long and short ones made of
                documents.
            progress: called with the number of newly read documents.

        Raises:
            UsageError: a part has another width, or a weight that is negative or not finite.
        """
        if weights not in ("uint8", "float32") or order not in ("auto", "none", "cluster"):
            raise UsageError(
                f"weights is {weights!r} and order {order!r}; expected uint8 or float32, "
                "and auto, none or cluster."
            )

        def cluster(count: int) -> bool:
            wanted = order == "cluster" or (order == "auto" and count >= REORDER_FROM)
            return wanted and weights == "uint8"

        described = write_index(
            (checked(part, vocabulary_size, "document") for part in documents),
            directory,
            vocabulary_size=vocabulary_size,
            weights=weights,
            cluster=cluster,
            sketch=order != "none" and weights == "uint8",
            seed=seed,
            threads=threads,
            head_fill=head_fill,
            progress=progress,
            given_scales=scales,
        )
        table: list[Approximation] = []
        measured = approximate.depths(described["doc_count"])
        if described["order"] == "cluster" and measured:
            index = InvertedIndex.open(directory)
            if sample is None:
                chosen = np.random.default_rng(seed).integers(0, index.doc_count, SAMPLED)
                rows = index.documents(chosen.astype(np.int32))
                samples = approximate.queries_of(rows, seed)
            else:
                samples = [checked(sample, vocabulary_size, "query")]

            def search(queries: csr_matrix, k: int, shrink: float) -> tuple[Ints, Floats]:
                return index._search(queries, k, "pruned", shrink, threads)

            table = approximate.measure(search, samples, measured)
            path = directory / "sparse.json"
            stored = json.loads(path.read_text()) | {"approximations": [asdict(x) for x in table]}
            path.write_text(json.dumps(stored, indent=1) + "\n")
        return SparseBuildReport(**described, approximations=tuple(table))

    @staticmethod
    def open(directory: Path) -> InvertedIndex:
        """Return the index stored in ``directory``, memory-mapped.

        Raises:
            CorruptIndexError: a file is missing, or does not fit the others.
            IndexFormatError: the files are of another format version.
        """
        return InvertedIndex(*open_sparse(directory))

    def search(
        self,
        queries: csr_matrix,
        k: int,
        *,
        threads: int = 0,
        subset: SubsetLike | None = None,
        shrink: float = 1.0,
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
            shrink: what upper bounds are multiplied by; 1.0 is exact. Under 1 the search may miss
                hits, but what it returns still has exact scores; ``accuracy`` gives the factor that
                kept a recall at this depth. A subset is searched exactly.
            path: ``auto`` lets the planner choose; all paths return the same bits.

        Raises:
            UsageError: k under 1, a doc_num that does not exist, weights that are negative or of
                another width, a factor outside (0, 1], an unknown path.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1.")
        if path not in PATHS:
            raise UsageError(f"path is {path!r}; expected {', '.join(PATHS)}.")
        queries = checked(queries, self.vocabulary_size, "query")
        approximate.check_share("shrink", shrink)
        if subset is not None:
            within = Subset.of(subset, self.doc_count)
            if within.dense:
                return self._search(queries, k, path, 1.0, threads, within)
            return self._search_places(queries, k, within.doc_nums, threads)
        if shrink == 1:
            return self._search(queries, k, path, shrink, threads)
        nums, scores = self._search(queries, max(k, approximate.DEPTHS[0]), path, shrink, threads)
        return nums[:, :k], scores[:, :k]

    def accuracy(self, recall: float, k: int) -> Accuracy:
        """Return how exact a search to depth ``k`` is that asks for this recall.

        Raises:
            UsageError: the recall is not in (0, 1], or nothing was measured when the index was
                built, though it is large enough.
        """
        approximate.check_share("recall", recall)
        if recall == 1:
            return Accuracy()
        if self.approximations:
            if (recall, k) not in self._accuracies:
                found = approximate.accuracy_for(recall, k, self.approximations)
                self._accuracies[recall, k] = found
            return self._accuracies[recall, k]
        if self.weights != "uint8":
            return Accuracy(reason="weights of 32 bits have no bounds to shrink")
        if not approximate.depths(self.doc_count):
            return Accuracy(reason=f"{self.doc_count:,} rows are too few for a cut to save time")
        raise UsageError(
            f"recall is {recall}, and this sparse index of {self.doc_count:,} rows has no table of "
            "measured recall: it was built without reordering, or by an earlier version. Build it "
            "again, or leave the recall at 1, which is exact"
        )

    def _search(
        self,
        queries: csr_matrix,
        k: int,
        path: SearchPath,
        shrink: float,
        threads: int,
        within: Subset | None = None,
    ) -> tuple[Ints, Floats]:
        """Return what ``search`` does, over everything that a subset lets in; exactly with one."""
        return answers(
            self._table,
            self._frequencies,
            float(self.doc_count),
            self.doc_count,
            queries,
            k,
            threads=threads,
            shrink=shrink,
            path=PATHS[path],
            within=within,
        )

    def _search_places(
        self, queries: csr_matrix, k: int, subset: Ints, threads: int
    ) -> tuple[Ints, Floats]:
        """Score the documents of a subset one by one, as far as they lie apart."""
        count = queries.shape[0]
        nums = np.full((count, k), -1, dtype=np.int32)
        values = np.full((count, k), -np.inf, dtype=np.float32)
        bits = values.view(np.int32)
        depth = min(k, len(subset))
        if not depth:
            return nums, values
        within = np.sort(self._place[subset])
        within_nums = self._postings.order[within]

        def answer(row: int) -> None:
            terms, weights = row_of(queries, row)
            scores = np.empty(len(within), dtype=np.float32)
            picking.score_places(self._postings, terms, weights, within, scores)
            topk.select(scores, within_nums, nums[row, :depth], bits[row, :depth])

        each(answer, count, threads)
        return nums, values

    @cached_property
    def _table(self) -> table.Table:
        return table.table_of([self._postings])

    @cached_property
    def approximations(self) -> list[Approximation]:
        """The recall of approximate search, measured at build; empty where there is none."""
        stored = self._described.get("approximations", [])
        # Entries of early versions, without a depth, were measured on long queries alone.
        return [Approximation(**entry) for entry in stored if "depth" in entry]

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

        def answer(row: int) -> None:
            known = np.flatnonzero(doc_nums[row] >= 0)
            places = self._place[doc_nums[row, known]]
            ascending = np.argsort(places)
            scores = np.empty(len(known), dtype=np.float32)
            picking.score_places(self._postings, *row_of(queries, row), places[ascending], scores)
            out[row, known[ascending]] = scores

        each(answer, queries.shape[0], scoring_threads(doc_nums.size, threads))
        return out

    def documents(self, doc_nums: Ints) -> csr_matrix:
        """Return the stored rows of ``doc_nums``, CSR float32 (len(doc_nums), vocabulary_size).

        Rows are gathered from the postings: about a millisecond a call, or one pass over all of
        them where many rows are asked for.
        """
        doc_nums = checked_doc_nums(doc_nums, 0, self.doc_count)
        unique, inverse = np.unique(self._place[doc_nums], return_inverse=True)
        gather, key = rows.collect, unique
        if len(unique) * self.vocabulary_size > self.nnz:
            gather, key = rows.spread, np.full(self.doc_count, -1, dtype=np.int32)
            key[unique] = np.arange(len(unique), dtype=np.int32)
        lengths = np.zeros(len(unique), dtype=np.int64)
        none = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        gather(self._postings, key, lengths, lengths, *none)
        ends = np.cumsum(lengths)
        columns = np.empty(ends[-1] if len(ends) else 0, dtype=np.int32)
        data = np.empty(len(columns), dtype=np.float32)
        gather(self._postings, key, lengths, ends - lengths, columns, data)
        indptr = np.concatenate([[0], ends]).astype(np.int64)
        shape = (len(unique), self.vocabulary_size)
        return csr_matrix((data, columns, indptr), shape=shape)[inverse]
