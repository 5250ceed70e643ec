"""Hard negatives: what an index ranks high for a query and is not its positive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hybrid.errors import UsageError
from hybrid.fusion import Fusion
from hybrid.retrieve import Index
from hybrid.training.examples import Example


def mine_negatives(
    index: Index,
    examples: Sequence[Example],
    *,
    count: int = 8,
    skip: int = 0,
    fusion: Fusion | str | None = None,
) -> list[Example]:
    """Return the examples with ``count`` negatives each, best-ranked first.

    Args:
        index: over the passages; any branch or fusion of it mines.
        examples: a query may have several positives, in examples of their own; none of them
            becomes its negative.
        count: negatives of a query; fewer where the index ranks fewer.
        skip: leading ranks to leave out, where unlabelled positives are likely.
        fusion: such as ``bm25``, ``dense`` or ``rrf(k=60)``; None is the index's own.

    Raises:
        UsageError: ``count`` below 1 or ``skip`` below 0.
    """
    if count < 1 or skip < 0:
        raise UsageError(f"count {count} and skip {skip}; expected at least 1 and 0")
    positives: dict[str, set[str]] = {}
    for row in examples:
        positives.setdefault(row.query, set()).add(row.positive)
    queries = {str(number): query for number, query in enumerate(positives)}
    deepest = max(map(len, positives.values()), default=0)
    depth = min(count + skip + deepest, len(index))
    run = index.search(queries, k=depth, fusion=fusion)
    negatives: dict[str, tuple[str, ...]] = {}
    for number, query in queries.items():
        texts = (index.document(hit.doc_id).full_text for hit in run[number][skip:])
        others = [text for text in dict.fromkeys(texts) if text not in positives[query]]
        negatives[query] = tuple(others[:count])
    return [replace(row, negatives=negatives[row.query], scores=()) for row in examples]
