"""Queries that a fusion was tuned on, known again when it is measured on them.

A record of tuning keeps a hash of each query's text, whatever its id or the split it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Reuse:
    """How many of the measured queries the fusion was tuned on, exactly or ``about``."""

    count: int = 0
    about: bool = False


def reused_queries(texts: Iterable[str], report: Mapping[str, Any]) -> Reuse:
    """Return how many of ``texts`` the fusion was tuned on whose tuning ``report`` is of.

    Where 10,000 hashes are kept there may have been more. Up to the last of them all are known, so
    the texts whose hashes go no further are a random sample, and their share is taken for that of
    all. 0 too for a report that keeps no hashes, as those of older versions.
    """
    kept = str(report.get("query_hashes", ""))
    known = {kept[at : at + WIDTH] for at in range(0, len(kept), WIDTH)}
    hashes = [_hash(text) for text in texts]
    found = sum(each in known for each in hashes)
    if len(known) < MOST_KEPT:
        return Reuse(found)
    last = max(known)
    compared = sum(each <= last for each in hashes)
    return Reuse(round(len(hashes) * found / max(compared, 1)), about=compared < len(hashes))


def warning(reuse: Reuse, measured: int) -> str:
    """Return the warning about a figure over ``measured`` queries; empty for few reused ones.

    >>> warning(Reuse(1), 100), warning(Reuse(0), 0)
    ('', '')
    >>> warning(Reuse(40), 100)
    '40 of 100 queries were used to tune this fusion: this is not a held-out figure'
    """
    if not reuse.count or reuse.count < SHARE * measured:
        return ""
    about = "about " if reuse.about else ""
    return (
        f"{about}{reuse.count} of {measured} queries were used to tune this fusion: this is not a "
        "held-out figure"
    )


def _hash(text: str) -> str:
    plain = " ".join(text.casefold().split())
    return xxhash.xxh3_64_hexdigest(plain.encode("utf-8", "surrogatepass"))[:WIDTH]
