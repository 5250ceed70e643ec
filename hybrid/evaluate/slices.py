"""Slices of the queries by something known of them, to see where a system wins."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from hybrid.errors import UsageError

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return the lower-cased words of a text.

    >>> words("How do I merge lists?")
    ['how', 'do', 'i', 'merge', 'lists']
    """
    return [match.lower() for match in _WORD.findall(text)]


def query_lengths(queries: Mapping[str, str]) -> dict[str, float]:
    """Return the number of words of each query."""
    return {query_id: float(len(words(text))) for query_id, text in queries.items()}


def lexical_overlap(
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    texts: Mapping[str, str],
) -> dict[str, float]:
    """Return the greatest share of a query's words that one of its relevant documents holds.

    Queries without a relevant document in ``texts`` are left out.
    """
    found = {}
    for query_id, text in queries.items():
        asked = set(words(text))
        relevant = [d for d, grade in qrels.get(query_id, {}).items() if grade > 0 and d in texts]
        if asked and relevant:
            found[query_id] = max(len(asked & set(words(texts[d]))) / len(asked) for d in relevant)
    return found


def slice_queries(values: Mapping[str, float], parts: int = 3) -> dict[str, list[str]]:
    """Return label to query ids: ``parts`` slices of about equal size, equal values together.

    Raises:
        UsageError: there is no query, or fewer than two parts.

    >>> slice_queries({"a": 1, "b": 2, "c": 3, "d": 9}, 2)
    {'1 to 2': ['a', 'b'], '3 to 9': ['c', 'd']}
    """
    if not values or parts < 2:
        raise UsageError(f"{len(values)} queries in {parts} parts were asked; give some, and 2")
    edges = np.quantile(list(values.values()), np.linspace(0, 1, parts + 1)[1:-1], method="lower")
    groups: dict[int, list[str]] = {}
    for query_id, value in values.items():
        groups.setdefault(int(np.searchsorted(edges, value)), []).append(query_id)
    labelled = {}
    for _, query_ids in sorted(groups.items()):
        inside = [values[query_id] for query_id in query_ids]
        labelled[f"{min(inside):.3g} to {max(inside):.3g}"] = query_ids
    return labelled
