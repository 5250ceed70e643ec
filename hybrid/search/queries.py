"""Queries as texts: their ids, and how much of them a model does not read."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus.checks import check_text
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
