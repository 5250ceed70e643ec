"""The dense branch: vectors on disk, memory-mapped, searched by inner product.

Whatever finds the candidates, the score that comes back is computed by one fixed-order kernel, so
it depends on query and document alone, and the order is exact: score descending, then doc_num.
Why the flat search misses nothing is said in `hybrid.index.dense.scan`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.dense import neighbours
from hybrid.index.dense.flat import FlatSearch
from hybrid.index.dense.scan import FaissScan, Scan
from hybrid.index.documents.subset import Subset, SubsetLike, checked_doc_nums
from hybrid.machine.arrays import ArrayWriter, open_array
from hybrid.machine.threads import each

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Kind = Literal["flat", "ivf", "hnsw"]

VECTORS = "vectors.npy"
DESCRIPTION = "vector.json"
MAX_NORM = 1e15
MAX_DIMENSION = 65_536


class VectorIndex:
    """Dense vectors of one dimension, memory-mapped from one directory.

    Attributes:
        rows: float32 (n, dimension).
        largest_norm: no vector is longer.
        scan: finds the candidates of a flat search; any finds the same results.
        kind: how it is searched.
    """

    def __init__(
        self,
        vectors: Floats,
        largest_norm: float,
        kind: Kind = "flat",
        candidates: neighbours.Candidates | None = None,
    ) -> None:
        self.rows = vectors
        self.largest_norm = largest_norm
        self._candidates = candidates
        self.scan: Scan = FaissScan()
        self.kind: Kind = kind

    @property
    def doc_count(self) -> int:
        """Number of documents."""
        return len(self.rows)

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return int(self.rows.shape[1])

    @staticmethod
    def build(
        vectors: Iterable[Floats],
        directory: Path,
        *,
        dimension: int,
        kind: Kind = "flat",
        seed: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Write the index files into an existing directory.

        Args:
            vectors: parts of the collection, float32 (n, dimension), in doc_num order.
            directory: where the files go.
            dimension: components of a vector.
            kind: ``flat`` compares with every vector; ``ivf`` and ``hnsw`` with a part of them.
            seed: of the training of ``ivf`` and ``hnsw``; recorded.
            progress: called with the number of newly written vectors.

        Raises:
            UsageError: a part of another width, or a vector that is not finite.
        """
        largest = 0.0
        with ArrayWriter(directory / VECTORS, np.float32, (dimension,)) as writer:
            for part in vectors:
                checked = _checked(part, dimension, f"Documents from number {writer.count} on")
                largest = max(largest, _largest_norm(checked))
                writer.append(checked)
                if progress is not None:
                    progress(len(checked))
            count = writer.count
        written = open_array(directory / VECTORS, np.float32, (count, dimension))
        if kind == "ivf":
            neighbours.build_lists(written, directory, seed=seed)
        elif kind == "hnsw":
            neighbours.build_graph(written, directory, seed=seed)
        description = {
            "kind": kind,
            "count": count,
            "dimension": dimension,
            "largest_norm": largest,
            "seed": seed,
        }
        (directory / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")

    @staticmethod
    def open(directory: Path) -> VectorIndex:
        """Return the index stored in ``directory``; vectors are mapped, not read.

        Raises:
            CorruptIndexError: a file is missing or does not fit the others.
        """
        description = _described(directory / DESCRIPTION)
        shape = (description["count"], description["dimension"])
        vectors = open_array(directory / VECTORS, np.float32, shape)
        candidates: neighbours.Candidates | None = None
        if description["kind"] == "ivf":
            candidates = neighbours.ListCandidates(directory, *shape)
        elif description["kind"] == "hnsw":
            candidates = neighbours.GraphCandidates(directory, vectors)
        return VectorIndex(vectors, description["largest_norm"], description["kind"], candidates)

    def search(
        self,
        queries: Floats,
        k: int,
        *,
        threads: int = 0,
        subset: SubsetLike | None = None,
    ) -> tuple[Ints, Floats]:
        """Return (doc_nums, scores), both (queries, k), padded with -1 and -inf.

        Ordered by score descending, then doc_num ascending. ``ivf`` and ``hnsw`` may miss
        documents, except with a ``subset``, which is always searched exactly.

        Args:
            queries: float32 (queries, dimension).
            k: at least 1; may exceed the number of documents.
            threads: 0 means one a core. Changes no bit of the result.
            subset: search only these doc_nums, ascending int32, or those where a bool
                (doc_count,) is true; the work is proportional to it.

        Raises:
            UsageError: k below 1, queries of another width, or doc_nums that are not there.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        queries = checked_queries(queries, self.dimension)
        within = None if subset is None else Subset.of(subset, self.doc_count)
        approximate = self._candidates
        if approximate is None or within is not None:
            return self._flat.search(queries, k, threads, within)
        nums = np.full((len(queries), k), -1, dtype=np.int32)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        depth = min(k, self.doc_count)

        def answer(row: int) -> None:
            found = approximate.find(queries[row], depth).astype(np.int64)[np.newaxis]
            best, values = self._flat.best(queries[row : row + 1], found, depth)
            nums[row, : best.shape[1]] = best[0]
            scores[row, : best.shape[1]] = values[0]

        each(answer, len(queries) if depth else 0, threads)
        return nums, scores

    @cached_property
    def _flat(self) -> FlatSearch:
        return FlatSearch([self])

    def score(self, queries: Floats, doc_nums: Ints, *, threads: int = 0) -> Floats:
        """Return the score of each named document, float32 of the shape of ``doc_nums``.

        The bits are those that ``search`` returns for the same pair; -1 scores -inf.

        Args:
            queries: float32 (queries, dimension).
            doc_nums: int32 (queries, c).
            threads: queries scored at once; 0 means one a core, where there is enough to do.
        """
        queries, doc_nums = checked_pairs(queries, doc_nums, self.dimension, self.doc_count)
        return self._flat.score(queries, doc_nums, threads)

    def vectors(self, doc_nums: Ints) -> Floats:
        """Return the stored vectors of ``doc_nums``, float32 (len(doc_nums), dimension)."""
        return np.array(self.rows[checked_doc_nums(doc_nums, 0, self.doc_count)])


def checked_queries(queries: Floats, dimension: int) -> Floats:
    """Return queries as the kernels take them, float32 (n, dimension).

    Raises:
        UsageError: another width, or a vector that is not finite or too long.
    """
    return np.require(_checked(queries, dimension, "The queries"), requirements="W")


def checked_pairs(
    queries: Floats, doc_nums: Ints, dimension: int, doc_count: int
) -> tuple[Floats, Ints]:
    """Return queries, float32 (n, dimension), and the documents to score with each, int32 (n, c).

    Raises:
        UsageError: queries as `checked_queries` refuses them, documents that are not there, or
            not one row of them for each query.
    """
    queries = checked_queries(queries, dimension)
    doc_nums = checked_doc_nums(doc_nums, -1, doc_count)
    if doc_nums.ndim != 2 or len(doc_nums) != len(queries):
        raise UsageError(
            f"doc_nums has shape {doc_nums.shape}; one row for each of the {len(queries)} "
            "queries was expected"
        )
    return queries, doc_nums


def _checked(vectors: Floats, dimension: int, what: str) -> Floats:
    checked = np.ascontiguousarray(vectors, dtype=np.float32)
    if checked.ndim != 2 or checked.shape[1] != dimension:
        raise UsageError(
            f"{what}: vectors of shape {checked.shape}; (n, {dimension}) was expected. Use the "
            "encoder that the index was built with"
        )
    if not _largest_norm(checked) <= MAX_NORM:
        raise UsageError(f"{what}: a vector is not finite, or longer than {MAX_NORM:g}")
    return checked


def _largest_norm(vectors: Floats) -> float:
    """Return a bound on all norms; not finite if a component is not: no square overflows."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return float(np.sqrt(squares.max(initial=0.0)) * (1 + 1e-12))


def _described(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptIndexError(f"{path} is not readable JSON: {error}") from error
    wanted: dict[str, Callable[[Any], bool]] = {
        "kind": lambda value: value in ("flat", "ivf", "hnsw"),
        "count": lambda value: type(value) is int and 0 <= value < 2**31,
        "dimension": lambda value: type(value) is int and 0 < value <= MAX_DIMENSION,
        "largest_norm": lambda value: type(value) in (int, float) and 0 <= value <= 2 * MAX_NORM,
    }
    for key, good in wanted.items():
        if not isinstance(description, dict) or not good(description.get(key)):
            raise CorruptIndexError(f"{path} has no usable {key!r}")
    return dict(description)
