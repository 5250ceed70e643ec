from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from hybrid.errors import UsageError
from hybrid.index.sparse.gpu import DeviceSearcher, available
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.write import SparseOptions, write_postings


def rows_of(seed, rows, terms, density, levels=0):
    made = random(rows, terms, density=density, format="csr", random_state=seed, dtype=np.float32)
    if levels:
        made.data = (np.ceil(made.data * levels) / levels).astype(np.float32)
    made.sort_indices()
    return csr_matrix(made, dtype=np.float32)


# torch's own CSR product on the CPU stands in for the device.
@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize("k", [1, 10, 1000])
def test_the_device_returns_what_the_index_returns(tmp_path, levels, k):
    write_postings([rows_of(1, 400, 50, 0.2, levels)], tmp_path, SparseOptions(vocabulary_size=50))
    index = InvertedIndex.open(tmp_path)
    queries = rows_of(2, 70, 50, 0.2, levels)
    device = DeviceSearcher(index, device="cpu")
    for subset in (None, np.arange(0, 400, 3, dtype=np.int32), np.array([7], dtype=np.int32)):
        expected = index.search(queries, k, subset=subset)
        found = device.search(queries, k, subset=subset)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_many_ties_widen_the_candidates(tmp_path):
    documents = csr_matrix(np.ones((600, 3), dtype=np.float32))
    write_postings([documents], tmp_path, SparseOptions(vocabulary_size=3))
    index = InvertedIndex.open(tmp_path)
    query = csr_matrix(np.ones((2, 3), dtype=np.float32))
    found = DeviceSearcher(index, device="cpu").search(query, 5)
    np.testing.assert_array_equal(found[0], index.search(query, 5)[0])
    assert found[0].tolist() == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("rows", [0, 30])
def test_a_filter_that_leaves_nothing(tmp_path, rows):
    write_postings([rows_of(1, rows, 5, 0.5)], tmp_path, SparseOptions(vocabulary_size=5))
    device = DeviceSearcher(InvertedIndex.open(tmp_path), device="cpu")
    for subset in (np.empty(0, dtype=np.int32), np.zeros(rows, dtype=np.bool_)):
        nums, scores = device.search(rows_of(2, 3, 5, 0.5), 2, subset=subset)
        assert nums.tolist() == [[-1, -1]] * 3
        assert np.isneginf(scores).all()


def test_bad_arguments(tmp_path):
    write_postings([rows_of(1, 10, 5, 0.5)], tmp_path, SparseOptions(vocabulary_size=5))
    index = InvertedIndex.open(tmp_path)
    with pytest.raises(UsageError, match="k is 0"):
        DeviceSearcher(index, device="cpu").search(rows_of(2, 1, 5, 0.5), 0)
    if not available():
        with pytest.raises(UsageError, match="no GPU"):
            DeviceSearcher(index)
