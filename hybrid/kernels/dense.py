"""Inner products of dense vectors in one fixed order of addition.

The product of two float32 numbers is exact in float64. Eight float64 sums are kept, component
``i`` going to sum ``i % 8``; they are added as ``((s0+s4) + (s2+s6)) + ((s1+s5) + (s3+s7))`` and
rounded once to float32. So a score depends on the two vectors alone: not on the batch, the number
of threads, the processor, or whether it has fused multiply-add.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """Return the inner product of two float32 vectors of one length."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    size = len(a)
    whole = size - size % 8
    for i in range(0, whole, 8):
        s0 += np.float64(a[i]) * np.float64(b[i])
        s1 += np.float64(a[i + 1]) * np.float64(b[i + 1])
        s2 += np.float64(a[i + 2]) * np.float64(b[i + 2])
        s3 += np.float64(a[i + 3]) * np.float64(b[i + 3])
        s4 += np.float64(a[i + 4]) * np.float64(b[i + 4])
        s5 += np.float64(a[i + 5]) * np.float64(b[i + 5])
        s6 += np.float64(a[i + 6]) * np.float64(b[i + 6])
        s7 += np.float64(a[i + 7]) * np.float64(b[i + 7])
    if whole < size:
        s0 += np.float64(a[whole]) * np.float64(b[whole])
    if whole + 1 < size:
        s1 += np.float64(a[whole + 1]) * np.float64(b[whole + 1])
    if whole + 2 < size:
        s2 += np.float64(a[whole + 2]) * np.float64(b[whole + 2])
    if whole + 3 < size:
        s3 += np.float64(a[whole + 3]) * np.float64(b[whole + 3])
    if whole + 4 < size:
        s4 += np.float64(a[whole + 4]) * np.float64(b[whole + 4])
    if whole + 5 < size:
        s5 += np.float64(a[whole + 5]) * np.float64(b[whole + 5])
    if whole + 6 < size:
        s6 += np.float64(a[whole + 6]) * np.float64(b[whole + 6])
    total: float = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    score: np.float32 = np.float32(total)
    return score


@njit(cache=True, nogil=True)
def score_rows(
    query: NDArray[np.float32],
    vectors: NDArray[np.float32],
    doc_nums: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` with the inner product of ``query`` and each row in ``doc_nums`` (-inf for -1).

    Preconditions: shapes (d,), (n, d), (c,), (c,); -1 <= doc_nums < n.
    """
    for position in range(len(doc_nums)):
        doc = doc_nums[position]
        if doc < 0:
            out[position] = -np.inf
        else:
            out[position] = dot(query, vectors[doc])


def dot_reference(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """Return what `dot` returns, in plain NumPy: the definition that the kernel is tested by."""
    products = a.astype(np.float64) * b.astype(np.float64)
    lanes = np.zeros((-(-len(products) // 8), 8))
    lanes.ravel()[: len(products)] = products
    s = np.zeros(8)
    for lane in lanes:
        s = s + lane
    total: float = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
    score: np.float32 = np.float32(total)
    return score
