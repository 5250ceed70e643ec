from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from hybrid.index.sparse import reorder
from hybrid.kernels import reference
from hybrid.kernels.postings import assembly, clustering, walking
from hybrid.machine.arrays import ArrayWriter


def rows_of(seed: int, rows: int, terms: int, density: float) -> csr_matrix:
    made = random(rows, terms, density=density, format="csr", random_state=seed, dtype=np.float32)
    made.sort_indices()
    return csr_matrix(made, dtype=np.float32)


@pytest.mark.parametrize("width", [1, 5, 200])
def test_sketch_is_the_reference(width):
    documents = rows_of(1, 60, 90, 0.3)
    documents.data = np.ceil(documents.data * 5).astype(np.float32)  # ties at the cut
    terms = np.zeros((60, width), dtype=np.uint16)
    weights = np.zeros((60, width), dtype=np.uint8)
    clustering.sketch(
        documents.indptr.astype(np.int64), documents.indices, documents.data, terms, weights
    )
    for row in range(60):
        kept = weights[row] > 0
        found = dict(zip(terms[row, kept].tolist(), weights[row, kept].tolist(), strict=True))
        assert found == reference.sketch(documents[row], width)


def test_clusters_are_the_reference():
    rng = np.random.default_rng(2)
    terms = np.stack([rng.choice(40, 6, replace=False) for _ in range(50)]).astype(np.uint16)
    weights = rng.integers(1, 256, (50, 6)).astype(np.uint8)
    weights[::3, 4:] = 0
    vectors = np.zeros((50, 40), dtype=np.float32)
    for row in range(50):
        vectors[row, terms[row]] = weights[row]
    centroids = rng.random((40, 7)).astype(np.float32)
    rows = np.arange(50, dtype=np.int64)
    assigned = np.empty(50, dtype=np.int32)
    clustering.assign(terms, weights, rows, centroids, assigned)
    np.testing.assert_array_equal(assigned, reference.nearest(vectors, centroids))
    assigned[:] = assigned % 6  # the last cluster is empty
    clustering.update(terms, weights, rows, assigned, centroids)
    np.testing.assert_allclose(centroids, reference.means(vectors, assigned, 7), atol=1e-6)


def sketches(seed: int, rows: int, vocabulary: int, width: int):
    rng = np.random.default_rng(seed)
    terms = np.stack([rng.choice(vocabulary, width, replace=False) for _ in range(rows)])
    weights = rng.integers(1, 256, (rows, width)).astype(np.uint8)
    weights[::4, width // 2 :] = 0
    weights[rows // 2] = 0
    return terms.astype(np.uint16), weights


def cosines(terms, weights, rows, vocabulary):
    vectors = np.zeros((len(rows), vocabulary))
    for number, row in enumerate(rows):
        vectors[number, terms[row]] = weights[row]
    norms = np.linalg.norm(vectors, axis=1)
    return (vectors @ vectors.T) / np.maximum(np.outer(norms, norms), 1e-9)


def test_likeness_is_the_cosine():
    terms, weights = sketches(3, 40, 60, 7)
    rows = np.array([5, 3, 20, 39, 0, 8], dtype=np.int64)
    heads = np.full(60, -1, dtype=np.int32)
    found = np.full((8, 8), 7, dtype=np.float32)
    walking.likeness(terms, weights, rows, heads, found)
    expected = cosines(terms, weights, rows, 60)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found[:6, :6], expected, atol=1e-6)
    assert (heads == -1).all()


@pytest.mark.parametrize("most", [1, 3, 64])
def test_a_walk_goes_to_the_nearest_left(most):
    terms, weights = sketches(4, 50, 30, 6)
    rows = np.random.default_rng(0).permutation(50).astype(np.int64)
    bounds = np.array([0, 20, 20, 21, 50])
    walked = rows.copy()
    walking.walk(terms, weights, walked, bounds, most, 30)
    for start, end in pairwise(bounds):
        for first in range(start, end, most):
            part = rows[first : min(first + most, end)]
            likeness = cosines(terms, weights, part, 30)
            at, left, expected = 0, list(range(1, len(part))), [part[0]]
            while left:
                # Ties go to the one that came first; rounding must not decide.
                at = max(left, key=lambda number: (round(likeness[at, number], 5), -number))
                left.remove(at)
                expected.append(part[at])
            assert walked[first : first + len(part)].tolist() == expected


def test_an_order_is_a_permutation_and_the_same_for_a_seed():
    rng = np.random.default_rng(3)
    topic = rng.integers(0, 8, 1200)
    terms = (topic[:, None] * 20 + rng.integers(0, 20, (1200, 8))).astype(np.uint16)
    weights = rng.integers(1, 256, terms.shape).astype(np.uint8)
    first = reorder.order(terms, weights, 160, seed=4, threads=1)
    again = reorder.order(terms, weights, 160, seed=4, threads=2)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(np.sort(first), np.arange(1200))
    changes = int((np.diff(topic[first]) != 0).sum())
    assert changes < (np.diff(topic) != 0).sum() / 4  # neighbours share their topic


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_order_of_very_few(count):
    terms = np.zeros((count, 2), dtype=np.uint16)
    weights = np.ones((count, 2), dtype=np.uint8)
    assert sorted(reorder.order(terms, weights, 5).tolist()) == list(range(count))


def test_rounding_is_the_reference():
    documents = rows_of(5, 40, 30, 0.3)
    scales = (np.asarray(documents.max(axis=0).todense())[0] / np.float32(255)).astype(np.float32)
    codes = np.empty(documents.nnz, dtype=np.uint8)
    loss = np.zeros(4)
    assembly.quantise(documents.indices, documents.data, scales, codes, loss)
    rounded = csr_matrix(
        (codes * scales[documents.indices], documents.indices, documents.indptr), documents.shape
    )
    assert abs(rounded - reference.quantise(documents, scales)).max() == 0
    errors = np.abs(rounded.data.astype(np.float64) - documents.data)
    assert loss[0] == errors.max()
    assert loss[1] == pytest.approx(errors.sum())
    assert loss[2] == pytest.approx(documents.data.sum(dtype=np.float64))
    assert loss[3] == (codes == 0).sum()


def test_sorting_by_term_is_a_transpose():
    documents = rows_of(6, 700, 25, 0.1)
    codes = np.ceil(documents.data * 3).astype(np.uint8) - 1  # some become zero
    counts = np.empty(25, dtype=np.int64)
    occupied = np.empty(25, dtype=np.int64)
    places = np.empty(documents.nnz, dtype=np.uint16)
    out = np.empty(documents.nnz, dtype=np.uint8)
    lengths = np.diff(documents.indptr).astype(np.int32)
    total = assembly.by_term(lengths, documents.indices, codes, counts, occupied, places, out)
    expected = csr_matrix((codes, documents.indices, documents.indptr), documents.shape)
    expected.eliminate_zeros()
    columns = expected.tocsc()
    columns.sort_indices()
    assert total == columns.nnz
    np.testing.assert_array_equal(places[:total], columns.indices)
    np.testing.assert_array_equal(out[:total], columns.data)
    np.testing.assert_array_equal(counts, np.diff(columns.indptr))
    for term in range(25):
        rows = columns.indices[columns.indptr[term] : columns.indptr[term + 1]]
        assert occupied[term] == len(np.unique(rows // 256))


@pytest.mark.parametrize(
    ("terms", "weights", "state"),
    [
        ([0, 2], [1, 2], reference.CANONICAL),
        ([2, 0], [1, 2], reference.NOT_CANONICAL),
        ([2, 2], [1, 2], reference.NOT_CANONICAL),
        ([0, 2], [1, 0], reference.NOT_CANONICAL),
        ([0, 2], [1, -1], reference.BAD_WEIGHT),
        ([0, 2], [np.nan, 1], reference.BAD_WEIGHT),
        ([0, 2], [np.inf, 1], reference.BAD_WEIGHT),
    ],
)
def test_a_matrix_is_inspected(terms, weights, state):
    rows = np.array([0, 0, 2]), np.array(terms, dtype=np.int32), np.array(weights, np.float32)
    assert assembly.inspect(*rows) == state
    assert reference.inspect(*rows) == state


def test_the_first_term_of_a_row_may_be_below_the_last_of_the_row_before():
    rows = np.array([0, 1, 1, 2]), np.array([2, 0], dtype=np.int32), np.ones(2, dtype=np.float32)
    assert assembly.inspect(*rows) == reference.inspect(*rows) == reference.CANONICAL


@pytest.mark.parametrize("row", [(), (3,)])
def test_a_written_array_loads_again(tmp_path, row):
    pieces = [np.arange(np.prod((n, *row))).reshape(n, *row).astype(np.uint16) for n in (2, 0, 5)]
    writer = ArrayWriter(tmp_path / "a.npy", np.uint16, row)
    for piece in pieces:
        writer.append(piece)
    writer.close()
    loaded = np.load(tmp_path / "a.npy", mmap_mode="r", allow_pickle=False)
    np.testing.assert_array_equal(loaded, np.concatenate(pieces))
    with pytest.raises(ValueError, match="uint8"):
        ArrayWriter(tmp_path / "b.npy", np.uint16).append(np.zeros(1, dtype=np.uint8))
