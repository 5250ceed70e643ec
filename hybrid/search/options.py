"""The queries of a search, and SearchOptions: its options beside the number of hits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict

from hybrid.corpus.checks import check_text
from hybrid.errors import UsageError, several_texts
from hybrid.fusion import Fusion, parse_fusion
from hybrid.index.documents.filters import FilterLike, filter_text
from hybrid.machine.options import option

Score: TypeAlias = Callable[[str, Sequence[str]], Any]
"""Called with a query and texts; returns one finite score for each, greater is better."""
DEPTH = 1000
RERANK_DEPTH = 50
"""How deep each branch searches, where neither a search nor its fusion says so."""
FILTER = "only documents whose fields match: 'year >= 2020'"
DISTINCT = "leave out copies of a better document"
RERANK = "score documents again: builtin:cross-encoder, a hub id or a path"
RERANKED = "how many are scored again; default: as tuned, or 50"


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search; each field is a keyword of ``Index.search``, too.

    Attributes:
        fusion: how the branches are combined; default: the domain's, or the untuned default.
        domain: use the fusion tuned under this name.
        depth: how deep each branch searches before fusion; default: what the fusion says, or
            1,000; never less than the number of documents that are asked for.
        filter: search only documents whose fields match, such as ``year >= 2020 and lang ==
            "en"``; or a dictionary, ``{"year": {"$gte": 2020}}``, which is held as the text that
            says the same. See `hybrid.index.documents.filters`.
        distinct: leave out documents whose title and text are those of a better one; others fill
            the list. They are taken out before the first documents are scored again.
        rerank: what scores the first documents again: the name of a cross-encoder, or a callable
            (query, texts) -> scores.
        rerank_depth: how many of each query; the others follow in their order. Default: as tuned
            for the domain with this model, or 50.
        rerank_fusion: of the branches ``first`` and ``rerank``; default: as tuned, or the mean of
            both after min-max.
    """

    fusion: Fusion | str | None = option(
        None, "for instance rrf(k=60), cc(alpha=0.4, norm=tmm), dense", read=parse_fusion
    )
    domain: str | None = option(None, "use the fusion that was tuned for this domain")
    depth: int | None = option(None, "how deep each branch searches")
    filter: FilterLike | None = option(None, FILTER, read=str)
    distinct: bool = option(False, DISTINCT)
    rerank: str | Score | None = option(None, RERANK, read=str)
    rerank_depth: int | None = option(None, RERANKED)
    rerank_fusion: Fusion | str | None = option(
        None, "how both stages are joined, for instance cc(alpha=0.4, norm=minmax)", read=str
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "filter", filter_text(self.filter))


class SearchKeywords(TypedDict, total=False):
    """The fields of `SearchOptions` as keywords."""

    fusion: Fusion | str | None
    domain: str | None
    depth: int | None
    filter: FilterLike | None
    distinct: bool
    rerank: str | Score | None
    rerank_depth: int | None
    rerank_fusion: Fusion | str | None


def options_given(options: SearchOptions | None, keywords: Mapping[str, Any]) -> SearchOptions:
    """Return the options that a call was given, whole or as keywords.

    Raises:
        UsageError: both, or a keyword that is no field.

    >>> options_given(None, {"depth": 20}).depth
    20
    """
    if unknown := [name for name in keywords if name not in SearchOptions.__dataclass_fields__]:
        raise UsageError(
            f"a search takes no {unknown[0]!r}; it takes options, or "
            f"{', '.join(SearchOptions.__dataclass_fields__)}"
        )
    if options is None:
        return SearchOptions(**keywords)
    if keywords:
        raise UsageError(
            f"options and {', '.join(keywords)} are both given; give the options alone, or keywords"
        )
    return options


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
