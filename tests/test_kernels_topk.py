from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.kernels import reference
from hybrid.kernels.sparse import topk

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


@pytest.mark.parametrize("known", [topk.PLACES, topk.NUMBERS])
@pytest.mark.parametrize("k", [1, 10, 128, 300, 1000])
@pytest.mark.parametrize("levels", [1, 2, 40, 0])
def test_selection_in_pieces_is_the_reference(known, k, levels):
    """Many ties, in by far more documents than there is room for, of which some are deleted."""
    rng = np.random.default_rng(k)
    n = 9000
    scores = rng.gamma(2, 1, n) * np.linspace(0.5, 2, n)
    if levels:
        scores = rng.integers(0, levels, n) + 1.0
    scores = scores.astype(np.float32)
    doc_nums = rng.permutation(n).astype(np.int32)
    live = np.ones(n, dtype=bool)
    if known == topk.NUMBERS:
        live = rng.random(n) < 0.7
        doc_nums[~live] = -1
    keys = np.empty(2 * k + 192, dtype=np.uint64)
    state = topk.begin(known)
    for first in range(0, n, 700):
        piece = scores[first : first + 700].view(np.int32)
        topk.offer(piece, 0, len(piece), doc_nums, first, k, keys, state)
        if first % 2100 == 0:
            topk.tighten(k, doc_nums, keys, state)
        assert state[topk.SIZE] <= len(keys) - 64
    nums, bits = np.empty(k, dtype=np.int32), np.empty(k, dtype=np.int32)
    assert topk.ranking(doc_nums, keys, state, nums, bits) == k
    expected_nums, expected_scores = reference.top_k(scores[live], doc_nums[live], k)
    np.testing.assert_array_equal(nums, expected_nums)
    np.testing.assert_array_equal(bits.view(np.float32), expected_scores)


def test_counted_floors_follow_scores_that_grow_out_of_their_buckets():
    scores = np.exp2(np.linspace(-60, 60, 5000)).astype(np.float32)
    for ordered in (scores, scores[::-1].copy()):
        doc_nums = np.arange(5000, dtype=np.int32)
        agrees(ordered, doc_nums, 200)


@pytest.mark.parametrize("better", [127, 128, 129])
def test_a_counted_floor_stops_at_the_kth_best(better):
    """The k best come last, each in a bucket of its own; the bucket of the k-th is still needed."""
    best = 1 + np.arange(1, better + 1) / 128
    scores = np.concatenate([np.ones(1000), best]).astype(np.float32)
    agrees(scores, np.arange(len(scores), dtype=np.int32), 128)
