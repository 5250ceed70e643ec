"""Explanations: what is shown adds up to what was scored."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random

from hybrid.errors import UsageError
from hybrid.fusion import fuse, parse_fusion, rank
from hybrid.fusion.explain import TermContribution, explain, with_documents
from hybrid.fusion.pool import Pool
from hybrid.search.explain import explain_sparse

VOCABULARY = ["merge", "join", "heap", "sort", "list"]
DOC_IDS = ["d4", "d3", "d2", "d1", "d0"]


def row(*weights: float) -> csr_matrix:
    return csr_matrix(np.array([weights], dtype=np.float32))


def pool() -> Pool:
    """Two queries: three candidates (doc_nums 0, 2, 3), then two (1, 4)."""
    return Pool(
        query_ids=("q1", "q2"),
        branches=("sparse", "dense"),
        offsets=np.array([0, 3, 5], dtype=np.int64),
        doc_nums=np.array([0, 2, 3, 1, 4], dtype=np.int32),
        scores=np.array([[4.0, 2.5, 0.0, 7.0, 1.0], [0.1, 0.9, 0.9, -0.2, 0.6]], dtype=np.float32),
        ranks=np.array([[1, 2, 0, 1, 2], [0, 1, 2, 2, 1]], dtype=np.int32),
        minimum=np.array([0, -1], dtype=np.float32),
        depth=2,
        doc_ids=DOC_IDS,
    )


def test_kinds() -> None:
    found = explain_sparse(
        row(1, 2, 3, 4, 5),
        row(5, 4, 3, 2, 0),
        VOCABULARY,
        query_terms={"merge", "join"},
        document_terms={"merge", "heap"},
    )
    assert found == [
        TermContribution("heap", 3, 3, 9, "query-expanded"),
        TermContribution("join", 2, 4, 8, "document-expanded"),
        TermContribution("sort", 4, 2, 8, "both-expanded"),
        TermContribution("merge", 1, 5, 5, "literal"),
    ]


def test_nothing_in_common() -> None:
    assert explain_sparse(row(1, 0, 0, 0, 0), row(0, 1, 0, 0, 0), VOCABULARY) == []
    assert explain_sparse(row(0, 0, 0, 0, 0), row(0, 1, 0, 0, 0), VOCABULARY) == []


def test_a_stored_zero_is_not_a_shared_term() -> None:
    zero = csr_matrix((np.zeros(1, np.float32), ([0], [0])), shape=(1, 5))
    assert explain_sparse(zero, row(1, 0, 0, 0, 0), VOCABULARY) == []


@given(st.integers(0, 2**32 - 1))
def test_terms_add_up_to_the_score(seed: int) -> None:
    rng = np.random.default_rng(seed)
    query, document = (
        random(1, 50, density=0.5, format="csr", dtype=np.float32, random_state=rng)
        for _ in range(2)
    )
    vocabulary = [f"t{n}" for n in range(50)]
    found = explain_sparse(query, document, vocabulary)
    expected = float((query.astype(np.float64) @ document.T.astype(np.float64)).sum())
    assert sum(one.contribution for one in found) == pytest.approx(expected, abs=1e-12)
    assert [one.contribution for one in found] == sorted(
        (one.contribution for one in found), reverse=True
    )


@pytest.mark.parametrize(
    ("query", "document"),
    [(row(1, 2), row(1, 2, 3, 4, 5)), (csr_matrix((2, 5)), csr_matrix((1, 5)))],
)
def test_rows_of_another_shape(query: csr_matrix, document: csr_matrix) -> None:
    with pytest.raises(UsageError, match="query row"):
        explain_sparse(query, document, VOCABULARY)
    with pytest.raises(UsageError, match="document row"):
        explain_sparse(csr_matrix((1, 5)), csr_matrix((3, 5)), VOCABULARY)


FUSIONS = [
    "rrf(k=60)",
    "rrf(k=60, norm=minmax)",
    "cc(alpha=0.42, norm=tmm)",
    "cc(alpha=0.5, norm=minmax)",
    "combmnz(norm=minmax)",
    "gmean(norm=tmm)",
    "sparse",
    "dense",
]


@pytest.mark.parametrize("text", FUSIONS)
@pytest.mark.parametrize("query", [0, 1])
def test_shares_add_up_to_the_fused_score(text: str, query: int) -> None:
    fusion = parse_fusion(text)
    fused = fuse(pool(), fusion)
    start, end = pool().offsets[query : query + 2]
    for at in range(start, end):
        doc_id = DOC_IDS[pool().doc_nums[at]]
        (found,) = explain(pool(), fusion, [doc_id], query=query)
        total = sum(one.share for one in found.branches) + found.tie_break
        if np.isfinite(fused[at]):
            assert found.score == pytest.approx(float(fused[at]), abs=1e-12)
            assert total == pytest.approx(found.score, abs=1e-9)
        else:
            assert (found.score, found.rank, total) == (None, 0, 0)
        assert (found.tie_break != 0) <= (text == "rrf(k=60, norm=minmax)")
        assert [one.score for one in found.branches] == pool().scores[:, at].tolist()
        assert [one.rank for one in found.branches] == pool().ranks[:, at].tolist()
        assert (found.query_id, found.doc_id) == (f"q{query + 1}", doc_id)
        assert found.candidates == np.isfinite(fused[start:end]).sum()
        assert parse_fusion(found.fusion) == fusion


def test_rank_follows_the_ordering_rule() -> None:
    fusion = parse_fusion("dense")
    found = explain(pool(), fusion, ["d4", "d2", "d1"])
    ranks = {each.doc_id: each.rank for each in found}
    assert ranks == {"d2": 1, "d1": 2, "d4": 0}  # d2 and d1 tie at 0.9: the greater id is first
    for text in FUSIONS:
        run = rank(pool(), fuse(pool(), parse_fusion(text)), 3)
        found = explain(pool(), parse_fusion(text), run.doc_ids("q1"))
        assert [each.rank for each in found] == [hit.rank for hit in run["q1"]]


def test_documents_that_no_branch_retrieved_can_be_added() -> None:
    one = pool().select([0])
    numbers = np.array([1, 4], dtype=np.int32)
    scores = {"sparse": np.float32([0.5, 0.0]), "dense": np.float32([-0.25, 0.75])}
    added = with_documents(one, numbers, scores)
    assert added.doc_nums.tolist() == [0, 1, 2, 3, 4]
    for text in FUSIONS:
        fusion = parse_fusion(text)
        first, last = explain(added, fusion, ["d3", "d0"])
        assert (first.score, first.rank, last.score, last.rank) == (None, 0, None, 0)
        assert [branch.score for branch in first.branches] == [0.5, -0.25]
        assert [branch.score for branch in last.branches] == [0.0, 0.75]
        assert "no candidate" in first.lines()[0]
        retrieved = ["d4", "d2", "d1"]
        assert explain(added, fusion, retrieved) == explain(one, fusion, retrieved)
    last_one = with_documents(one, numbers[1:], {name: each[1:] for name, each in scores.items()})
    assert last_one.doc_nums.tolist() == [0, 2, 3, 4]
    with pytest.raises(UsageError, match="has document 2 already"):
        with_documents(one, numbers + 1, scores)
    with pytest.raises(UsageError, match="2 queries"):
        with_documents(pool(), numbers, scores)
    with pytest.raises(UsageError, match="branch dense"):
        with_documents(one, numbers, {"sparse": scores["sparse"]})


def test_terms_are_shown_with_their_branch_and_as_json() -> None:
    terms = explain_sparse(row(1, 0, 0, 0, 0), row(4, 0, 0, 0, 0), VOCABULARY)
    found, other = explain(
        pool(), parse_fusion("rrf(k=60)"), ["d4", "d1"], terms={"sparse": [terms, ()]}
    )
    assert [one.terms for one in found.branches] == [tuple(terms), ()]
    assert [one.terms for one in other.branches] == [(), ()]
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["branches"][0]["terms"][0]["term"] == "merge"
    assert plain["rank"] == found.rank


def test_lines_show_the_greatest_terms_and_the_sum_of_the_rest() -> None:
    terms = explain_sparse(row(1, 1, 1, 1, 0), row(8, 4, 2, 1, 0), VOCABULARY)
    (found,) = explain(pool(), parse_fusion("rrf(k=60)"), ["d1"], terms={"sparse": [terms]})
    lines = found.lines(terms=2)
    assert lines[0] == f"d1 by rrf(k=60): {1 / 62:.6g}, rank 3 of 3 candidates"
    assert "not retrieved" in lines[1]
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["8.0000", "merge"],
        ["4.0000", "join"],
        ["3.0000", "in"],
    ]
    assert "in 2 more terms" in lines[4]
    assert not any("more terms" in line for line in found.lines(terms=4))


def test_a_document_or_query_that_is_not_there() -> None:
    fusion = parse_fusion("sparse")
    with pytest.raises(UsageError, match="'d3' is not among the 3 candidates of query 'q1'"):
        explain(pool(), fusion, ["d4", "d3"])
    with pytest.raises(UsageError, match="query position 2"):
        explain(pool(), fusion, ["d3"], query=2)
    with pytest.raises(UsageError, match="bm25"):
        explain(pool(), fusion, ["d4"], terms={"bm25": [()]})
