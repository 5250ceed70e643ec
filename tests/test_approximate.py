"""The approximate mode of sparse search: what is measured at build, looked up, and said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import UsageError
from hybrid.index.documents.numbering import Numbering
from hybrid.index.sparse import approximate
from hybrid.index.sparse.approximate import Accuracy, Approximation, accuracy_for, share_found
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.segment import SparseSegment
from hybrid.index.sparse.write import SparseOptions, write_postings
from hybrid.kernels.sparse import planner

TERMS = 600
ROWS = 48_000


def topical(rows: int, terms: int, seed: int) -> csr_matrix:
    """Rows of ``terms`` draws from two of a hundred topics, whose terms overlap."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 100, (2, rows, 1))
    topic = np.where(rng.random((rows, terms)) < 0.6, first, second)
    term = (topic * 6 + rng.geometric(0.1, (rows, terms))) % TERMS
    weight = rng.gamma(2.0, 0.7, (rows, terms)).astype(np.float32)
    indptr = np.arange(0, rows * terms + 1, terms)
    made = csr_matrix((weight.ravel(), term.ravel().astype(np.int32), indptr), (rows, TERMS))
    made.sum_duplicates()
    return made


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> InvertedIndex:
    """An index just large enough to be pruned at depth 10."""
    folder = tmp_path_factory.mktemp("large")
    write_postings([topical(ROWS, 12, 1)], folder, SparseOptions(vocabulary_size=TERMS))
    return InvertedIndex.open(folder)


@pytest.fixture(scope="module")
def held_out() -> csr_matrix:
    """Queries that no build has sampled, long and short."""
    return csr_matrix(np.vstack([topical(60, n, 2).toarray() for n in (4, 12)]), dtype=np.float32)


def missed(index: InvertedIndex, queries: csr_matrix, shrink: float, k: int) -> float:
    _, exact = index.search(queries, k)
    _, scores = index.searcher.search(queries, k, shrink, threads=1, path=planner.PRUNED)
    found = (np.isfinite(scores) & (scores >= exact[:, -1:])).sum()
    return 1 - float(found) / exact.size


def test_recall_is_measured_where_an_index_of_this_size_is_pruned(large: InvertedIndex) -> None:
    assert approximate.depths(ROWS) == (10,)
    table = large.segments[0].approximations
    assert [entry.shrink for entry in table] == list(approximate.FACTORS)
    assert {(entry.depth, entry.queries) for entry in table} == {(10, 128)}
    recalls = [entry.recall for entry in table]
    assert recalls == sorted(recalls, reverse=True)
    assert 0 < recalls[-1] < recalls[0] <= 1


@pytest.mark.parametrize("recall", [0.9, 0.95, 0.98])
def test_the_recall_is_reached_on_other_queries(
    large: InvertedIndex, held_out: csr_matrix, recall: float
) -> None:
    accuracy = large.accuracy(recall, 10)
    assert accuracy.recall >= recall
    # 1,200 hits: 3 standard errors of the share, and as many of the sample's own.
    slack = 6 * np.sqrt(recall * (1 - recall) / 1200)
    assert missed(large, held_out, accuracy.shrink, 10) <= 1 - recall + slack


def test_a_cut_that_is_too_deep_is_seen(large: InvertedIndex, held_out: csr_matrix) -> None:
    assert missed(large, held_out, 1.0, 10) == 0
    assert missed(large, held_out, 0.3, 10) > 0.08


def test_full_recall_is_exact_to_the_bit(large: InvertedIndex, held_out: csr_matrix) -> None:
    for k in (1, 10, 200):
        exact = large.search(held_out, k)
        for asked in (1.0, 1):
            found = large.search(held_out, k, shrink=large.accuracy(asked, k).shrink)
            assert np.array_equal(found[0], exact[0])
            assert np.array_equal(found[1], exact[1])


def test_shallow_searches_are_cut_from_the_measured_depth(
    large: InvertedIndex, held_out: csr_matrix
) -> None:
    accuracy = large.accuracy(0.9, 3)
    assert not accuracy.exact
    assert accuracy == large.accuracy(0.9, 10)
    ten = large.search(held_out, 10, shrink=accuracy.shrink, path="pruned")
    three = large.search(held_out, 3, shrink=accuracy.shrink, path="pruned")
    assert np.array_equal(three[0], ten[0][:, :3])
    assert np.array_equal(three[1], ten[1][:, :3])


def test_deeper_than_measured_is_exact(large: InvertedIndex) -> None:
    accuracy = large.accuracy(0.9, 11)
    assert accuracy.exact
    assert "to depth 10 or less can be cut, and this one goes to 11" in str(accuracy)


def test_a_subset_is_searched_exactly(large: InvertedIndex, held_out: csr_matrix) -> None:
    subset = np.arange(0, ROWS, 2, dtype=np.int32)
    found = large.search(held_out, 10, subset=subset, shrink=0.5)
    exact = large.search(held_out, 10, subset=subset)
    assert np.array_equal(found[0], exact[0])


TABLE = [
    Approximation(0.9, 0.97, 10, 128),
    Approximation(0.95, 0.99, 10, 128),
    Approximation(0.9, 0.99, 100, 128),
    Approximation(0.95, 0.985, 100, 128),
]


@pytest.mark.parametrize(
    ("recall", "k", "expected"),
    [
        (0.97, 10, Accuracy(0.9, 0.97, 10, 128)),
        (0.98, 10, Accuracy(0.95, 0.99, 10, 128)),
        (0.97, 1, Accuracy(0.9, 0.97, 10, 128)),
        (0.98, 100, Accuracy(0.9, 0.99, 100, 128)),
        (0.96, 50, Accuracy(0.9, 0.97, 10, 128)),  # the lower of both depths
        (0.98, 50, Accuracy(0.95, 0.985, 100, 128)),
        (0.988, 50, Accuracy(reason="no cut that was measured at build kept recall 0.988")),
        (0.9, 101, Accuracy(reason="searches to depth 100 or less can be cut, and this one goes to "
                                   "101")),
    ],
)  # fmt: skip
def test_the_smallest_factor_that_kept_it_around_the_depth(
    recall: float, k: int, expected: Accuracy
) -> None:
    assert accuracy_for(recall, k, TABLE) == expected


def test_labels_say_what_they_are() -> None:
    label = str(accuracy_for(0.98, 10, TABLE))
    assert label == (
        "approximate: recall about 0.990 of the top 10, measured at build on 128 sampled queries "
        "(bounds x 0.95)"
    )
    assert str(Accuracy()) == "exact"
    assert Accuracy(reason="few").to_dict()["label"] == "exact: few"


def test_ties_at_the_cutoff_are_no_misses() -> None:
    exact: NDArray[np.float32] = np.array([[9, 3, 2, 2], [9, 1, -np.inf, -np.inf]], np.float32)
    none = np.full_like(exact, -np.inf)
    assert share_found(exact, exact) == 1
    assert share_found(exact, none) == 0
    assert share_found(none, exact) == 1
    assert share_found(exact, np.array([[9, 3, 2, -np.inf], [9, 1, -np.inf, -np.inf]])) == 3 / 4


@pytest.mark.parametrize("recall", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_outside_its_range_is_refused(large: InvertedIndex, recall: float) -> None:
    with pytest.raises(UsageError, match="recall is"):
        large.accuracy(recall, 10)
    with pytest.raises(UsageError, match="shrink is"):
        large.search(csr_matrix((1, TERMS), dtype=np.float32), 10, shrink=recall)


def test_small_indexes_and_whole_weights_are_exact(tmp_path) -> None:
    rows = topical(300, 5, 3)
    for weights in ("uint8", "float32"):
        folder = tmp_path / weights
        folder.mkdir()
        write_postings([rows], folder, SparseOptions(vocabulary_size=TERMS, weights=weights))
        accuracy = InvertedIndex.open(folder).accuracy(0.9, 10)
        assert accuracy.exact
        reason = {"uint8": "300 rows are too few", "float32": "weights of 32 bits"}[weights]
        assert reason in str(accuracy)


def test_without_a_table_the_error_says_what_to_do(large: InvertedIndex, held_out) -> None:
    measured = [{"shrink": 0.9, "recall": 0.99}]
    stored = large.segments[0]
    described = {**stored.description, "approximations": measured}
    early = InvertedIndex([replace(stored, description=described)])
    assert early.segments[0].approximations == []
    assert early.search(held_out, 10)[0].shape == (120, 10)
    with pytest.raises(UsageError, match=r"48,000 rows has no table.*Build it again"):
        early.accuracy(0.9, 10)


@pytest.mark.parametrize("small", [300, 30_000])
def test_a_cut_segment_beside_others_is_searched_exactly(
    large: InvertedIndex, tmp_path, small: int
) -> None:
    """Hits of the others raise the threshold before its best tiles are scored."""
    write_postings(
        [topical(small, 12, 5)],
        tmp_path,
        SparseOptions(vocabulary_size=TERMS, scales=large.segments[0].postings.scales),
    )
    parts = [SparseSegment.open(tmp_path), *large.segments]
    owners = np.repeat(np.int32([0, 1]), [small, ROWS])
    places = np.concatenate([np.arange(small), np.arange(ROWS)]).astype(np.int32)
    many = InvertedIndex(parts, Numbering(owners, places, (small, ROWS)))
    accuracy = many.accuracy(0.9, 10)
    assert accuracy.exact
    assert "for each segment alone; `hybrid compact`" in str(accuracy)


def test_one_segment_with_deleted_documents_keeps_its_cut(
    large: InvertedIndex, held_out: csr_matrix
) -> None:
    live = np.flatnonzero(np.arange(ROWS) % 50 != 7).astype(np.int32)
    one = InvertedIndex(large.segments, Numbering(np.zeros_like(live), live, (ROWS,)))
    assert one.accuracy(0.9, 10) == large.accuracy(0.9, 10)
    shrink = one.accuracy(0.9, 10).shrink
    exact, found = one.search(held_out, 10), one.search(held_out, 10, shrink=shrink)
    shallow = one.search(held_out, 3, shrink=shrink)
    assert np.array_equal(shallow[0], found[0][:, :3])
    here = found[0] >= 0
    assert np.array_equal(one.score(held_out, found[0])[here], found[1][here])
    share = (found[1] >= exact[1][:, -1:]).mean()
    assert 0.9 - 6 * np.sqrt(0.09 / 1200) <= share <= 1
    full = one.search(held_out, 10, shrink=1.0)
    assert np.array_equal(full[0], exact[0])


def test_segments_refuse_a_factor_outside_its_range(large: InvertedIndex, held_out) -> None:
    many = InvertedIndex(large.segments, Numbering.whole(ROWS))
    for subset in (None, np.arange(5, dtype=np.int32)):
        with pytest.raises(UsageError, match="shrink is 2"):
            many.search(held_out, 10, shrink=2, subset=subset)


def test_long_and_short_queries_are_made_of_documents() -> None:
    rows = csr_matrix(np.array([[3, 1, 2, 0], [1, 1, 1, 1]], dtype=np.float32))
    assert approximate.heaviest(rows, 2).toarray().tolist() == [[3, 0, 2, 0], [1, 1, 1, 1]]
    rows = topical(20, 40, 6)
    long, short = approximate.queries_of(rows, 0)
    for made, terms in ((long, 30), (short, 5)):
        assert (made.getnnz(axis=1) <= np.maximum(terms, 0)).all()
        assert ((made != 0).multiply(rows) != made).nnz == 0
    assert (short.getnnz(axis=1) == 5).all()
    again = approximate.queries_of(rows, 0)[1]
    assert (again != short).nnz == 0
    assert (approximate.queries_of(rows, 1)[1] != short).nnz > 0
