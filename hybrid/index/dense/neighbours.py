"""Dense candidates without looking at every vector: inverted lists (IVF) and a graph (HNSW).

FAISS trains and builds; what is stored are plain arrays, checked when opened. No FAISS file is
written or read, since its reader trusts what it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from hybrid.errors import CorruptIndexError, require
from hybrid.kernels.dense import graph
from hybrid.machine.arrays import Floats, Ints, open_array

PROBES = 64
DEGREE = 32
CONSTRUCTION = 200
MIN_EF = 200
_CHUNK = 16_384
_MAX_LEVELS = 64


class Candidates(Protocol):
    """The candidates of an approximate search: at least ``count`` documents for one query."""

    def find(self, query: Floats, count: int) -> Ints:
        """Return the doc_nums of at least ``count`` documents (or all), in any order."""
        ...


def build_lists(vectors: Floats, directory: Path, *, seed: int) -> None:
    """Cluster the vectors by spherical k-means and write centroids and lists."""
    faiss = require("faiss", extra="cpu", purpose="building an IVF index")
    count, dimension = vectors.shape
    lists = max(1, min(count, int(4 * np.sqrt(count))))
    chosen = np.random.default_rng(seed).permutation(count)[: 256 * lists]
    if count:
        means = faiss.Kmeans(
            dimension,
            lists,
            niter=10,
            seed=seed,
            spherical=True,
            min_points_per_centroid=1,
            max_points_per_centroid=256,
        )
        means.train(np.array(vectors[np.sort(chosen)]))
        centroids = np.ascontiguousarray(means.centroids, dtype=np.float32)
    else:
        centroids = np.zeros((lists, dimension), dtype=np.float32)
    nearest = np.zeros(count, dtype=np.int64)
    for start in range(0, count, _CHUNK):
        _, lists_of = faiss.knn(
            vectors[start : start + _CHUNK], centroids, 1, metric=faiss.METRIC_INNER_PRODUCT
        )
        nearest[start : start + _CHUNK] = lists_of[:, 0]
    sizes = np.bincount(nearest, minlength=lists)
    np.save(directory / "centroids.npy", centroids)
    np.save(directory / "list_offsets.npy", np.concatenate([[0], np.cumsum(sizes)]))
    np.save(directory / "list_docs.npy", np.argsort(nearest, kind="stable").astype(np.int32))


class ListCandidates:
    """Documents of the lists whose centroids are nearest to the query."""

    def __init__(self, directory: Path, vectors: Floats) -> None:
        count, dimension = vectors.shape
        self._centroids = open_array(directory / "centroids.npy", np.float32, (None, dimension))
        lists = len(self._centroids)
        self._offsets = open_array(directory / "list_offsets.npy", np.int64, (lists + 1,))
        self._docs = open_array(directory / "list_docs.npy", np.int32, (count,))
        sizes = np.diff(self._offsets)
        _expect(
            directory,
            lists > 0
            and self._offsets[0] == 0
            and self._offsets[-1] == count
            and bool((sizes >= 0).all())
            and _within(self._docs, 0, count),
        )

    def find(self, query: Floats, count: int) -> Ints:
        """Return the documents of the nearest lists, of more lists if they hold too few."""
        order = np.argsort(-(self._centroids @ query), kind="stable")
        sizes = (self._offsets[1:] - self._offsets[:-1])[order]
        enough = int(np.searchsorted(np.cumsum(sizes), count)) + 1
        spans = [
            self._docs[self._offsets[each] : self._offsets[each + 1]]
            for each in order[: max(PROBES, enough)]
        ]
        return np.concatenate(spans)


def build_graph(vectors: Floats, directory: Path, *, seed: int) -> None:
    """Build an HNSW graph, one thread so that it is the same each time, and write its arrays."""
    faiss = require("faiss", extra="cpu", purpose="building an HNSW index")
    index = faiss.IndexHNSWFlat(vectors.shape[1], DEGREE, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = CONSTRUCTION
    index.hnsw.rng = faiss.RandomGenerator(seed)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        if len(vectors):
            index.add(vectors)
    finally:
        faiss.omp_set_num_threads(before)
    hnsw = index.hnsw
    arrays = {
        "graph_levels": faiss.vector_to_array(hnsw.levels).astype(np.int32),
        "graph_offsets": faiss.vector_to_array(hnsw.offsets).astype(np.int64),
        "graph_neighbours": faiss.vector_to_array(hnsw.neighbors).astype(np.int32),
        "graph_entry": np.array([hnsw.entry_point], dtype=np.int32),
    }
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)


class GraphCandidates:
    """Documents met on a walk through the graph."""

    def __init__(self, directory: Path, vectors: Floats) -> None:
        count = len(vectors)
        self._vectors = vectors
        self._levels = open_array(directory / "graph_levels.npy", np.int32, (count,))
        self._offsets = open_array(directory / "graph_offsets.npy", np.int64, (count + 1,))
        self._neighbours = open_array(directory / "graph_neighbours.npy", np.int32, (None,))
        entry = open_array(directory / "graph_entry.npy", np.int32, (1,))
        self._entry = int(entry[0])
        space = (self._levels.astype(np.int64) + 1) * DEGREE
        _expect(
            directory,
            _within(self._levels, 1, _MAX_LEVELS)
            and self._offsets[0] == 0
            and bool((np.diff(self._offsets) == space).all())
            and self._offsets[-1] == len(self._neighbours)
            and _within(self._neighbours, -1, count)
            and (0 <= self._entry < count or count == 0),
        )

    def find(self, query: Floats, count: int) -> Ints:
        """Return the ``count`` (or more) nearest that the walk met; it may meet fewer."""
        if not len(self._vectors):
            return np.empty(0, dtype=np.int32)
        breadth = min(max(MIN_EF, 2 * count), len(self._vectors))
        nums = np.empty(breadth, dtype=np.int32)
        scores = np.empty(breadth, dtype=np.float32)
        met = graph.walk(
            query,
            self._vectors,
            self._levels,
            self._offsets,
            self._neighbours,
            DEGREE,
            self._entry,
            nums,
            scores,
        )
        return nums[:met]


class Approximate(NamedTuple):
    """A kind of approximate search.

    Attributes:
        build: writes its files beside the vectors, given ``seed``.
        open: returns its candidates, given the folder and the vectors.
    """

    build: Callable[..., None]
    open: Callable[[Path, Floats], Candidates]


APPROXIMATE: dict[str, Approximate] = {
    "ivf": Approximate(build_lists, ListCandidates),
    "hnsw": Approximate(build_graph, GraphCandidates),
}
"""The kinds by name; ``flat``, which compares with every vector, is none of them."""


def _within(values: Ints, low: int, high: int) -> bool:
    return not values.size or bool(values.min() >= low and values.max() < high)


def _expect(directory: Path, holds: bool) -> None:
    if not holds:
        raise CorruptIndexError(
            f"the search structure in {directory} does not fit its vectors; build the index again"
        )
