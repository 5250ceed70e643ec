from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.write import SparseOptions, write_postings
from hybrid.kernels import reference
from hybrid.kernels.sparse import picking
from hybrid.machine.threads import SCORED_FROM


def matrix(seed: int, rows: int, terms: int, density: float, levels: int = 0) -> csr_matrix:
    """Random non-negative weights; a few ``levels`` make many ties."""
    made = random(rows, terms, density=density, format="csr", dtype=np.float32, random_state=seed)
    made.data = np.random.default_rng(seed).gamma(2.0, 0.7, made.nnz).astype(np.float32)
    if levels:
        made.data = np.ceil(made.data * levels).astype(np.float32) / np.float32(levels)
    made.sort_indices()
    return made


def built(tmp_path: Path, documents: csr_matrix, parts: int = 1, **options) -> InvertedIndex:
    folder = tmp_path / f"index{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    bounds = np.linspace(0, documents.shape[0], parts + 1).astype(int)
    pieces = [documents[a:b] for a, b in itertools.pairwise(bounds)]
    passed = {name: options.pop(name) for name in ("sample", "progress") if name in options}
    write_postings(pieces, folder, SparseOptions(documents.shape[1], **options), **passed)
    return InvertedIndex.open(folder)


def agrees(index: InvertedIndex, queries: csr_matrix, k: int) -> None:
    stored = index.vectors(np.arange(index.doc_count, dtype=np.int32))
    expected_nums, expected_scores = reference.search(stored, queries, k)
    for path in ("auto", "exhaustive", "pruned"):
        nums, scores = index.search(queries, k, path=path)
        np.testing.assert_array_equal(nums, expected_nums, err_msg=path)
        np.testing.assert_array_equal(scores, expected_scores, err_msg=path)
    np.testing.assert_array_equal(index.score(queries, expected_nums), expected_scores)


@pytest.mark.parametrize("weights", ["uint8", "float32"])
@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("k", [1, 10, 1000])
def test_search_is_scipy_to_the_bit(tmp_path, weights, levels, k):
    documents = matrix(1, 400, 60, 0.2, levels)
    queries = matrix(2, 12, 60, 0.15, levels)
    agrees(built(tmp_path, documents, 3, weights=weights), queries, k)


def test_float32_keeps_every_bit(tmp_path):
    documents = matrix(3, 50, 30, 0.2)
    index = built(tmp_path, documents, weights="float32")
    stored = index.vectors(np.arange(50, dtype=np.int32))
    assert (stored != documents).nnz == 0


def test_uint8_is_the_reference_quantisation(tmp_path):
    documents = matrix(4, 50, 30, 0.2)
    folder = tmp_path / "index"
    folder.mkdir()
    report = write_postings([documents], folder, SparseOptions(vocabulary_size=30))
    scales = np.asarray(documents.max(axis=0).todense(), dtype=np.float32)[0] / np.float32(255)
    expected = reference.quantise(documents, scales)
    stored = InvertedIndex.open(folder).vectors(np.arange(50, dtype=np.int32))
    assert (stored != expected).nnz == 0
    loss = np.abs((documents - expected).toarray())
    assert report.max_abs_error == pytest.approx(loss.max(), rel=1e-5)
    assert report.mean_abs_error == pytest.approx(loss.sum() / documents.nnz, rel=1e-5)
    assert report.max_abs_error <= scales.max() / 2 * 1.001
    assert report.nnz == stored.nnz == documents.nnz - report.dropped


@pytest.mark.parametrize("order", ["none", "cluster"])
@pytest.mark.parametrize("head_fill", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("levels", [0, 2])
def test_many_tiles_and_ranges(tmp_path, order, head_fill, levels):
    documents = matrix(13, 3000, 80, 0.08, levels)
    queries = matrix(14, 6, 80, 0.1, levels)
    index = built(tmp_path, documents, 4, order=order, head_fill=head_fill)
    for k in (1, 10, 700, 5000):
        agrees(index, queries, k)


def test_more_documents_than_one_range_holds(tmp_path):
    documents = matrix(15, 70_000, 40, 0.03, 3)
    documents = csr_matrix(documents)
    documents.data[documents.indptr[66_000] : documents.indptr[66_050]] = 4
    queries = matrix(16, 3, 40, 0.2, 3)
    index = built(tmp_path, documents, 3, order="none")
    clustered = built(tmp_path, documents, 2, order="cluster")
    every = np.arange(70_000, dtype=np.int32)
    assert (index.vectors(every) != clustered.vectors(every)).nnz == 0
    for made in (index, clustered):
        for k in (5, 2000):
            agrees(made, queries, k)


ADVERSARIAL = {
    "all equal": np.ones((70, 9), dtype=np.float32),
    "one term": np.linspace(0.1, 2, 50, dtype=np.float32).reshape(-1, 1),
    "one document": np.array([[0.5, 0, 2, 1]], dtype=np.float32),
    "empty rows": np.eye(40, 8, dtype=np.float32),
    "nothing": np.zeros((5, 4), dtype=np.float32),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("weights", ["uint8", "float32"])
def test_adversarial_collections(tmp_path, name, weights):
    documents = csr_matrix(ADVERSARIAL[name])
    terms = documents.shape[1]
    queries = csr_matrix(
        np.vstack([np.ones(terms), np.zeros(terms), np.eye(1, terms)[0]]).astype(np.float32)
    )
    index = built(tmp_path, documents, weights=weights)
    for k in (1, 3, 1000):
        agrees(index, queries, k)


def test_no_documents_at_all(tmp_path):
    index = built(tmp_path, csr_matrix((0, 4), dtype=np.float32))
    nums, scores = index.search(csr_matrix(np.ones((2, 4), dtype=np.float32)), 3)
    assert (nums == -1).all()
    assert np.isneginf(scores).all()
    assert nums.shape == scores.shape == (2, 3)


def test_read_only_queries_need_no_kernel_of_their_own(tmp_path):
    index = built(tmp_path, csr_matrix(np.eye(40, dtype=np.float32)))
    query = csr_matrix(np.eye(1, 40, dtype=np.float32))

    def answers():
        few = index.search(query, 1, subset=np.array([0]))
        return few[0].tolist(), index.score(query, np.array([[0]])).tolist()

    expected = answers()
    compiled = len(picking.score_places.signatures)
    query.data.flags.writeable = False
    assert answers() == expected == ([[0]], [[1.0]])
    assert len(picking.score_places.signatures) == compiled


def test_no_queries_at_all(tmp_path):
    index = built(tmp_path, csr_matrix(np.eye(4, dtype=np.float32)))
    none = csr_matrix((0, 4), dtype=np.float32)
    for options in ({}, {"subset": np.array([1, 2])}, {"threads": 2}):
        nums, scores = index.search(none, 3, **options)
        assert nums.shape == scores.shape == (0, 3)
    assert index.score(none, np.empty((0, 2))).shape == (0, 2)


def test_stored_zeros_and_unsorted_terms_do_not_matter(tmp_path):
    documents = csr_matrix(
        (np.array([2, 0, 1], dtype=np.float32), np.array([2, 1, 0]), np.array([0, 3])), shape=(1, 3)
    )
    index = built(tmp_path, documents, weights="float32")
    query = csr_matrix(
        (np.array([3, 0, 5], dtype=np.float32), np.array([2, 1, 0]), np.array([0, 3])), shape=(1, 3)
    )
    nums, scores = index.search(query, 2)
    assert nums.tolist() == [[0, -1]]
    assert scores[0, 0] == 1 * 5 + 2 * 3


def test_subset_is_the_search_over_those_documents(tmp_path):
    documents = matrix(5, 300, 40, 0.2, 2)
    queries = matrix(6, 8, 40, 0.2, 2)
    index = built(tmp_path, documents)
    stored = index.vectors(np.arange(300, dtype=np.int32))
    for size in (0, 1, 40, 290):
        subset = np.sort(np.random.default_rng(7).choice(300, size, replace=False)).astype(np.int32)
        nums, scores = index.search(queries, 20, subset=subset)
        expected, expected_scores = reference.search(stored[subset], queries, 20)
        renamed = np.append(subset, -1)[expected]
        np.testing.assert_array_equal(nums, renamed)
        np.testing.assert_array_equal(scores, expected_scores)


def test_a_score_does_not_depend_on_company_or_threads(tmp_path):
    index = built(tmp_path, matrix(8, 300, 40, 0.2))
    queries = matrix(9, 9, 40, 0.3)
    nums, scores = index.search(queries, 30, threads=2)
    for row in range(9):
        alone_nums, alone_scores = index.search(queries[row], 30, threads=1)
        np.testing.assert_array_equal(alone_nums[0], nums[row])
        np.testing.assert_array_equal(alone_scores[0], scores[row])


def test_score_of_absent_and_unrelated_documents(tmp_path):
    index = built(tmp_path, csr_matrix(np.eye(3, dtype=np.float32)))
    scores = index.score(csr_matrix(np.eye(3, dtype=np.float32)[:1]), np.array([[1, -1, 0]]))
    np.testing.assert_array_equal(scores, np.array([[0, -np.inf, 1]], dtype=np.float32))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_every_small_collection(tmp_path, data):
    terms = data.draw(st.integers(1, 6))
    weight = st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 1.0, 3.0])
    row = st.lists(weight, min_size=terms, max_size=terms)
    documents = np.array(data.draw(st.lists(row, min_size=1, max_size=40)), dtype=np.float32)
    queries = np.array(data.draw(st.lists(row, min_size=1, max_size=3)), dtype=np.float32)
    k = data.draw(st.integers(1, 50))
    kind = data.draw(st.sampled_from(["uint8", "float32"]))
    agrees(built(tmp_path, csr_matrix(documents), weights=kind), csr_matrix(queries), k)


def test_progress_counts_documents(tmp_path):
    seen: list[int] = []
    built(tmp_path, matrix(10, 90, 20, 0.2), 3, progress=seen.append)
    assert sum(seen) == 90


def test_clear_errors(tmp_path):
    index = built(tmp_path, matrix(11, 20, 10, 0.3))
    query = matrix(12, 1, 10, 0.5)
    with pytest.raises(UsageError, match="k is 0"):
        index.search(query, 0)
    with pytest.raises(UsageError, match="9 columns"):
        index.search(matrix(12, 1, 9, 0.5), 1)
    with pytest.raises(UsageError, match="negative"):
        index.search(-query, 1)
    with pytest.raises(UsageError, match="20 documents"):
        index.score(query, np.array([[20]]))
    with pytest.raises(UsageError, match="one row for each"):
        index.score(query, np.array([1]))
    with pytest.raises(CorruptIndexError, match="lacks"):
        InvertedIndex.open(tmp_path)


def test_scores_are_the_same_bits_on_any_number_of_threads(tmp_path):
    documents = matrix(28, 1200, 40, 0.2)
    queries = matrix(29, 9, 40, 0.3)
    index = built(tmp_path, documents, order="cluster")
    doc_nums = np.random.default_rng(3).integers(-1, 1200, (9, 1200)).astype(np.int32)
    assert doc_nums.size >= SCORED_FROM
    stored = index.vectors(np.arange(1200, dtype=np.int32))
    for threads in (0, 1, 2, 5):
        scores = index.score(queries, doc_nums, threads=threads)
        for row in range(9):
            expected = reference.scores(stored, queries[row])[doc_nums[row]]
            expected[doc_nums[row] < 0] = -np.inf
            np.testing.assert_array_equal(scores[row], expected)


def test_large_and_scattered_subsets(tmp_path):
    documents = matrix(23, 70_000, 30, 0.05, 3)
    queries = matrix(24, 2, 30, 0.3, 3)
    index = built(tmp_path, documents, order="cluster")
    stored = index.vectors(np.arange(70_000, dtype=np.int32))
    for step in (1, 2, 97, 5000):
        subset = np.arange(3, 70_000, step, dtype=np.int32)
        nums, scores = index.search(queries, 50, subset=subset)
        expected, expected_scores = reference.search(stored[subset], queries, 50)
        np.testing.assert_array_equal(nums, np.append(subset, -1)[expected])
        np.testing.assert_array_equal(scores, expected_scores)


def test_the_build_is_the_same_for_any_cut_and_thread_count(tmp_path):
    documents = matrix(25, 3000, 50, 0.1)
    first = built(tmp_path, documents, 1, order="cluster", threads=1)
    second = built(tmp_path, documents, 7, order="cluster", threads=2)
    for mine, other in zip(first.segments[0].postings, second.segments[0].postings, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_an_index_leaves_no_temporary_files(tmp_path):
    built(tmp_path, matrix(26, 300, 20, 0.2))
    assert not [path for path in (tmp_path / "index0").iterdir() if path.is_dir()]


@pytest.mark.parametrize("weights", ["uint8", "float32"])
def test_few_and_many_rows_are_gathered_alike(tmp_path, weights):
    documents = matrix(27, 1500, 3000, 0.01)
    index = built(tmp_path, documents, weights=weights, order="cluster", head_fill=0.9)
    every = index.vectors(np.arange(1500, dtype=np.int32))
    if weights == "float32":
        assert (every != documents).nnz == 0
    chosen = np.array([3, 1499, 3, 0], dtype=np.int32)
    few = index.vectors(chosen)
    assert few.has_sorted_indices
    assert (few != every[chosen]).nnz == 0
    assert index.vectors(np.empty(0, dtype=np.int32)).shape == (0, 3000)


def test_a_small_index_has_block_maxima_of_dense_terms_alone(tmp_path):
    dense = np.zeros((1024, 3), dtype=np.float32)
    for tile in range(4):
        dense[tile * 256 : tile * 256 + 3, 0] = 1
        dense[tile * 256 : tile * 256 + 4, 1] = 1
    write_postings([csr_matrix(dense)], tmp_path, SparseOptions(vocabulary_size=3, order="none"))
    heads = np.asarray(InvertedIndex.open(tmp_path).segments[0].postings.heads)
    assert heads.tolist() == [-1, 0, -1]


EMPTY = """
import sys
from pathlib import Path
from scipy.sparse import csr_matrix
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.write import SparseOptions, write_postings

rows = csr_matrix((3, 0), dtype="float32")
write_postings([rows], Path(sys.argv[1]), SparseOptions(vocabulary_size=0))
index = InvertedIndex.open(Path(sys.argv[1]))
index.load_kernels()
print(index.search(rows[:1], 2)[0].tolist())
"""


def test_kernels_of_an_empty_vocabulary_are_not_called(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", EMPTY, tmp_path], capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (0, "[[-1, -1]]\n"), ran.stderr
