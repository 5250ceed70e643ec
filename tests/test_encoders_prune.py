from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from hybrid.encoders.splade import above, strongest
from hybrid.errors import UsageError


def made(rows: int = 7, terms: int = 20) -> csr_matrix:
    drawn = random(rows, terms, 0.4, format="csr", dtype=np.float32, random_state=1)
    drawn.data = np.round(drawn.data, 1)  # ties
    drawn.eliminate_zeros()
    return drawn


@pytest.mark.parametrize("count", [1, 3, 100])
def test_strongest_terms_of_every_row(count: int) -> None:
    weights = made()
    found = strongest(weights, count)
    for row, kept in zip(weights.toarray(), found.toarray(), strict=True):
        order = np.lexsort((np.arange(len(row)), -row))[:count]
        expected = np.zeros_like(row)
        expected[order] = row[order]
        np.testing.assert_array_equal(kept, expected)


def test_an_empty_matrix_stays_empty() -> None:
    empty = csr_matrix((2, 5), dtype=np.float32)
    assert strongest(empty, 1).nnz == above(empty, 0.0).nnz == 0
    with pytest.raises(UsageError, match="1 or more"):
        strongest(empty, 0)


def test_above_is_strict() -> None:
    weights = csr_matrix(np.array([[0.5, 1.0, 2.0]], dtype=np.float32))
    assert above(weights, 1.0).toarray().tolist() == [[0, 0, 2.0]]
