"""Term limits that a query budget picks; the cost of a search is given, not timed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array, vstack

from hybrid.build import budget, create, estimate
from hybrid.build.budget import TermLimits, term_limits
from hybrid.build.create import build_index
from hybrid.build.estimate import sparse_ms
from hybrid.build.options import BuildOptions, parse_seconds
from hybrid.corpus import Document
from hybrid.encoders.bm25 import Bm25Parameters
from hybrid.encoders.splade import strongest
from hybrid.errors import HybridError, UsageError
from hybrid.index.sparse.inverted import InvertedIndex
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

    with pytest.raises(UsageError, match="no terms of given encoders"):
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


def test_an_interrupted_build_goes_on_with_its_limits_and_a_new_one_measures_anew(
    tiny_sparse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [Document(name, text) for name, text in TEXTS.items()]
    cache = str(tmp_path / "cache")
    options = BuildOptions(str(tiny_sparse), None, bm25=False, query_budget=60e-6, cache=cache)

    def picked(cost: object, folder: str, options: BuildOptions = options) -> TermLimits | None:
        monkeypatch.setattr(budget, "measured_search", lambda *_: cost)
        (tmp_path / folder).mkdir(exist_ok=True)
        count, workdir = len(documents), tmp_path / folder
        chosen, given, limits = budget.within_budget(options, iter(documents), count, workdir)
        assert list(given) == documents
        assert chosen.query_budget is None
        return limits

    first = picked(nonzeros, "work")
    assert first == picked(lambda *_: 0.0, "work")
    other = picked(lambda *_: 0.0, "work", replace(options, query_budget=1.0))
    assert first != other == picked(lambda *_: 0.0, "new")
    (tmp_path / "work" / budget.KEPT).write_text("{")
    assert picked(lambda *_: 0.0, "work") == other


def test_a_build_that_was_interrupted_measures_once(
    tiny_sparse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    documents = [Document(name, text) for name, text in TEXTS.items()]
    options = BuildOptions(str(tiny_sparse), None, bm25=False, query_budget=60e-6, cache=False)
    with monkeypatch.context() as patched:
        patched.setattr(budget, "measured_search", lambda *_: nonzeros)
        patched.setattr(create, "_write_branches", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build_index(documents, tmp_path / "idx", options)
    monkeypatch.setattr(budget, "measured_search", interrupt)
    (note,) = build_index(documents, tmp_path / "idx", options).notes
    assert "16 terms of a document and 4 terms of a query" in note


def test_a_source_of_unknown_size_is_refused(tiny_sparse: Path, tmp_path: Path) -> None:
    documents = (Document(str(number), "text") for number in range(budget.FIRST))
    with pytest.raises(UsageError, match="needs the number of documents"):
        budget.within_budget(
            BuildOptions(str(tiny_sparse), query_budget=1.0), documents, None, tmp_path
        )


def test_documents_without_words_are_refused(tiny_sparse: Path, tmp_path: Path) -> None:
    options = BuildOptions(str(tiny_sparse), query_budget=1.0)
    with pytest.raises(UsageError, match="needs documents with words"):
        budget.within_budget(options, iter([Document("d1", "")]), 1, tmp_path)


def machine(monkeypatch: pytest.MonkeyPatch, speeds: list[float], documents: int) -> None:
    """Let searches take what the model says of so many documents, times a speed for each round."""
    rounds = iter(speeds)

    def timed(index: InvertedIndex, asked: csr_matrix) -> object:
        held = index.vectors(np.arange(len(index.segments[0]), dtype=np.int32))
        return next(rounds) * estimate._model_seconds(held, asked, documents)

    monkeypatch.setattr(estimate, "_timed", timed)


@pytest.mark.parametrize("count", [1, 50, 10 * estimate.PRUNED_FROM])
def test_a_cost_is_that_of_the_model_at_the_speed_of_this_machine(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "MEASURED", 300)
    documents, queries = rows(40, 60, 0), rows(5, 20, 1)
    machine(monkeypatch, [9.0, 2.0, 2.5, 2.0, 2.1, 3.0, 2.2, 2.4, 2.6, 2.3], min(300, count))
    cost = estimate.measured_search(documents, queries, count)
    for kept, asked in ((documents, queries), (strongest(documents, 8), strongest(queries, 3))):
        found = ((asked > 0).astype(float) @ (kept > 0).astype(float).T).toarray().sum(axis=1)
        found *= count / 40
        terms = np.diff(asked.indptr)
        told = [sparse_ms(*each) for each in zip(terms, [count] * 5, found, strict=True)]
        assert cost(kept, asked) == pytest.approx(2.3 * np.mean(told) / 1000)


def test_blocks_are_skipped_in_the_cost_of_a_large_collection_alone() -> None:
    documents, queries = rows(40, 60, 0), rows(5, 20, 1)
    large = 100 * estimate.PRUNED_FROM
    below, above = (
        estimate._model_seconds(documents, queries, count).mean()
        for count in (estimate.PRUNED_FROM - 1, large)
    )
    assert estimate.MEASURED < estimate.PRUNED_FROM
    assert above < below * large / estimate.PRUNED_FROM / 3


def test_a_busy_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    documents, queries = rows(40, 60, 0), rows(5, 20, 1)
    machine(monkeypatch, [1.0] * 9 + [1.6], 50)
    with pytest.raises(HybridError, match=r"too busy .* 1\.6 times as long .* try again"):
        estimate.measured_search(documents, queries, 50)


def test_the_time_of_a_query_is_the_shortest_of_its_searches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = iter([3.0, 5.0, 4.0, 2.0] + [9.0] * 6)
    clock = [0.0, 0]

    def thread_time() -> float:
        clock[0] += next(taken) if clock[1] % 2 else 0.0
        clock[1] += 1
        return clock[0]

    monkeypatch.setattr(estimate, "thread_time", thread_time)
    monkeypatch.setattr(estimate, "PAUSE", 0.0)
    asked = []
    index = SimpleNamespace(search=lambda query, *_, **__: asked.append(query.nnz))
    queries = csr_matrix([[1.0, 0.0], [1.0, 1.0]])
    assert estimate._timed(index, queries).tolist() == [3.0, 2.0]
    assert asked == [1, 2] * 5


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
