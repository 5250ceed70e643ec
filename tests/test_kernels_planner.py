from __future__ import annotations

import numpy as np
import pytest

from hybrid.kernels import planner
from hybrid.kernels.tiles import Postings


def postings_of(documents: int, heads: list[int]) -> Postings:
    """Postings of which only what the planner reads is there."""
    none = np.zeros((0, 0), dtype=np.uint16)
    return Postings(
        order=np.zeros(documents, dtype=np.int32),
        scales=np.ones(len(heads), dtype=np.float32),
        heads=np.array(heads, dtype=np.int32),
        spans=np.zeros((len(heads), 2), dtype=np.int64),
        cuts=np.zeros((len(heads), 0), dtype=np.uint32),
        head_stream=none.ravel(),
        head_starts=none,
        head_maxima=none.astype(np.uint8),
        tail_places=none.ravel(),
        tail_codes=np.zeros(0, dtype=np.uint8),
    )


@pytest.mark.parametrize(
    ("documents", "frequency", "k", "expected"),
    [
        (1_000_000, 30_000, 10, True),
        (1_000_000, 30_000, 100, True),
        (1_000_000, 30_000, 1000, False),  # most tiles reach the score of the 1000th
        (100_000, 3000, 10, True),
        (100_000, 30, 10, False),  # as fast to read as to bound
        (100_000, 3000, 100, False),
        (100_000, 3000, 1, True),
        (10_000, 300, 10, False),
        (1, 1, 10, False),
    ],
)
def test_pruning_pays_where_tiles_are_many_and_hits_few(documents, frequency, k, expected):
    frequencies = np.full(6, frequency, dtype=np.int32)
    postings = postings_of(documents, [0, 1, 2, -1, -1, -1])
    terms = np.arange(6, dtype=np.int32)
    assert planner.pays(postings, frequencies, terms, k) == expected


def test_long_tails_do_not_pay():
    """To bound a tail term every posting is read, which is the cost of scoring it."""
    terms = np.arange(6, dtype=np.int32)
    frequencies = np.full(6, 300_000, dtype=np.int32)
    assert planner.pays(postings_of(1_000_000, [0, 1, 2, 3, 4, 5]), frequencies, terms, 10)
    assert not planner.pays(postings_of(1_000_000, [-1] * 6), frequencies, terms, 10)


def test_a_query_without_terms_is_answered_exhaustively():
    none = np.zeros(0, dtype=np.int32)
    assert not planner.pays(postings_of(0, []), none, none, 10)
