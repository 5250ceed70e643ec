"""Explanations of an index's own documents: the pool, the texts and the sparse rows gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hybrid.fusion import Fusion
from hybrid.fusion.explain import (
    Explanation,
    TermContribution,
    explain,
    explain_sparse,
    with_documents,
)
from hybrid.fusion.pool import Pool
from hybrid.index.documents.passages import MaxPassage
from hybrid.index.hybrid import HybridIndex
from hybrid.machine.arrays import Ints
from hybrid.search.branches import BranchResult
from hybrid.search.encoders import as_sparse


def explain_documents(
    index: HybridIndex,
    query: str,
    results: Mapping[str, BranchResult],
    pool: Pool,
    fusion: Fusion,
    doc_ids: Sequence[str],
) -> list[Explanation]:
    """Return why each document has its fused score for one query.

    Args:
        index: whose documents they are.
        query: the text.
        results: of that query, by branch of the pool.
        pool: of that query.
        fusion: how the branches are combined.
        doc_ids: documents of the index, candidates or not.

    Raises:
        UsageError: a document that the index does not have.
    """
    if not len(doc_ids):
        return []
    doc_nums = np.array([index.documents.doc_num(doc_id) for doc_id in doc_ids], dtype=np.int32)
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
        name: _terms(index, name, query, result, rows[name])
        for name, result in results.items()
        if index.record(name).kind == "sparse"
    }
    passages = {}
    if index.passages is not None:
        first = index.passages.offsets[doc_nums]
        passages = {name: (row - first + 1).tolist() for name, row in rows.items()}
    return explain(pool, fusion, doc_ids, terms=terms, passages=passages)


def _scored_rows(index: HybridIndex, name: str, encoded: Any, doc_nums: Ints) -> Ints:
    """Return the row that gives each document its score: its own, or that of its best passage."""
    branch = index.branch(name)
    if not isinstance(branch, MaxPassage):
        return doc_nums
    rows: Ints = branch.best_rows(encoded, doc_nums[None])[0].astype(np.int32)
    return rows


def _terms(
    index: HybridIndex, name: str, query: str, result: BranchResult, rows: Ints
) -> list[list[TermContribution]]:
    """Return the terms that the query shares with each row of a sparse branch."""
    encoder = as_sparse(name, result.encoder)
    stored = index.sparse(name).vectors(rows)
    query_terms = encoder.literal_terms(query)
    return [
        explain_sparse(
            result.encoded,
            stored[at],
            encoder.vocabulary,
            query_terms=query_terms,
            document_terms=encoder.literal_terms(text),
        )
        for at, text in enumerate(index.row_texts(rows))
    ]
