"""The sparse branch: an inverted index over non-negative term weights, exact to the bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from os import cpu_count
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.kernels import postings, topk

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Weights = Literal["uint8", "float32"]
Order = Literal["auto", "none", "cluster"]
FILES = ("postings_indptr", "postings_docs", "postings_codes", "scales")
ROWS = ("rows_indptr", "rows_terms", "rows_codes")


@dataclass(frozen=True)
class SparseBuildReport:
    """What a build wrote, and what rounding the weights to 8 bits cost.

    Errors are over all non-zeros, in units of the weights; ``mean_relative_error`` is the sum
    of absolute errors over the sum of weights. ``dropped`` counts weights that rounded to zero.
    """

    doc_count: int
    vocabulary_size: int
    nnz: int
    weights: Weights
    max_abs_error: float
    mean_abs_error: float
    mean_relative_error: float
    dropped: int
    size_bytes: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dictionary for JSON."""
        return asdict(self)


class InvertedIndex:
    """Term-major postings and forward rows, memory-mapped from one directory."""

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._arrays = arrays
        self._docs = arrays["postings_docs"]
        self._codes = arrays["postings_codes"]
        self._indptr = np.asarray(arrays["postings_indptr"])
        self._scales = np.asarray(arrays["scales"])
        self._every = np.arange(self.doc_count, dtype=np.int32)

    @property
    def doc_count(self) -> int:
        """Number of documents."""
        return len(self._arrays["rows_indptr"]) - 1

    @property
    def vocabulary_size(self) -> int:
        """Number of terms, used or not."""
        return len(self._indptr) - 1

    @property
    def nnz(self) -> int:
        """Number of postings."""
        return len(self._docs)

    @property
    def weights(self) -> Weights:
        """How a weight is stored."""
        return "uint8" if self._codes.dtype == np.uint8 else "float32"

    @staticmethod
    def build(
        documents: Iterable[csr_matrix],
        directory: Path,
        *,
        vocabulary_size: int,
        weights: Weights = "uint8",
        order: Order = "auto",
        seed: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> SparseBuildReport:
        """Write the index files into an existing empty directory and return what they hold.

        Args:
            documents: parts of the collection, CSR float32 (n, vocabulary_size), in doc_num order.
            directory: where the ``.npy`` files go.
            vocabulary_size: columns of every part.
            weights: ``uint8`` stores round(weight / scale) with one scale a term.
            order: how documents are arranged inside; never visible outside.
            seed: of the arrangement.
            progress: called with the number of newly indexed documents.

        Raises:
            UsageError: a part has another width, or a weight that is negative or not finite.
        """
        start = time.perf_counter()
        parts = []
        for part in documents:
            parts.append(_checked(part, vocabulary_size, "document"))
            if progress is not None:
                progress(part.shape[0])
        empty = csr_matrix((0, vocabulary_size), dtype=np.float32)
        rows = csr_matrix(vstack([empty, *parts], format="csr", dtype=np.float32))
        largest = np.zeros(vocabulary_size, dtype=np.float32)
        np.maximum.at(largest, rows.indices, rows.data)
        codes: NDArray[Any]
        if weights == "uint8":
            scales = largest / np.float32(255)
            codes = np.minimum(np.rint(rows.data / scales[rows.indices]), 255).astype(np.uint8)
        else:
            scales = np.ones(vocabulary_size, dtype=np.float32)
            codes = rows.data
        errors = np.abs(codes.astype(np.float32) * scales[rows.indices] - rows.data)
        total = float(rows.data.sum(dtype=np.float64))
        stored = csr_matrix((codes, rows.indices, rows.indptr), shape=rows.shape)
        before = stored.nnz
        stored.eliminate_zeros()
        columns = stored.tocsc()
        arrays: dict[str, NDArray[Any]] = {
            "postings_indptr": columns.indptr.astype(np.int64),
            "postings_docs": columns.indices.astype(np.uint32),
            "postings_codes": columns.data,
            "scales": scales,
            "rows_indptr": stored.indptr.astype(np.int64),
            "rows_terms": stored.indices.astype(np.uint32),
            "rows_codes": stored.data,
        }
        for name, array in arrays.items():
            np.save(directory / f"{name}.npy", array)
        return SparseBuildReport(
            doc_count=rows.shape[0],
            vocabulary_size=vocabulary_size,
            nnz=stored.nnz,
            weights=weights,
            max_abs_error=float(errors.max(initial=0.0)),
            mean_abs_error=float(errors.mean(dtype=np.float64)) if len(errors) else 0.0,
            mean_relative_error=float(errors.sum(dtype=np.float64)) / total if total else 0.0,
            dropped=before - stored.nnz,
            size_bytes=sum((directory / f"{name}.npy").stat().st_size for name in arrays),
            seconds=time.perf_counter() - start,
        )

    @staticmethod
    def open(directory: Path) -> InvertedIndex:
        """Return the index stored in ``directory``, memory-mapped."""
        arrays = {}
        for name in (*FILES, *ROWS):
            path = directory / f"{name}.npy"
            if not path.is_file():
                raise CorruptIndexError(
                    f"The sparse index in {directory} lacks {path.name}. Build the index again."
                )
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        return InvertedIndex(arrays)

    def search(
        self,
        queries: csr_matrix,
        k: int,
        *,
        threads: int = 0,
        subset: Ints | None = None,
    ) -> tuple[Ints, Floats]:
        """Return (doc_nums, scores), both (queries, k), padded with -1 and -inf.

        Ordered by score descending, then doc_num ascending; only scores above zero are hits.

        Args:
            queries: CSR float32 (queries, vocabulary_size), weights >= 0.
            k: at least 1; may exceed the number of documents.
            threads: queries answered at once; 0 means one a core. Changes no bit of the result.
            subset: search only these doc_nums, ascending int32.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1.")
        queries = _checked(queries, self.vocabulary_size, "query")
        doc_nums = self._every if subset is None else np.asarray(subset, dtype=np.int32)
        count = queries.shape[0]
        nums = np.full((count, k), -1, dtype=np.int32)
        values = np.full((count, k), -np.inf, dtype=np.float32)
        depth = min(k, len(doc_nums))

        def answer(row: int) -> None:
            terms, weights = _row(queries, row)
            scores = np.zeros(self.doc_count, dtype=np.float32)
            postings.accumulate(
                self._indptr, self._docs, self._codes, self._scales, terms, weights, scores
            )
            chosen = scores if subset is None else scores[doc_nums]
            best_nums = np.empty(depth, dtype=np.int32)
            best_scores = np.empty(depth, dtype=np.float32)
            found = topk.top_k(chosen, doc_nums, best_nums, best_scores)
            nums[row, :found] = best_nums[:found]
            values[row, :found] = best_scores[:found]

        if depth:
            _each(answer, count, threads)
        return nums, values

    def score(self, queries: csr_matrix, doc_nums: Ints) -> Floats:
        """Return the score of each named document, float32 of the shape of ``doc_nums``.

        The bits are those that ``search`` returns for the same pair. -1 scores -inf; a document
        that shares no term with the query scores 0.

        Args:
            queries: CSR float32 (queries, vocabulary_size).
            doc_nums: int32 (queries, c).
        """
        queries = _checked(queries, self.vocabulary_size, "query")
        doc_nums = np.ascontiguousarray(doc_nums, dtype=np.int32)
        if doc_nums.ndim != 2 or doc_nums.shape[0] != queries.shape[0]:
            raise UsageError(
                f"doc_nums has shape {doc_nums.shape}; one row for each of the "
                f"{queries.shape[0]} queries was expected."
            )
        self._check_nums(doc_nums, lowest=-1)
        out = np.empty(doc_nums.shape, dtype=np.float32)
        dense = np.zeros(self.vocabulary_size, dtype=np.float32)
        for row in range(queries.shape[0]):
            terms, weights = _row(queries, row)
            dense[terms] = weights
            postings.score_rows(
                *(self._arrays[name] for name in ROWS),
                self._scales,
                dense,
                doc_nums[row],
                out[row],
            )
            dense[terms] = 0
        return out

    def documents(self, doc_nums: Ints) -> csr_matrix:
        """Return the stored rows of ``doc_nums``, CSR float32 (len(doc_nums), vocabulary_size)."""
        doc_nums = np.asarray(doc_nums, dtype=np.int32)
        self._check_nums(doc_nums, lowest=0)
        indptr, terms, codes = (self._arrays[name] for name in ROWS)
        spans = [np.arange(indptr[doc], indptr[doc + 1]) for doc in doc_nums]
        entries = np.concatenate(spans) if spans else np.empty(0, dtype=np.int64)
        columns = terms[entries].astype(np.int32)
        data = codes[entries].astype(np.float32) * self._scales[columns]
        starts = np.concatenate([[0], np.cumsum([len(span) for span in spans])]).astype(np.int64)
        return csr_matrix((data, columns, starts), shape=(len(doc_nums), self.vocabulary_size))

    def _check_nums(self, doc_nums: Ints, *, lowest: int) -> None:
        if doc_nums.size and (doc_nums.min() < lowest or doc_nums.max() >= self.doc_count):
            raise UsageError(
                f"doc_nums run from {doc_nums.min()} to {doc_nums.max()}; the index has "
                f"{self.doc_count} documents, numbered from 0."
            )


def _row(matrix: csr_matrix, row: int) -> tuple[Ints, Floats]:
    span = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[span].astype(np.int32), matrix.data[span]


def _checked(matrix: csr_matrix, width: int, what: str) -> csr_matrix:
    """Return the matrix as canonical CSR float32: sorted terms, no duplicate, no stored zero."""
    if matrix.shape[1] != width:
        raise UsageError(
            f"A {what} matrix has {matrix.shape[1]} columns; the index has {width} terms. "
            "Use the encoder that the index was built with."
        )
    checked = csr_matrix(matrix, dtype=np.float32)
    if not checked.has_canonical_format or (checked.data == 0).any():
        checked = checked.copy()
        checked.sum_duplicates()
        checked.eliminate_zeros()
    if checked.nnz and not (np.isfinite(checked.data).all() and checked.data.min() > 0):
        raise UsageError(
            f"A {what} has a weight that is negative or not finite; weights must be >= 0."
        )
    return checked


def _each(job: Callable[[int], None], count: int, threads: int) -> None:
    """Run the job for every row; the kernels release the interpreter lock."""
    workers = min(threads if threads > 0 else cpu_count() or 1, count)
    if workers <= 1:
        for row in range(count):
            job(row)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(job, range(count)):
            pass
