from __future__ import annotations

import numpy as np
import pytest

from hybrid.kernels.sparse import planner


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
    heads = np.array([0, 1, 2, -1, -1, -1], dtype=np.int32)
    terms = np.arange(6, dtype=np.int32)
    assert planner.pays(documents, documents, heads, frequencies, terms, k) == expected


def test_long_tails_do_not_pay():
    """To bound a tail term every posting is read, which is the cost of scoring it."""
    terms = np.arange(6, dtype=np.int32)
    frequencies = np.full(6, 300_000, dtype=np.int32)
    heads, tails = np.arange(6, dtype=np.int32), np.full(6, -1, dtype=np.int32)
    assert planner.pays(1_000_000, 1_000_000, heads, frequencies, terms, 10)
    assert not planner.pays(1_000_000, 1_000_000, tails, frequencies, terms, 10)


def test_a_query_without_terms_is_answered_exhaustively():
    none = np.zeros(0, dtype=np.int32)
    assert not planner.pays(0, 0, none, none, none, 10)


@pytest.mark.parametrize(("together", "expected"), [(100_000, True), (31_623, False)])
def test_documents_put_in_order_apart_share_fewer_tiles(together, expected):
    """A hundred thousand documents of one segment, and of ten."""
    terms = np.arange(3, dtype=np.int32)
    frequencies = np.full(3, 30_000, dtype=np.int32)
    assert planner.pays(100_000, together, terms, frequencies, terms, 10) == expected
