"""Queries as texts: their ids, and the features of each before it is searched."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus.checks import check_text
from hybrid.encoders import Bm25Encoder
from hybrid.encoders.protocol import ReadsSoMuch
from hybrid.errors import UsageError, several_texts


def named_queries(queries: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return query id to text; texts without ids are numbered from 1.

    Raises:
        UsageError: it is neither a list of texts nor query id to text, or an id is not Unicode.

    >>> named_queries(["a", "b"])
    {'1': 'a', '2': 'b'}
    """
    if isinstance(queries, set | frozenset):
        raise UsageError("the queries are a set, which has no order to number them by; give a list")
    if isinstance(queries, Mapping):
        ids = several_texts("query ids", queries)
        named = dict(zip(ids, several_texts("query", queries.values()), strict=True))
    else:
        texts = several_texts("query", queries)
        named = {str(number): text for number, text in enumerate(texts, start=1)}
    for query_id in named:
        check_text("a query id", query_id)
    return named


def warn_of_cut(branch: str, encoder: object, texts: Sequence[str]) -> None:
    """Warn if the model of a branch does not read all of each query."""
    tokens = unread(encoder, texts)
    if tokens.any():
        warnings.warn(
            f"{np.count_nonzero(tokens):,} of {len(texts):,} queries are longer than the model of "
            f"branch {branch!r} reads: up to {tokens.max():,} tokens at the end do not count there",
            RuntimeWarning,
            stacklevel=2,
        )


def unread(encoder: object, texts: Sequence[str]) -> NDArray[np.int64]:
    """Return the tokens of each query that a model does not read, int64 (len(texts),)."""
    if not isinstance(encoder, ReadsSoMuch):
        return np.zeros(len(texts), dtype=np.int64)
    return encoder.unread_tokens(texts, "query")


def text_features(
    texts: Sequence[str], encoded: Mapping[str, tuple[Any, Any]]
) -> dict[str, NDArray[np.float64]]:
    """Return feature to one value a query: length, and the mean idf of its terms under BM25.

    Args:
        texts: the queries.
        encoded: branch to its encoder and the encoded queries.
    """
    found = {"query.length": np.array([len(text.split()) for text in texts], dtype=np.float64)}
    for name, (encoder, queries) in encoded.items():
        if isinstance(encoder, Bm25Encoder):
            terms = np.maximum(np.asarray(queries.sum(axis=1)).ravel(), 1)
            found[f"{name}.idf"] = np.asarray(queries @ encoder.idf, dtype=np.float64) / terms
    return found
