"""An order of documents in which neighbours share terms.

Two-level spherical k-means, and within each cluster a walk from neighbour to nearest neighbour.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.kernels.postings import clustering, walking

WIDTH = 32
BRANCHING = 64
SAMPLE_PER_CLUSTER = 64
ITERATIONS = 4
WALK = 512  # documents that one walk covers at most


def _kmeans(
    terms: NDArray[Any],
    weights: NDArray[np.uint8],
    rows: NDArray[np.int64],
    clusters: int,
    centroids: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """Return the cluster of each of ``rows``, trained on a sample of them."""
    size = min(len(rows), clusters * SAMPLE_PER_CLUSTER)
    sample = np.sort(rng.choice(rows, size, replace=False))
    assigned = rng.permutation(size).astype(np.int32)
    # Each centroid begins as one document: the first `clusters` of a permutation.
    seeds = assigned < clusters
    clustering.update(terms, weights, sample[seeds], assigned[seeds], centroids)
    for _ in range(ITERATIONS):
        clustering.assign(terms, weights, sample, centroids, assigned)
        counts = np.bincount(assigned, minlength=clusters)
        for empty in np.flatnonzero(counts == 0):
            assigned[rng.integers(size)] = empty
        clustering.update(terms, weights, sample, assigned, centroids)
    out = np.empty(len(rows), dtype=np.int32)
    clustering.assign(terms, weights, rows, centroids, out)
    return out


def _chain(centroids: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the place of each centroid in a greedy walk from neighbour to nearest neighbour."""
    likeness = centroids.T @ centroids
    place = np.empty(len(likeness), dtype=np.int32)
    left = np.ones(len(likeness), dtype=bool)
    at = 0
    for step in range(len(likeness)):
        place[at] = step
        left[at] = False
        at = int(np.argmax(np.where(left, likeness[at], -1)))
    return place


def order(
    terms: NDArray[Any],
    weights: NDArray[np.uint8],
    vocabulary_size: int,
    *,
    leaf: int = 128,
    seed: int = 0,
    threads: int = 2,
) -> NDArray[np.int32]:
    """Return the documents, int32 (n,), in an order that puts similar ones side by side."""
    n = len(terms)
    if n < 2 * leaf:
        return np.arange(n, dtype=np.int32)
    rng = np.random.default_rng(seed)
    every = np.arange(n, dtype=np.int64)
    top = max(1, min(BRANCHING, n // leaf))
    table = np.zeros((vocabulary_size, top), dtype=np.float32)
    first = _kmeans(terms, weights, every, top, table, rng)
    place = _chain(table)[first]
    by_place = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[by_place], np.arange(top + 1))

    def split(group: int) -> NDArray[np.int64]:
        rows = np.sort(by_place[bounds[group] : bounds[group + 1]])
        clusters = min(256, len(rows) // leaf)
        if clusters < 2:
            return rows
        inner = np.zeros((vocabulary_size, clusters), dtype=np.float32)
        child = np.random.default_rng([seed, group])
        second = _kmeans(terms, weights, rows, clusters, inner, child)
        within = _chain(inner)[second]
        rows = rows[np.argsort(within, kind="stable")]
        ends = np.concatenate([[0], np.cumsum(np.bincount(within, minlength=clusters))])
        walking.walk(terms, weights, rows, ends, WALK, vocabulary_size)
        return rows

    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(split, range(top)))).astype(np.int32)
