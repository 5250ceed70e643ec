"""A walk over sketches from each document to its nearest neighbour among those not yet visited."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def likeness(
    terms: NDArray[np.generic],
    weights: NDArray[np.uint8],
    rows: NDArray[np.int64],
    heads: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` (rows, rows) with the cosine of each two sketches.

    ``heads`` (vocabulary,) is room for where each term's list begins: -1 everywhere, before and
    after.
    """
    count = len(rows)
    width = terms.shape[1]
    following = np.empty(count * width, dtype=np.int32)
    norms = np.empty(count, dtype=np.float32)
    out[:count, :count] = 0
    for number in range(count):
        row = rows[number]
        norm = np.float32(0)
        for slot in range(width):
            weight = np.float32(weights[row, slot])
            if weight == 0:
                break
            norm += weight * weight
            term = terms[row, slot]
            # Lists are walked from the latest document with the term back to the first.
            at = heads[term]
            while at >= 0:
                other = at // width
                out[number, other] += weight * np.float32(weights[rows[other], at % width])
                at = following[at]
            following[number * width + slot] = heads[term]
            heads[term] = number * width + slot
        norms[number] = max(np.sqrt(norm), np.float32(1e-9))
    for number in range(count):
        row = rows[number]
        for slot in range(width):
            if weights[row, slot] == 0:
                break
            heads[terms[row, slot]] = -1
        for other in range(number):
            value = out[number, other] / (norms[number] * norms[other])
            out[number, other] = value
            out[other, number] = value


@njit(cache=True, nogil=True)
def walk(
    terms: NDArray[np.generic],
    weights: NDArray[np.uint8],
    rows: NDArray[np.int64],
    bounds: NDArray[np.int64],
    most: int,
    vocabulary_size: int,
) -> None:
    """Reorder ``rows`` within bounds: from the first to its nearest neighbour, and on from there.

    A walk covers at most ``most`` rows. Ties go to the one that came first.
    """
    heads = np.full(vocabulary_size, -1, dtype=np.int32)
    alike = np.empty((most, most), dtype=np.float32)
    left = np.empty(most, dtype=np.int32)
    walked = np.empty(most, dtype=np.int64)
    for group in range(len(bounds) - 1):
        for first in range(bounds[group], bounds[group + 1], most):
            part = rows[first : min(first + most, bounds[group + 1])]
            likeness(terms, weights, part, heads, alike)
            size = len(part)
            for number in range(size):
                left[number] = number
            at = 0
            for step in range(size):
                walked[step] = part[at]
                kept = 0
                best = np.float32(-1)
                nearest = 0
                for position in range(size - step):
                    number = left[position]
                    if number != at:
                        left[kept] = number
                        kept += 1
                        if alike[at, number] > best:
                            best = alike[at, number]
                            nearest = number
                at = nearest
            part[:] = walked[:size]
