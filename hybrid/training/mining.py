"""Hard negatives: passages that an index ranks high for a query and that are not its positive."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

from hybrid.errors import UsageError
from hybrid.fusion import Fusion
from hybrid.search.index import Index
from hybrid.search.options import SearchOptions
from hybrid.search.view import View
from hybrid.training.examples import Example

MOST_DRAWN = 1000


def mine_negatives(
    index: Index,
    examples: Sequence[Example],
    *,
    count: int = 8,
    skip: int = 0,
    fusion: Fusion | str | None = None,
    seed: int = 0,
) -> list[Example]:
    """Return the examples with ``count`` negatives each, best-ranked first.

    Args:
        index: over the passages; any branch or fusion of it mines.
        examples: a query may have several positives, in examples of their own; none of them
            becomes its negative.
        count: negatives of a query. Where fewer are ranked, documents drawn at random fill up.
        skip: leading ranks to leave out, where unlabelled positives are likely.
        fusion: such as ``bm25``, ``dense`` or ``rrf(k=60)``; None is the index's own.
        seed: of what is drawn.

    Raises:
        UsageError: ``count`` below 1 or ``skip`` below 0.
    """
    if count < 1 or skip < 0:
        raise UsageError(f"count {count} and skip {skip}; expected at least 1 and 0")
    view = index.view()
    positives: dict[str, set[str]] = {}
    for row in examples:
        positives.setdefault(row.query, set()).add(row.positive)
    queries = {str(number): query for number, query in enumerate(positives)}
    deepest = max(map(len, positives.values()), default=0)
    plan = view.plan(count + skip + deepest, SearchOptions(fusion=fusion))
    run = view.search(queries, plan).run
    negatives: dict[str, tuple[str, ...]] = {}
    for number, query in queries.items():
        ranked = [hit.doc_id for hit in run[number]]
        candidates = chain(ranked[skip:], _drawn(view, f"{seed} {query}", set(ranked)))
        texts = (view.document(doc_id).full_text for doc_id in candidates)
        others = (text for text in _distinct(texts) if text not in positives[query])
        negatives[query] = tuple(islice(others, count))
    return [replace(row, negatives=negatives[row.query], scores=()) for row in examples]


def _drawn(view: View, seed: str, ranked: set[str]) -> Iterator[str]:
    """Yield the ids of documents that were not ranked, in an order that the seed decides."""
    doc_ids = view.contents.doc_ids
    for doc_num in random.Random(seed).sample(range(len(view)), min(len(view), MOST_DRAWN)):
        if doc_ids[doc_num] not in ranked:
            yield doc_ids[doc_num]


def _distinct(texts: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        if text not in seen:
            seen.add(text)
            yield text
