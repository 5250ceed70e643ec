"""Selection of the k best: score descending, then number ascending."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def worse(score_a: float, num_a: int, score_b: float, num_b: int) -> bool:
    """Return whether hit a comes after hit b in a ranking."""
    return score_a < score_b or (score_a == score_b and num_a > num_b)


@njit(cache=True, nogil=True)
def sift_down(
    heap_scores: NDArray[np.float32], heap_nums: NDArray[np.int32], size: int, at: int
) -> None:
    """Restore the heap (worst hit at 0) below position ``at``."""
    score = heap_scores[at]
    num = heap_nums[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and worse(
            heap_scores[right], heap_nums[right], heap_scores[child], heap_nums[child]
        ):
            child = right
        if not worse(heap_scores[child], heap_nums[child], score, num):
            break
        heap_scores[at] = heap_scores[child]
        heap_nums[at] = heap_nums[child]
        at = child
    heap_scores[at] = score
    heap_nums[at] = num


@njit(cache=True, nogil=True)
def push(
    heap_scores: NDArray[np.float32],
    heap_nums: NDArray[np.int32],
    size: int,
    k: int,
    score: np.float32,
    num: np.int32,
) -> int:
    """Offer one hit to a heap of at most k; return the heap's new size."""
    if size < k:
        at = size
        while at > 0:
            parent = (at - 1) // 2
            if not worse(score, num, heap_scores[parent], heap_nums[parent]):
                break
            heap_scores[at] = heap_scores[parent]
            heap_nums[at] = heap_nums[parent]
            at = parent
        heap_scores[at] = score
        heap_nums[at] = num
        return size + 1
    if worse(heap_scores[0], heap_nums[0], score, num):
        heap_scores[0] = score
        heap_nums[0] = num
        sift_down(heap_scores, heap_nums, size, 0)
    return size


@njit(cache=True, nogil=True)
def sort_heap(heap_scores: NDArray[np.float32], heap_nums: NDArray[np.int32], size: int) -> None:
    """Turn the heap into a ranking, best first."""
    for last in range(size - 1, 0, -1):
        score = heap_scores[0]
        num = heap_nums[0]
        heap_scores[0] = heap_scores[last]
        heap_nums[0] = heap_nums[last]
        heap_scores[last] = score
        heap_nums[last] = num
        sift_down(heap_scores, heap_nums, last, 0)


@njit(cache=True, nogil=True)
def top_k(
    scores: NDArray[np.float32],
    doc_nums: NDArray[np.int32],
    out_nums: NDArray[np.int32],
    out_scores: NDArray[np.float32],
) -> int:
    """Fill out_nums and out_scores, both (k,), with the best hits; return how many there are.

    Only scores above zero count. ``doc_nums`` names the document of each score, in any order.
    """
    k = len(out_nums)
    size = 0
    for position in range(len(scores)):
        score = scores[position]
        if score > 0 and (size < k or score >= out_scores[0]):
            size = push(out_scores, out_nums, size, k, score, doc_nums[position])
    sort_heap(out_scores, out_nums, size)
    return size
