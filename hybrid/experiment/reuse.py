"""Queries that a fusion was tuned on, known again when it is measured on them.

A record of tuning keeps a hash of each query's text, whatever its id or the split it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import xxhash

WIDTH = 12
"""Hex digits of one hash."""
MOST_KEPT = 10_000
SHARE = 0.1
"""Of the measured queries: where fewer were tuned on, their mean is hardly moved by them."""


def query_hashes(texts: Iterable[str]) -> str:
    """Return the distinct hashes of texts in order, run together; the first 10,000 of more.

    Case and white space do not count.

    >>> query_hashes(["Merge  lists", "merge lists"])
    '87138516efc9'
    """
    return "".join(sorted({_hash(text) for text in texts})[:MOST_KEPT])


def reused_queries(texts: Iterable[str], report: Mapping[str, Any]) -> int:
    """Return how many of ``texts`` the fusion was tuned on whose tuning ``report`` is of.

    0 too for a report that keeps no hashes, as those of older versions.
    """
    kept = str(report.get("query_hashes", ""))
    known = {kept[at : at + WIDTH] for at in range(0, len(kept), WIDTH)}
    return sum(_hash(text) in known for text in texts)


def warning(reused: int, measured: int) -> str:
    """Return what to say of a figure over ``measured`` queries; empty for too few reused ones.

    >>> warning(1, 100), warning(0, 0)
    ('', '')
    >>> warning(40, 100)
    '40 of 100 queries were used to tune this fusion: this is not a held-out figure'
    """
    if not reused or reused < SHARE * measured:
        return ""
    return (
        f"{reused} of {measured} queries were used to tune this fusion: this is not a held-out "
        "figure"
    )


def _hash(text: str) -> str:
    plain = " ".join(text.casefold().split())
    return xxhash.xxh3_64_hexdigest(plain.encode("utf-8", "surrogatepass"))[:WIDTH]
