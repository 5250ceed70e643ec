"""Term limits that a query budget picks; the cost of a search is given, not timed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array, vstack

from hybrid.build import budget
from hybrid.build.budget import TermLimits, term_limits
from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions, parse_seconds
from hybrid.corpus import Document
from hybrid.encoders.bm25 import Bm25Parameters
from hybrid.encoders.splade import strongest
from hybrid.errors import UsageError
from hybrid.search.index import open_index

TEXTS = {"d1": "merge sorted lists", "d2": "sort a list in place", "d3": "a heap of numbers"}


def rows(count: int, terms: int, seed: int) -> csr_matrix:
    made = random_array((count, 300), density=terms / 300, rng=np.random.default_rng(seed))
    return csr_matrix(made.astype(np.float32))


def nonzeros(documents: csr_matrix, queries: csr_matrix) -> float:
    """Return a cost that any pruning lowers."""
    return (documents.nnz + queries.nnz) / 1e6


def test_all_terms_are_kept_where_the_budget_holds_them() -> None:
    documents, queries = rows(40, 60, 0), rows(5, 20, 1)
    found = term_limits(documents, queries, 1.0, nonzeros)
    whole = nonzeros(documents, queries)
    assert found == TermLimits(None, None, whole, whole, 1.0, 1.0)
    assert "keeps all terms" in str(found)


def test_limits_keep_the_most_of_the_first_documents() -> None:
    documents, queries = rows(40, 60, 0), rows(5, 20, 1)
    limit = nonzeros(strongest(documents, 32), strongest(queries, 12))
    found = term_limits(documents, queries, limit, nonzeros)
    assert found.seconds <= limit < found.whole_seconds
    first = np.argsort(-(queries @ documents.T).toarray(), axis=1, kind="stable")[:, :10]
    shares = []
    for most in (None, *budget.DOCUMENT_TERMS):
        for asked in (None, *budget.QUERY_TERMS):
            kept = documents if most is None else strongest(documents, most)
            wanted = queries if asked is None else strongest(queries, asked)
            if nonzeros(kept, wanted) <= limit:
                order = np.argsort(-(wanted @ kept.T).toarray(), axis=1, kind="stable")[:, :10]
                same = [len(set(a) & set(b)) for a, b in zip(first, order, strict=True)]
                shares.append(sum(same) / first.size)
    assert found.overlap == pytest.approx(max(shares))
    kept = strongest(documents, found.document_terms or 300)
    assert found.weights == kept.nnz / documents.nnz


def test_a_branch_that_fits_whole_keeps_all_terms_of_equal_limits() -> None:
    documents = csr_matrix(np.tril(np.ones((12, 12), np.float32)))
    found = term_limits(documents, documents[:1], 1.0, lambda *_: 0.0)
    assert found == TermLimits(None, None, 0.0, 0.0, 1.0, 1.0)


def test_of_equal_limits_those_with_more_weights_are_taken() -> None:
    documents = csr_matrix(np.tril(np.ones((40, 40), np.float32)))
    whole = documents.nnz
    found = term_limits(documents, documents[:1], 1.0, lambda kept, _: 2.0 * (kept.nnz == whole))
    assert (found.document_terms, found.query_terms, found.overlap) == (32, None, 1.0)


def test_documents_that_are_not_found_count_as_neither_kept_nor_lost() -> None:
    documents = csr_matrix(np.kron(np.eye(20), np.arange(1, 10)).astype(np.float32))
    queries = csr_matrix(np.eye(180, dtype=np.float32)[[0, 17, 0]])
    queries = vstack([queries, csr_matrix((1, 180), dtype=np.float32)]).tocsr()
    found = term_limits(documents, queries, 170.0, lambda kept, _: float(kept.nnz))
    assert (found.document_terms, found.overlap) == (8, pytest.approx(1 / 3))
    assert "33% of the first 10 hits of the sample" in str(found)


def test_a_budget_with_given_encoders_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    def never() -> Iterator[Document]:
        raise AssertionError("read")
        yield

    with pytest.raises(UsageError, match="encoders are given, and a query budget"):
        build_index(
            never(),
            tmp_path / "idx",
            BuildOptions(query_budget=1.0),
            encoders={"bm25": Bm25Parameters()},
        )


def test_a_budget_that_cannot_be_met_says_the_lowest_that_can() -> None:
    documents, queries = rows(40, 60, 0), rows(5, 20, 1)
    least = nonzeros(strongest(documents, 8), strongest(queries, 3)) * 1e3
    with pytest.raises(UsageError, match=f"lowest that can be met is {least:.3g} ms"):
        term_limits(documents, queries, 1e-9, nonzeros)


def test_one_document_and_one_query() -> None:
    one = csr_matrix(np.ones((1, 1), np.float32))
    assert term_limits(one, one, 1.0, nonzeros).overlap == 1.0


def test_a_build_records_and_prints_what_it_picked(
    tiny_sparse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "measured_search", lambda *_: nonzeros)
    documents = [Document(name, text) for name, text in TEXTS.items()]
    options = BuildOptions(str(tiny_sparse), None, query_budget=60e-6, cache=False)
    report = build_index(documents, tmp_path / "idx", options)
    (note,) = (each for each in report.notes if "query budget" in each)
    assert "16 terms of a document and 4 terms of a query" in note
    with open_index(tmp_path / "idx") as index:
        record = index.contents.record("sparse")
        assert record.report["query_budget"] == note
        assert record.encoder["document_terms"] == 16
        assert record.encoder["query_terms"] == record.fingerprint["kept_query_terms"] == 4
        assert index.contents.sparse("sparse").nnz <= 16 * len(TEXTS)
        assert len(index.search("merge lists", 2)) == 2


def test_a_build_that_is_repeated_goes_on_with_the_same_limits(
    tiny_sparse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [Document(name, text) for name, text in TEXTS.items()]
    options = BuildOptions(
        str(tiny_sparse), None, bm25=False, query_budget=60e-6, cache=str(tmp_path / "cache")
    )
    found = []
    for cost in (nonzeros, lambda *_: 0.0):
        monkeypatch.setattr(budget, "measured_search", lambda *_, cost=cost: cost)
        chosen, given, limits = budget.within_budget(options, iter(documents), len(documents))
        assert list(given) == documents
        assert chosen.query_budget is None
        found.append(limits)
    assert found[0] == found[1] is not None


def test_a_source_of_unknown_size_is_refused(tiny_sparse: Path) -> None:
    documents = (Document(str(number), "text") for number in range(budget.FIRST))
    with pytest.raises(UsageError, match="needs the number of documents"):
        budget.within_budget(BuildOptions(str(tiny_sparse), query_budget=1.0), documents, None)


def test_the_measured_cost_grows_with_the_postings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MEASURED", (50, 200))
    seconds = iter([0.1] * 5 + [0.4] * 5)
    monkeypatch.setattr(budget, "repeat", lambda *_, **__: [next(seconds)])
    documents, queries = rows(40, 60, 0), rows(5, 20, 1)
    cost = budget.measured_search(documents, queries, 1000)
    assert cost(documents, queries) == pytest.approx(2.0)
    assert cost(documents, csr_matrix(queries.shape, dtype=np.float32)) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"query_budget": 0.0}, "above 0"),
        ({"query_budget": float("nan")}, "above 0"),
        ({"query_budget": 0.1, "sparse": None}, "no learned sparse branch"),
        ({"query_budget": 0.1, "query_terms": 8}, "give it, or those"),
    ],
)
def test_options_that_do_not_fit_are_refused(given: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        BuildOptions(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "5 m", "-1ms", "5us", "1e3", "ms"])
def test_a_text_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no time"):
        parse_seconds(text)
