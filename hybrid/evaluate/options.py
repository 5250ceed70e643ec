"""Options of an evaluation: which judged queries are searched, how, and what is measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from hybrid.evaluate.judging import Judging
from hybrid.index.documents.filters import FilterLike, filter_text
from hybrid.machine.options import option
from hybrid.search.options import (
    DEPTH,
    FILTER,
    RERANK,
    RERANKED,
    Score,
    SearchOptions,
)

MEASURES = ("--measures", "--measure")
"""Both flags are taken wherever a measure is named."""


@dataclass(frozen=True)
class PoolOptions:
    """Which judged queries of a source are searched, and how.

    Attributes:
        filter: that of ``Index.search``; a relevant document that it leaves out counts as one that
            was not found.
        judging: which documents count, and the gains of their grades.
    """

    split: str = option("test", "which judged queries")
    depth: int = option(DEPTH, "how deep each branch searches")
    filter: FilterLike | None = option(None, FILTER, read=str)
    judging: Judging = field(default_factory=Judging)

    def __post_init__(self) -> None:
        object.__setattr__(self, "filter", filter_text(self.filter))

    @property
    def search(self) -> SearchOptions:
        """The options of the search."""
        return SearchOptions(depth=self.depth, filter=self.filter)


@dataclass(frozen=True)
class EvaluateOptions(PoolOptions):
    """Which systems are evaluated on which queries, and by which measures.

    Attributes:
        domain: the tuned fusion is what ``Index.search`` takes for it: the domain's, or the stored
            default or pooled one; without any there is no such system.
        rerank, rerank_depth: those of ``Index.search``; with a reranker there is one more
            system, the search by the domain with it.
    """

    measures: str = option("nDCG@10,RR@10,R@100", "names of ir_measures", flags=MEASURES)
    fusions: tuple[str, ...] = option(
        (), "a further fusion to evaluate; may be repeated", flags=("--fusion",)
    )
    domain: str | None = option(None, "whose tuned fusion to evaluate")
    rerank: str | Score | None = option(None, RERANK, read=str)
    rerank_depth: int | None = option(None, RERANKED)

    @property
    def search(self) -> SearchOptions:
        """The options of the search."""
        return SearchOptions(
            domain=self.domain,
            depth=self.depth,
            filter=self.filter,
            rerank=self.rerank,
            rerank_depth=self.rerank_depth,
        )
