from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.kernels.sparse import keys as kernels


@given(st.lists(st.integers(0, 2**64 - 1), max_size=300))
@settings(max_examples=60, deadline=None)
def test_keys_are_sorted(values):
    keys = np.array(values, dtype=np.uint64)
    ordered = kernels.sort_descending(keys.copy())
    assert ordered.tolist() == sorted(values, reverse=True)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=300), st.integers(1, 320))
@settings(max_examples=60, deadline=None)
def test_the_best_keys_are_kept(values, k):
    keys = np.array(values, dtype=np.uint64)
    size = kernels.keep_best(keys, len(values), k)
    assert size == min(k, len(values))
    assert sorted(keys[:size].tolist(), reverse=True) == sorted(values, reverse=True)[:k]
    lowest = kernels.lowest_bits(keys, size)
    assert int(lowest) & 0xFFFF_FFFF == min(keys[:size].tolist()) >> 32


@given(st.lists(st.integers(1, 9), max_size=99), st.integers(0, 11))
@settings(max_examples=60, deadline=None)
def test_low_keys_are_dropped_in_order(scores, floor):
    keys = np.array(scores, dtype=np.uint64) << np.uint64(32)
    kept = kernels.drop_low(keys, len(keys), floor)
    expected = [score for score in scores if score >= floor]
    assert (keys[:kept] >> np.uint64(32)).tolist() == expected


def test_places_become_numbers_and_numbers_stay():
    doc_nums = np.array([7, 0, 2**31 - 1], dtype=np.int32)
    bits = np.int32(5)
    numbered = [kernels.pack(bits, num) for num in doc_nums]
    placed = [np.uint64(5) << np.uint64(32) | np.uint64(place) for place in range(3)]
    keys = np.array([*placed, *numbered], dtype=np.uint64)
    kernels.resolve(doc_nums, keys, len(keys))
    assert keys.tolist() == numbered + numbered
