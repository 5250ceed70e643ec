"""Spherical k-means over sketches: the few heaviest terms of each document."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def sketch(
    indptr: NDArray[np.int64],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    out_terms: NDArray[np.generic],
    out_weights: NDArray[np.uint8],
) -> None:
    """Fill (n, width) with the heaviest terms of each row, the heaviest weight as 255; 0 pads."""
    width = out_terms.shape[1]
    for row in range(len(indptr) - 1):
        start = indptr[row]
        end = indptr[row + 1]
        floor = np.float32(0)
        if end - start > width:
            floor = _floor(weights[start:end], width)
        heaviest = np.float32(0)
        for entry in range(start, end):
            heaviest = max(heaviest, weights[entry])
        factor = np.float32(254) / heaviest if heaviest > 0 else np.float32(0)
        kept = 0
        for equal in range(2):
            for entry in range(start, end):
                weight = weights[entry]
                wanted = weight == floor if equal else weight > floor
                if wanted and kept < width:
                    out_terms[row, kept] = terms[entry]
                    out_weights[row, kept] = np.uint8(1 + weight * factor)
                    kept += 1
        out_weights[row, kept:] = 0


@njit(cache=True, nogil=True)
def _floor(weights: NDArray[np.float32], width: int) -> np.float32:
    """Return the ``width``-th largest weight."""
    ordered = weights.copy()
    low = 0
    high = len(ordered) - 1
    target = width - 1
    while low < high:
        pivot = ordered[(low + high) // 2]
        left = low
        right = high
        while left <= right:
            while ordered[left] > pivot:
                left += 1
            while ordered[right] < pivot:
                right -= 1
            if left <= right:
                held = ordered[left]
                ordered[left] = ordered[right]
                ordered[right] = held
                left += 1
                right -= 1
        if target <= right:
            high = right
        elif target >= left:
            low = left
        else:
            break
    return ordered[target]


@njit(cache=True, nogil=True)
def assign(
    terms: NDArray[np.generic],
    weights: NDArray[np.uint8],
    rows: NDArray[np.int64],
    centroids: NDArray[np.float32],
    out: NDArray[np.int32],
) -> None:
    """Fill ``out`` with the nearest centroid (largest inner product) of each of ``rows``.

    ``centroids`` is (vocabulary, clusters). Ties go to the lower number.
    """
    clusters = centroids.shape[1]
    total = np.empty(clusters, dtype=np.float32)
    for position in range(len(rows)):
        row = rows[position]
        total[:] = 0
        for slot in range(terms.shape[1]):
            weight = np.float32(weights[row, slot])
            if weight == 0:
                break
            term = terms[row, slot]
            for cluster in range(clusters):
                total[cluster] += centroids[term, cluster] * weight
        best = 0
        for cluster in range(1, clusters):
            if total[cluster] > total[best]:
                best = cluster
        out[position] = best


@njit(cache=True, nogil=True)
def update(
    terms: NDArray[np.generic],
    weights: NDArray[np.uint8],
    rows: NDArray[np.int64],
    assigned: NDArray[np.int32],
    centroids: NDArray[np.float32],
) -> None:
    """Set each centroid to the unit-length mean of its rows; an empty one stays zero."""
    centroids[:] = 0
    norms = np.zeros(centroids.shape[1], dtype=np.float64)
    for position in range(len(rows)):
        row = rows[position]
        cluster = assigned[position]
        for slot in range(terms.shape[1]):
            weight = np.float32(weights[row, slot])
            if weight == 0:
                break
            centroids[terms[row, slot], cluster] += weight
    for term in range(centroids.shape[0]):
        for cluster in range(centroids.shape[1]):
            value = centroids[term, cluster]
            norms[cluster] += value * value
    scale = np.zeros(centroids.shape[1], dtype=np.float32)
    for cluster in range(centroids.shape[1]):
        if norms[cluster] > 0:
            scale[cluster] = 1 / np.sqrt(norms[cluster])
    for term in range(centroids.shape[0]):
        for cluster in range(centroids.shape[1]):
            centroids[term, cluster] *= scale[cluster]
