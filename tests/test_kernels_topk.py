from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.kernels import reference, topk

scores_strategy = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.5, 1.0, 7.0]), max_size=400)


def selected(scores: np.ndarray, doc_nums: np.ndarray, k: int) -> tuple[list[int], list[float]]:
    nums = np.full(k, -1, dtype=np.int32)
    bits = np.zeros(k, dtype=np.int32)
    size = topk.select(scores, doc_nums, nums, bits)
    return nums[:size].tolist(), bits[:size].view(np.float32).tolist()


def agrees(scores: np.ndarray, doc_nums: np.ndarray, k: int) -> None:
    nums, values = selected(scores, doc_nums, k)
    expected_nums, expected_values = reference.top_k(scores, doc_nums, k)
    assert nums == expected_nums.tolist()
    assert values == expected_values.tolist()


@settings(max_examples=150, deadline=None)
@given(scores_strategy, st.integers(1, 500), st.randoms(use_true_random=False))
def test_selection_with_ties_is_the_reference(values, k, random):
    nums = list(range(len(values)))
    random.shuffle(nums)
    agrees(np.array(values, dtype=np.float32), np.array(nums, dtype=np.int32), k)


@pytest.mark.parametrize("k", [1, 10, 64, 65, 1000])
@pytest.mark.parametrize("n", [1, 63, 64, 5000])
@pytest.mark.parametrize("made", ["random", "equal", "ascending", "descending", "tiny", "zero"])
def test_selection_is_the_reference(k, n, made):
    rng = np.random.default_rng(n)
    scores = {
        "random": rng.gamma(1, 1, n),
        "equal": np.ones(n),
        "ascending": np.linspace(1, 2, n),
        "descending": np.linspace(2, 1, n),
        "tiny": rng.integers(0, 9, n) * np.float32(1e-45),
        "zero": np.zeros(n),
    }[made].astype(np.float32)
    agrees(scores, rng.permutation(n).astype(np.int32), k)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=300))
@settings(max_examples=60, deadline=None)
def test_keys_are_sorted(values):
    keys = np.array(values, dtype=np.uint64)
    ordered = topk.sort_descending(keys.copy())
    assert ordered.tolist() == sorted(values, reverse=True)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=300), st.integers(1, 320))
@settings(max_examples=60, deadline=None)
def test_the_best_keys_are_kept(values, k):
    keys = np.array(values, dtype=np.uint64)
    size = topk.keep_best(keys, len(values), k)
    assert size == min(k, len(values))
    assert sorted(keys[:size].tolist(), reverse=True) == sorted(values, reverse=True)[:k]
    lowest = topk.lowest_bits(keys, size)
    assert int(lowest) & 0xFFFF_FFFF == min(keys[:size].tolist()) >> 32
