"""Explanations of an index's own documents: the pool, the texts and the sparse rows gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from hybrid.encoders import DenseEncoder
from hybrid.errors import UsageError
from hybrid.fusion.apply import fuse
from hybrid.fusion.explain import (
    Cause,
    Explanation,
    Sentence,
    TermContribution,
    TermOrigin,
    explain,
    with_documents,
)
from hybrid.fusion.outcome import with_outcomes
from hybrid.fusion.pool import Pool
from hybrid.index.documents.passages import MaxPassage
from hybrid.index.place import Place
from hybrid.machine.arrays import Ints
from hybrid.search.branches import BranchResult, without_copies
from hybrid.search.encoders import as_sparse
from hybrid.search.passages import sentence_spans
from hybrid.search.plan import SearchPlan
from hybrid.search.snippets import term_places

SENTENCES = 64
"""Of a text that are compared with the query."""
NEAREST = 3
"""Sentences of an explanation."""


def explain_documents(
    index: Place,
    query: str,
    results: Mapping[str, BranchResult],
    pool: Pool,
    plan: SearchPlan,
    doc_ids: Sequence[str],
) -> list[Explanation]:
    """Return why each document has its fused score for one query.

    Args:
        index: whose documents they are.
        query: the text.
        results: of that query, by branch of the pool.
        pool: of that query.
        plan: of the search.
        doc_ids: documents of the index, candidates or not.

    Raises:
        UsageError: a document that the index does not have.
    """
    if not len(doc_ids):
        return []
    doc_nums = np.array([index.documents.doc_num(doc_id) for doc_id in doc_ids], dtype=np.int32)
    hidden: dict[str, Cause] = {}
    if plan.distinct:
        fused = fuse(pool, plan.fusion)
        kept = without_copies(index, pool, fused, max(1, len(fused)))
        copies = pool.doc_nums[np.isfinite(fused) & np.isinf(kept)]
        hidden = {index.doc_ids[doc_num]: "copy" for doc_num in copies.tolist()}
    absent = np.setdiff1d(doc_nums, pool.doc_nums)
    if len(absent):
        scores = {
            name: index.branch(name).score(result.encoded, absent[None])[0]
            for name, result in results.items()
        }
        pool = with_documents(pool, absent, scores)
    rows = {
        name: _scored_rows(index, name, result.encoded, doc_nums)
        for name, result in results.items()
    }
    terms = {
        name: _terms(index, name, query, result, doc_nums, rows[name])
        for name, result in results.items()
        if index.record(name).kind == "sparse"
    }
    passages = {}
    if index.passages is not None:
        first = index.passages.offsets[doc_nums]
        passages = {name: (row - first + 1).tolist() for name, row in rows.items()}
    found = explain(pool, plan.fusion, doc_ids, terms=terms, passages=passages)
    if plan.subset is not None:
        inside = plan.subset.mask[doc_nums].tolist()
        outside = (doc_id for doc_id, there in zip(doc_ids, inside, strict=True) if not there)
        hidden.update(dict.fromkeys(outside, "filter"))
    return with_outcomes(found, pool, plan.fusion, plan.k, hidden=hidden)


def with_sentences(
    index: Place, results: Mapping[str, BranchResult], found: Sequence[Explanation]
) -> list[Explanation]:
    """Return the explanations with the sentences that are nearest the query in the dense branches.

    Of the passage that gave the document its score, the first 64 sentences are compared. Each
    branch encodes every different sentence once.

    Args:
        index: whose documents they are.
        results: of the query, by branch.
        found: explanations of it.
    """
    numbers = [index.documents.doc_num(one.doc_id) for one in found]
    texts = [document.text for document in index.documents.take(numbers)]
    near: dict[str, list[tuple[Sentence, ...]]] = {}
    for name, result in results.items():
        if not isinstance(result.encoder, DenseEncoder):
            continue
        spans = []
        for one, number, text in zip(found, numbers, texts, strict=True):
            (passage,) = (each.passage for each in one.branches if each.branch == name)
            first = 0 if index.passages is None else int(index.passages.offsets[number]) - 1
            start, stop = _part(index, first + passage, text)
            cut = [(a + start, b + start) for a, b in sentence_spans(text[start:stop])]
            spans.append(cut[:SENTENCES])
        near[name] = _nearest(result, texts, spans)

    def told(at: int, one: Explanation) -> Explanation:
        shares = (
            replace(each, sentences=near[each.branch][at]) if each.branch in near else each
            for each in one.branches
        )
        return replace(one, branches=tuple(shares))

    return [told(at, one) for at, one in enumerate(found)]


def _nearest(
    result: BranchResult, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]
) -> list[tuple[Sentence, ...]]:
    """Return the sentences of each text that are nearest the query, each encoded once."""
    cut = [[text[a:b] for a, b in each] for text, each in zip(texts, spans, strict=True)]
    different = list(dict.fromkeys(sentence for each in cut for sentence in each))
    scores: dict[str, float] = {}
    if different:
        vectors = result.encoder.encode_documents(different)
        scores = dict(zip(different, (vectors @ result.encoded[0]).tolist(), strict=True))
    return [
        tuple(
            sorted(
                (Sentence(*span, text, scores[text]) for span, text in zip(*pair, strict=True)),
                key=lambda each: -each.score,
            )[:NEAREST]
        )
        for pair in zip(spans, cut, strict=True)
    ]


def _scored_rows(index: Place, name: str, encoded: Any, doc_nums: Ints) -> Ints:
    """Return the row that gives each document its score: its own, or that of its best passage."""
    branch = index.branch(name)
    if not isinstance(branch, MaxPassage):
        return doc_nums
    rows: Ints = branch.best_rows(encoded, doc_nums[None])[0].astype(np.int32)
    return rows


def _part(index: Place, row: int, text: str) -> tuple[int, int]:
    """Return the part of its document's text that a row is of, in characters."""
    if index.passages is None:
        return 0, len(text)
    start, stop = index.passages.spans[row].tolist()
    return start, stop


def _terms(
    index: Place, name: str, query: str, result: BranchResult, doc_nums: Ints, rows: Ints
) -> list[list[TermContribution]]:
    """Return the terms that the query shares with the row of each document in a sparse branch."""
    encoder = as_sparse(name, result.encoder)
    stored = index.sparse(name).vectors(rows)
    query_terms = encoder.literal_terms(query)
    documents = index.documents.take(doc_nums.tolist())
    each = zip(rows.tolist(), index.row_texts(rows), documents, strict=True)
    return [
        explain_sparse(
            result.encoded,
            stored[at],
            encoder.vocabulary,
            query_terms=query_terms,
            document_terms=encoder.literal_terms(row_text),
            places=term_places(encoder, document.text, _part(index, row, document.text)),
        )
        for at, (row, row_text, document) in enumerate(each)
    ]


def explain_sparse(
    query_row: csr_matrix,
    document_row: csr_matrix,
    vocabulary: Sequence[str],
    *,
    query_terms: AbstractSet[str] = frozenset(),
    document_terms: AbstractSet[str] = frozenset(),
    places: Mapping[str, tuple[tuple[int, int], ...]] | None = None,
) -> list[TermContribution]:
    """Return the terms that the two vectors share, greatest contribution first, then by term.

    The contributions are float64 products; their sum is the score of the branch up to the float32
    rounding of its own sum.

    Args:
        query_row: CSR (1, vocabulary), the query as the branch searches it.
        document_row: CSR (1, vocabulary), the document as the index stores it.
        vocabulary: the term of each column.
        query_terms, document_terms: the terms of the two texts by the encoder's own tokenizer.
        places: term to where it stands in the text of the document.

    Raises:
        UsageError: more than one row, or rows of other widths than the vocabulary.

    >>> query = csr_matrix([[2.0, 0.0, 1.0]])
    >>> document = csr_matrix([[0.5, 3.0, 0.25]])
    >>> for one in explain_sparse(
    ...     query, document, ["merge", "heap", "join"],
    ...     query_terms={"merge"}, document_terms={"merge", "heap"},
    ... ):
    ...     (one.term, one.contribution, one.kind)
    ('merge', 1.0, 'literal')
    ('join', 0.25, 'both-expanded')
    """
    for name, row in (("query", query_row), ("document", document_row)):
        if row.shape != (1, len(vocabulary)):
            raise UsageError(
                f"the {name} row has shape {row.shape}, expected (1, {len(vocabulary)}): one row "
                "over the vocabulary"
            )
    query = csr_matrix(query_row, dtype=np.float64)
    document = csr_matrix(document_row, dtype=np.float64)
    columns, in_query, in_document = np.intersect1d(
        query.indices, document.indices, return_indices=True
    )
    query_weights, document_weights = query.data[in_query], document.data[in_document]
    found = [
        TermContribution(
            term=vocabulary[column],
            query_weight=float(query_weights[at]),
            document_weight=float(document_weights[at]),
            contribution=float(query_weights[at] * document_weights[at]),
            kind=_kind(vocabulary[column] in query_terms, vocabulary[column] in document_terms),
            places=(places or {}).get(vocabulary[column], ()),
        )
        for at, column in enumerate(columns.tolist())
        if query_weights[at] * document_weights[at] != 0
    ]
    return sorted(found, key=lambda one: (-one.contribution, one.term))


def _kind(in_query: bool, in_document: bool) -> TermOrigin:
    if in_query:
        return "literal" if in_document else "document-expanded"
    return "query-expanded" if in_document else "both-expanded"
