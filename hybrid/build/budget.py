"""Term limits of a sparse branch that keep its searches within a time, chosen on a sample."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybrid.build.estimate import Cost, measured_search
from hybrid.build.options import BuildOptions
from hybrid.build.records import load_encoder, model_record
from hybrid.build.survey import DOCUMENTS, queries_of, spread
from hybrid.build.tasks import chunks_of, digest_of
from hybrid.corpus import Document
from hybrid.encoders.splade import strongest
from hybrid.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

FIRST, MOST = 4096, 1 << 40
KEPT = "limits.json"
DOCUMENT_TERMS = (256, 192, 128, 96, 64, 48, 32, 24, 16, 8)
QUERY_TERMS = (64, 48, 32, 24, 16, 12, 8, 6, 4, 3)
TOP = 10


@dataclass(frozen=True)
class TermLimits:
    """Term limits, and what they cost and save on the sample.

    Attributes:
        document_terms, query_terms: None for all terms.
        seconds, whole_seconds: expected time of a search with the limits and without.
        weights: share of the documents' weights that is kept.
        overlap: share of the first ten hits of the sample's queries that stay with the limits.
    """

    document_terms: int | None
    query_terms: int | None
    seconds: float
    whole_seconds: float
    weights: float
    overlap: float

    def __str__(self) -> str:
        named = {"document": self.document_terms, "query": self.query_terms}
        kept = [f"{count} terms of a {text}" for text, count in named.items() if count]
        return (
            f"the query budget keeps {' and '.join(kept) or 'all terms'}: "
            f"{self.seconds * 1e3:.3g} ms a search in place of {self.whole_seconds * 1e3:.3g}, "
            f"{self.weights:.0%} of the weights, {self.overlap:.0%} of the first {TOP} hits of "
            "the sample the same"
        )


def term_limits(
    documents: csr_matrix,
    queries: csr_matrix,
    budget: float,
    cost: Cost,
) -> TermLimits:
    """Return no limits where they fit a budget, else those that keep most of the first documents.

    Of equal ones those with more weights are taken.

    Args:
        documents, queries: rows of a sample, without limits.
        budget: seconds of a search.
        cost: returns the expected seconds of a search for such documents and queries.

    Raises:
        UsageError: no limits are within the budget; says the least that can be met.
    """
    whole, best = cost(documents, queries), _first(documents, queries)
    if whole <= budget:
        return TermLimits(None, None, whole, whole, 1.0, 1.0)
    hits = max(1, int((best >= 0).sum()))
    asked = {limit: _limited(queries, limit) for limit in _limits(queries, QUERY_TERMS)}
    kept = {limit: _limited(documents, limit) for limit in _limits(documents, DOCUMENT_TERMS)}
    found = []
    for (count, rows), (most, weights) in product(kept.items(), asked.items()):
        first = _first(rows, weights)
        same = (first[:, :, None] == best[:, None, :]).any(axis=2) & (first >= 0)
        share = rows.nnz / max(1, documents.nnz)
        seconds = cost(rows, weights)
        found.append(TermLimits(count, most, seconds, whole, share, float(same.sum()) / hits))
    within = [each for each in found if each.seconds <= budget]
    if not within:
        least = min(each.seconds for each in found)
        raise UsageError(
            f"the query budget is {budget * 1e3:g} ms, and no limits of terms meet it on this "
            f"machine; the lowest that can be met is {least * 1e3:.3g} ms"
        )
    return max(within, key=lambda each: (each.overlap, each.weights))


def _limits(rows: csr_matrix, limits: tuple[int, ...]) -> list[int | None]:
    """Return no limit, and those that take something away."""
    longest = int(np.diff(rows.indptr).max(initial=0))
    return [None, *(limit for limit in limits if limit < longest)]


def _limited(rows: csr_matrix, limit: int | None) -> csr_matrix:
    return rows if limit is None else strongest(rows, limit)


def _first(documents: csr_matrix, queries: csr_matrix) -> NDArray[np.int64]:
    """Return the hits of each query, (queries, TOP) or fewer, then -1; ties by number."""
    scores = (queries @ documents.T).toarray()
    first = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    return np.where(np.take_along_axis(scores, first, axis=1) > 0, first, -1)


def within_budget(
    options: BuildOptions, documents: Iterator[Document], count: int | None, workdir: Path
) -> tuple[BuildOptions, Iterator[Document], TermLimits | None]:
    """Return options with the term limits of their query budget, the documents, and the limits.

    They are chosen on documents spread over the first 4,096, and kept in the working folder, so
    that an interrupted build goes on with the same.

    Args:
        options: of the build.
        documents: read as far as the sample needs, and given back whole.
        count: of the collection, None where its source does not say.
        workdir: of the shards.

    Raises:
        UsageError: the budget cannot be met, no document has a word, or nobody knows how many
            documents there are.
        HybridError: the machine is too busy to measure a search.
    """
    if options.query_budget is None or options.sparse is None:
        return options, documents, None
    first = list(islice(documents, FIRST))
    count = len(first) if len(first) < FIRST else count
    if count is None:
        raise UsageError(
            "a query budget needs the number of documents, which this source does not say; give "
            "document_terms and query_terms"
        )
    picked = [first[place] for place in spread(len(first), 2 * DOCUMENTS)] if first else []
    asked = queries_of([each.full_text for each in picked], [each.title for each in picked])
    if not asked:
        raise UsageError("a query budget needs documents with words, and the first have none")
    chunk = next(chunks_of(picked, MOST, MOST, options.passages))
    described = model_record(
        options.sparse,
        max_length=options.max_length,
        revision=options.sparse_revision,
        min_weight=options.min_weight or None,
        trust_remote_code=options.trusts(options.sparse),
    )
    encoder = load_encoder("sparse", described | options.running, trusted=options.trust_remote_code)
    rows = count * len(chunk.texts) // len(picked)
    of = digest_of([*chunk.texts, *asked, repr((rows, options.query_budget, encoder.fingerprint))])
    limits = _kept(workdir / KEPT, of)
    if limits is None:
        weights, queries = encoder.encode_documents(chunk.texts), encoder.encode_queries(asked)
        cost = measured_search(weights, queries, rows)
        limits = term_limits(weights, queries, options.query_budget, cost)
        (workdir / KEPT).write_text(json.dumps({of: asdict(limits)}))
    options = replace(
        options,
        query_budget=None,
        document_terms=limits.document_terms,
        query_terms=limits.query_terms,
    )
    return options, chain(first, documents), limits


def _kept(path: Path, of: str) -> TermLimits | None:
    """Return the limits that an interrupted build has chosen on the same, or None."""
    try:
        return TermLimits(**json.loads(path.read_text())[of])
    except (OSError, ValueError, KeyError, TypeError):
        return None
