"""Explanations of an index's own documents: the pool, the texts and the sparse rows gathered."""

from __future__ import annotations

import numpy as np

from hybrid.explain import Explanation, TermContribution, explain, explain_sparse, with_document
from hybrid.retrieve import DEPTH, Index


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
    text = index.document(doc_id).full_text
    sparse = [name for name in names if contents.record(name).kind == "sparse"]
    terms = {name: _terms(index, name, query, text, doc_num) for name in sparse}
    return explain(pool, chosen, doc_id, terms=terms)


def _terms(index: Index, name: str, query: str, text: str, doc_num: int) -> list[TermContribution]:
    encoder = index.sparse_encoder(name)
    return explain_sparse(
        encoder.encode_queries([query]),
        index.contents.sparse(name).documents(np.array([doc_num], dtype=np.int32)),
        encoder.vocabulary,
        query_terms=encoder.literal_terms(query),
        document_terms=encoder.literal_terms(text),
    )
