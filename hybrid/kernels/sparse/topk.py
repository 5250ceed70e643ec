"""Selection of the k best: score descending, then doc_num ascending; see `keys`.

Keys are gathered with room for more than k, and a floor rises below which a score cannot be among
the k best. While k is small the floor is the k-th best key's, found whenever the room is used up.
For a larger k keys are counted by bucket of score as they come, and the floor is the bottom of the
lowest bucket that is still needed: it rises at once, and no key is looked at again.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numba.cpython.unsafe.numbers import trailing_zeros
from numpy.typing import NDArray

from hybrid.kernels.sparse.keys import (
    LOW,
    Keys,
    drop_low,
    keep_best,
    lowest_bits,
    pack,
    resolve,
    sort_descending,
)

State = NDArray[np.int64]

# What a state holds.
SIZE = 0  # the number of keys
FLOOR = 1  # the bits that a score must reach
REACHING = 2  # keys offered in the floor's bucket or above; 0 while keys are not counted
BUCKET = 3  # the bucket of the floor
BASE = 4  # the lowest bucket's number
BY = 5  # what new keys hold: PLACES or NUMBERS
COUNTS = 6  # from here on, keys offered by bucket

PLACES = 0
NUMBERS = 1

SHIFT = 16  # bits of a score within a bucket: 128 buckets as scores double
BUCKETS = 1024
HEADROOM = 128  # buckets above the best score seen
LEAST_COUNTED = 128  # with a smaller k the k best are chosen again and again: exact and as cheap


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
def begin(known: int) -> State:
    """Return the state of a selection that has seen nothing: every score above zero is wanted.

    Args:
        known: `PLACES`, or `NUMBERS` where some documents are deleted.
    """
    state = np.zeros(COUNTS + BUCKETS, dtype=np.int64)
    state[FLOOR] = 1
    state[BY] = known
    return state


@njit(cache=True, nogil=True)
def bucket_of(bits: int, base: int) -> int:
    """Return the bucket of a score; the first and the last hold what lies beyond them, too."""
    return min(max((bits >> SHIFT) - base, 0), BUCKETS - 1)


@njit(cache=True, nogil=True)
def count_again(keys: Keys, state: State) -> None:
    """Count the keys that are held by bucket, with buckets that reach from the best key down."""
    size = state[SIZE]
    best = np.int64(0)
    for position in range(size):
        best = max(best, np.int64(keys[position] >> np.uint64(32)))
    base = max(0, (best >> SHIFT) + HEADROOM - BUCKETS)
    counts = state[COUNTS:]
    counts[:] = 0
    for position in range(size):
        counts[bucket_of(np.int64(keys[position] >> np.uint64(32)), base)] += 1
    state[BASE] = base
    state[BUCKET] = bucket_of(state[FLOOR], base)
    state[REACHING] = size


@njit(cache=True, nogil=True)
def tighten(k: int, doc_nums: NDArray[np.int32], keys: Keys, state: State) -> None:
    """Raise the bits that a score must reach to those of the k-th best; drop what falls short.

    Ties with the k-th best are all kept, as a place does not say which of them comes first. Where
    they are too many, doc_nums take the places' places from here on, and k keys are kept.
    """
    size = state[SIZE]
    if size < k:
        return
    keep_best(keys, size, k)
    floor = max(np.int32(state[FLOOR]), lowest_bits(keys, k))
    kept = k
    if state[BY] == PLACES:
        for position in range(k, size):
            key = keys[position]
            keys[kept] = key
            kept += np.int32(key >> np.uint64(32)) == floor
        if kept > k + (len(keys) - k) // 2:
            resolve(doc_nums, keys, kept)
            state[BY] = NUMBERS
            kept = keep_best(keys, kept, k)
    state[SIZE] = kept
    state[FLOOR] = floor
    if k >= LEAST_COUNTED:
        count_again(keys, state)


@njit(cache=True, nogil=True)
def make_room(k: int, doc_nums: NDArray[np.int32], keys: Keys, state: State) -> None:
    """Drop keys that cannot be among the k best, raising the floor if need be."""
    if state[REACHING]:
        state[SIZE] = drop_low(keys, state[SIZE], state[FLOOR])
    if state[SIZE] > k + (len(keys) - k) // 2:
        tighten(k, doc_nums, keys, state)


@njit(cache=True, nogil=True)
def offer(
    bits: NDArray[np.int32],
    start: int,
    end: int,
    doc_nums: NDArray[np.int32],
    first: int,
    k: int,
    keys: Keys,
    state: State,
    allowed: NDArray[np.bool_] | None = None,
) -> None:
    """Add the hits of ``bits[start:end]`` that may be among the k best to ``keys``.

    Score ``bits[start + i]`` is that of place ``first + i``, whose number is in ``doc_nums``; a
    number below 0 is that of a deleted document. ``keys`` has room for more than k + 64.
    ``allowed`` says of each doc_num whether it may be a hit; the state is then one of `NUMBERS`.
    Without it the compiler leaves the question out.
    """
    size = state[SIZE]
    floor = np.int32(state[FLOOR])
    counts = state[COUNTS:]
    by_place = state[BY] == PLACES
    chunk = start
    while chunk < end:
        stop = min(chunk + 64, end)
        if chunk_max(bits, chunk, stop) >= floor:
            mask = reaching(bits, chunk, stop, floor)
            held = size
            while mask != np.uint64(0):
                position = chunk + np.int64(trailing_zeros(mask))
                mask &= mask - np.uint64(1)
                place = first + position - start
                if by_place:
                    keys[size] = (np.uint64(bits[position]) << np.uint64(32)) | np.uint64(place)
                    size += 1
                elif doc_nums[place] >= 0:
                    keys[size] = pack(bits[position], doc_nums[place])
                    if allowed is None:
                        size += 1
                    else:
                        size += np.int64(allowed[doc_nums[place]])
            if state[REACHING]:
                base = state[BASE]
                for position in range(held, size):
                    counts[bucket_of(np.int64(keys[position] >> np.uint64(32)), base)] += 1
                above = state[REACHING] + size - held
                bucket = state[BUCKET]
                if above - counts[bucket] >= k:
                    while above - counts[bucket] >= k:
                        above -= counts[bucket]
                        bucket += 1
                    state[BUCKET] = bucket
                    floor = max(floor, np.int32((base + bucket) << SHIFT))
                state[REACHING] = above
            if size > len(keys) - 64:
                state[SIZE] = size
                state[FLOOR] = floor
                make_room(k, doc_nums, keys, state)
                by_place = state[BY] == PLACES
                size = state[SIZE]
                floor = np.int32(state[FLOOR])
        chunk = stop
    state[SIZE] = size
    state[FLOOR] = floor


@njit(cache=True, nogil=True)
def ranking(
    doc_nums: NDArray[np.int32],
    keys: Keys,
    state: State,
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
) -> int:
    """Write the best hits, in order, and the bits of their scores, both (k,); return how many."""
    k = len(out_nums)
    size = drop_low(keys, state[SIZE], state[FLOOR])
    resolve(doc_nums, keys, size)
    if size > k + (k >> 1):
        size = keep_best(keys, size, k)
    best = sort_descending(keys[:size])
    size = min(size, k)
    for position in range(size):
        out_nums[position] = np.int32(~np.uint32(best[position] & LOW))
        out_bits[position] = np.int32(best[position] >> np.uint64(32))
    return size


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
    state = begin(NUMBERS)
    offer(scores.view(np.int32), 0, len(scores), doc_nums, 0, k, keys, state)
    return ranking(doc_nums, keys, state, out_nums, out_bits)
