"""Hits packed into 64 bits each: score descending, then doc_num ascending, is one comparison.

A positive float32 keeps its order when its bits are read as an integer, so
``score bits << 32 | ~doc_num`` is a key whose descending order is the ranking. A key may hold the
place of its document instead, not complemented: bit 31 tells them apart. Looking a number up is a
read somewhere in memory, which few of the documents that are looked at are worth.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

LOW = np.uint64(0xFFFFFFFF)
NUMBERED = np.uint64(0x80000000)  # the low half of a key that holds a doc_num reaches it


@njit(cache=True, nogil=True)
def pack(bits: np.int32, doc_num: np.int32) -> np.uint64:
    """Return the key of one hit; ``bits`` are those of its float32 score, which is above zero."""
    return (np.uint64(bits) << np.uint64(32)) | np.uint64(np.uint32(~doc_num))


@njit(cache=True, nogil=True)
def resolve(doc_nums: NDArray[np.int32], keys: Keys, size: int) -> None:
    """Put doc_nums in the keys that hold places."""
    for position in range(size):
        low = keys[position] & LOW
        if low < NUMBERED:
            score = keys[position] & ~LOW
            keys[position] = score | np.uint64(np.uint32(~doc_nums[np.int64(low)]))


@njit(cache=True, nogil=True)
def drop_low(keys: Keys, size: int, floor: int) -> int:
    """Drop the keys whose score does not reach the floor; return how many are left."""
    kept = 0
    lowest = np.uint64(floor) << np.uint64(32)
    for position in range(size):
        key = keys[position]
        keys[kept] = key
        kept += key >= lowest
    return kept


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
