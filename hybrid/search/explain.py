"""Explanations of an index's own documents: the pool, the texts and the sparse rows gathered."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hybrid.corpus.passages import PassageTable
from hybrid.fusion.explain import (
    Explanation,
    TermContribution,
    explain,
    explain_sparse,
    with_document,
)
from hybrid.index.documents.passages import MaxPassage
from hybrid.search.index import Index
from hybrid.search.plan import DEPTH


def explain_document(
    index: Index,
    query: str,
    doc_id: str,
    *,
    fusion: str | None = None,
    domain: str | None = None,
    depth: int = DEPTH,
) -> Explanation:
    """Return why a document has its fused score for a query.

    Raises:
        UsageError: an empty query, or a document, fusion or domain that the index does not have.
    """
    index = index.snapshot()
    chosen = index.fusion(fusion, domain=domain)
    contents = index.contents
    doc_num = contents.documents.doc_num(doc_id)
    names = chosen.branch_names(index.branches)
    pool = index.pool({"query": query}, depth=depth, branches=names)
    wanted = np.array([[doc_num]], dtype=np.int32)
    if doc_num not in pool.doc_nums:
        scores = {
            name: float(
                contents.branch(name).score(index.encoder(name).encode_queries([query]), wanted)[
                    0, 0
                ]
            )
            for name in names
        }
        pool = with_document(pool, doc_num, scores)
    best = {name: _best_row(index, name, query, doc_num) for name in names}
    sparse = [name for name in names if contents.record(name).kind == "sparse"]
    terms = {name: _terms(index, name, query, best[name]) for name in sparse}
    passages = {} if contents.passages is None else _numbered(contents.passages, doc_num, best)
    return explain(pool, chosen, doc_id, terms=terms, passages=passages)


def _best_row(index: Index, name: str, query: str, doc_num: int) -> int:
    """Return the row that gives the document its score: its own, or that of its best passage."""
    branch = index.contents.branch(name)
    if not isinstance(branch, MaxPassage):
        return doc_num
    encoded = index.encoder(name).encode_queries([query])
    return int(branch.best_rows(encoded, np.array([[doc_num]], dtype=np.int32))[0, 0])


def _numbered(table: PassageTable, doc_num: int, best: Mapping[str, int]) -> dict[str, int]:
    """Return the number of each branch's best passage inside the document, from 1."""
    return {name: row - int(table.offsets[doc_num]) + 1 for name, row in best.items()}


def _terms(index: Index, name: str, query: str, row: int) -> list[TermContribution]:
    encoder = index.sparse_encoder(name)
    rows = np.array([row], dtype=np.int32)
    return explain_sparse(
        encoder.encode_queries([query]),
        index.contents.sparse(name).documents(rows),
        encoder.vocabulary,
        query_terms=encoder.literal_terms(query),
        document_terms=encoder.literal_terms(next(index.contents.row_texts(rows))),
    )
