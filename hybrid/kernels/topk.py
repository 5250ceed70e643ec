"""Selection of the k best: score descending, then doc_num ascending, packed in one key.

A positive float32 keeps its order when its bits are read as an integer, so
``score bits << 32 | ~doc_num`` is a key whose descending order is the ranking.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numba.cpython.unsafe.numbers import trailing_zeros
from numpy.typing import NDArray

Keys = NDArray[np.uint64]


@njit(cache=True, nogil=True)
def pack(bits: np.int32, doc_num: np.int32) -> np.uint64:
    """Return the key of one hit; ``bits`` are those of its float32 score, which is above zero."""
    return (np.uint64(bits) << np.uint64(32)) | np.uint64(np.uint32(~doc_num))


@njit(cache=True, nogil=True)
def keep_best(keys: Keys, size: int, k: int) -> int:
    """Move the k largest of ``keys[:size]`` to the front (quickselect); return the new size."""
    if size <= k:
        return size
    low = 0
    high = size - 1
    while low < high:
        first = keys[low]
        middle = keys[(low + high) >> 1]
        last = keys[high]
        pivot = max(min(first, middle), min(max(first, middle), last))
        left = low
        right = high
        while left <= right:
            while keys[left] > pivot:
                left += 1
            while keys[right] < pivot:
                right -= 1
            if left <= right:
                held = keys[left]
                keys[left] = keys[right]
                keys[right] = held
                left += 1
                right -= 1
        if k - 1 <= right:
            high = right
        elif k - 1 >= left:
            low = left
        else:
            break
    return k


@njit(cache=True, nogil=True)
def lowest_bits(keys: Keys, size: int) -> np.int32:
    """Return the score bits of the worst of ``keys[:size]``."""
    lowest = keys[0]
    for position in range(1, size):
        lowest = min(lowest, keys[position])
    return np.int32(lowest >> np.uint64(32))


@njit(cache=True, nogil=True)
def chunk_max(bits: NDArray[np.int32], start: int, end: int) -> np.int32:
    """Return the largest of ``bits[start:end]``, or 0.

    Integers compared with ``if`` and counted by unsigned numbers: the form that is vectorised.
    """
    largest = np.int32(0)
    for position in range(np.uint64(start), np.uint64(end)):
        value = bits[position]
        largest = value if value > largest else largest
    return largest


@njit(cache=True, nogil=True)
def reaching(bits: NDArray[np.int32], start: int, end: int, floor: np.int32) -> np.uint64:
    """Return a mask whose bit i says that ``bits[start + i]`` is ``floor`` or more; at most 64.

    Comparing all and then visiting the set bits has no branch a score, and is vectorised.
    """
    mask = np.uint64(0)
    for position in range(np.uint64(end - start)):
        mask |= np.uint64(bits[np.uint64(start) + position] >= floor) << position
    return mask


@njit(cache=True, nogil=True)
def offer(
    bits: NDArray[np.int32],
    start: int,
    end: int,
    doc_nums: NDArray[np.int32],
    first: int,
    k: int,
    keys: Keys,
    state: NDArray[np.int64],
) -> None:
    """Add the hits of ``bits[start:end]`` that may be among the k best to ``keys``.

    Score ``bits[start + i]`` is that of ``doc_nums[first + i]``; a number below 0 is that of a
    deleted document. ``state`` holds the number of keys
    and the bits that a score must reach; ``keys`` has room for more than k + 64.
    """
    size = state[0]
    floor = np.int32(state[1])
    chunk = start
    while chunk < end:
        stop = min(chunk + 64, end)
        if chunk_max(bits, chunk, stop) >= floor:
            mask = reaching(bits, chunk, stop, floor)
            while mask != np.uint64(0):
                position = chunk + np.int64(trailing_zeros(mask))
                mask &= mask - np.uint64(1)
                doc_num = doc_nums[first + position - start]
                if doc_num >= 0:
                    keys[size] = pack(bits[position], doc_num)
                    size += 1
            if size > len(keys) - 64:
                size = keep_best(keys, size, k)
                floor = max(floor, lowest_bits(keys, size))
        chunk = stop
    state[0] = size
    state[1] = floor


@njit(cache=True, nogil=True)
def tighten(k: int, keys: Keys, state: NDArray[np.int64]) -> None:
    """Drop all but the k best keys and raise the bits that a score must reach."""
    if state[0] >= k:
        state[0] = keep_best(keys, state[0], k)
        state[1] = max(state[1], np.int64(lowest_bits(keys, state[0])))


@njit(cache=True, nogil=True)
def ranking(
    keys: Keys,
    size: int,
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
) -> int:
    """Write the best hits, in order, and the bits of their scores, both (k,); return how many."""
    size = keep_best(keys, size, len(out_nums))
    best = sort_descending(keys[:size])
    for position in range(size):
        out_nums[position] = np.int32(~np.uint32(best[position] & np.uint64(0xFFFFFFFF)))
        out_bits[position] = np.int32(best[position] >> np.uint64(32))
    return size


@njit(cache=True, nogil=True)
def sort_descending(keys: Keys) -> Keys:
    """Return the keys in descending order: insertion sort when few, radix sort otherwise."""
    size = len(keys)
    if size <= 64:
        for position in range(1, size):
            key = keys[position]
            at = position
            while at > 0 and keys[at - 1] < key:
                keys[at] = keys[at - 1]
                at -= 1
            keys[at] = key
        return keys
    other = np.empty_like(keys)
    counts = np.empty(2049, dtype=np.int64)
    mask = np.uint64(2047)
    for digit in range(6):
        shift = np.uint64(11 * digit)
        counts[:] = 0
        for position in range(size):
            counts[2048 - ((keys[position] >> shift) & mask)] += 1
        if counts[2048 - ((keys[0] >> shift) & mask)] == size:
            continue
        for value in range(1, 2049):
            counts[value] += counts[value - 1]
        for position in range(size):
            key = keys[position]
            slot = 2047 - ((key >> shift) & mask)
            other[counts[slot]] = key
            counts[slot] += 1
        held = keys
        keys = other
        other = held
    return keys


@njit(cache=True, nogil=True)
def select(
    scores: NDArray[np.float32],
    doc_nums: NDArray[np.int32],
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
) -> int:
    """Fill (k,) with the best hits among ``scores``; return how many there are."""
    k = len(out_nums)
    keys = np.empty(min(2 * k, len(scores)) + 192, dtype=np.uint64)
    state = np.array([0, 1], dtype=np.int64)
    offer(scores.view(np.int32), 0, len(scores), doc_nums, 0, k, keys, state)
    return ranking(keys, state[0], out_nums, out_bits)
