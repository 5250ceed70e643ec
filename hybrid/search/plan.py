"""SearchPlan: fusion, depth and filter of a search, resolved once and handed down."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hybrid.corpus.checks import check_text
from hybrid.errors import UsageError, given, whole_number
from hybrid.fusion import Fusion, cc, parse_fusion, single
from hybrid.index.documents.filters import filter_text
from hybrid.index.documents.subset import Subset
from hybrid.index.place import Place
from hybrid.search.options import DEPTH, RERANK_DEPTH, SearchOptions
from hybrid.search.rerank import BRANCHES, RerankPlan

DEFAULT_DOMAIN = "default"
POOLED_DOMAIN = "pooled"
FIRST_HITS = 10


@dataclass(frozen=True)
class PoolPlan:
    """How the pool of some queries is made.

    Attributes:
        branches: which are searched.
        depth: how deep each of them searches: as asked for, or to the last document.
        filter: which documents, as text; None for all.
        subset: those documents.
    """

    branches: tuple[str, ...]
    depth: int
    filter: str | None
    subset: Subset | None = field(compare=False, repr=False)


@dataclass(frozen=True)
class SearchPlan(PoolPlan):
    """How some queries are searched.

    Attributes:
        k: how many documents are returned at most: what was asked for, or all of fewer.
        fusion: how the branches are combined.
        rerank: how the first documents are scored again; None for not.
        distinct: whether documents with the title and text of a better one are left out.
    """

    k: int
    fusion: Fusion
    rerank: RerankPlan | None = None
    distinct: bool = False


def plan_search(index: Place, k: int | None, options: SearchOptions) -> SearchPlan:
    """Return the plan of a search for ``k`` documents, 10 by default.

    Raises:
        UsageError: k or depth below 1, an unknown domain, branch or field, or a fusion or filter
            that does not parse.
    """
    fusion = chosen_fusion(options, index.domains, index.branches)
    k = FIRST_HITS if k is None else whole_number("k", k)
    k = min(k, max(1, index.document_count))
    asked = None if options.depth is None else whole_number("depth", options.depth)
    depth = search_depth(index.document_count, asked or fusion.depth, k)
    if fusion.depth is not None and max(k, asked or 0) > fusion.depth:
        fusion = replace(fusion, depth=None)
    pool = _pool_plan(index, fusion.branch_names(index.branches), depth, options)
    again, distinct = plan_rerank(index, options), options.distinct
    return SearchPlan(**vars(pool), k=k, fusion=fusion, rerank=again, distinct=distinct)


def plan_rerank(index: Place, options: SearchOptions) -> RerankPlan | None:
    """Return how the first documents are scored again, None where no model is named.

    Raises:
        UsageError: a depth below 1, or a fusion that does not parse or fit.
    """
    if options.rerank is None:
        return None
    domain = stored_domain(options.domain, index.domains) if options.fusion is None else None
    tuned = {} if domain is None else index.domains[domain].get("report", {}).get("rerank", {})
    if tuned.get("model") != options.rerank:
        tuned = {}
    asked = tuned.get("depth", RERANK_DEPTH)
    if options.rerank_depth is not None:
        asked = whole_number("rerank_depth", options.rerank_depth)
    named = options.rerank_fusion or tuned.get("fusion") or default_fusion(BRANCHES)
    fusion = parse_fusion(named) if isinstance(named, str) else named
    return RerankPlan(options.rerank, asked, fusion)


def plan_pool(index: Place, branches: Sequence[str], options: SearchOptions) -> PoolPlan:
    """Return the plan of the pool of some branches, by the depth and filter of ``options``.

    Raises:
        UsageError: a depth below 1, an unknown branch or field, or a filter that does not parse.
    """
    asked = None if options.depth is None else whole_number("depth", options.depth)
    return _pool_plan(index, branches, search_depth(index.document_count, asked), options)


def _pool_plan(
    index: Place, branches: Sequence[str], depth: int, options: SearchOptions
) -> PoolPlan:
    text = filter_text(options.filter)
    subset = None if text is None else index.select(text)
    return PoolPlan(tuple(branches), depth, text, subset)


def search_depth(documents: int, asked: int | None = None, k: int = 1) -> int:
    """Return how deep each branch of an index of so many documents searches for ``k`` of them.

    >>> [search_depth(20_000), search_depth(20_000, 50), search_depth(20_000, 50, k=80)]
    [1000, 50, 80]
    >>> search_depth(7, 50)
    7
    """
    return min(max(k, asked or DEPTH), max(1, documents))


def default_fusion(branches: Sequence[str]) -> Fusion:
    """Return the untuned fusion: the mean of min-max normalised scores, or the one branch.

    >>> str(default_fusion(("bm25", "dense")))
    'cc(norm=minmax)'
    """
    return single(branches[0]) if len(branches) == 1 else cc(norm="minmax")


def chosen_fusion(
    options: SearchOptions, domains: Mapping[str, Any], branches: Sequence[str]
) -> Fusion:
    """Return the fusion that was given, or the tuned one of the domain, or the untuned default.

    A domain that was never tuned takes what was pooled over several, where that is stored.

    Raises:
        UsageError: both are given, the domain was never tuned, or the text does not parse.
    """
    fusion, domain = options.fusion, options.domain
    if fusion is not None and domain is not None:
        raise UsageError("both a fusion and a domain are given; give one of them")
    if isinstance(fusion, str):
        return parse_fusion(fusion)
    if fusion is not None and not isinstance(fusion, Fusion):
        raise UsageError(f"fusion is {given(fusion)}; give one such as 'rrf(k=60)'")
    if fusion is not None:
        return fusion
    if domain is not None:
        check_text("the name of a domain", domain)
    name = stored_domain(domain, domains)
    if name is not None:
        text = domains[name]["fusion"]
        try:
            return parse_fusion(text)
        except UsageError as error:
            raise UsageError(
                f"domain {name!r} was tuned by a version that has the fusion {text!r}, which this "
                "one has not; tune it again"
            ) from error
    if domain is not None:
        known = ", ".join(sorted(domains)) or "none yet"
        raise UsageError(
            f"domain {domain!r} was never tuned on this index; tuned are: {known}. "
            "Run `hybrid tune` with --domain"
        )
    return default_fusion(branches)


def stored_domain(domain: str | None, domains: Collection[str]) -> str | None:
    """Return the name under which the fusion is stored that a search of ``domain`` takes, or None.

    >>> [stored_domain(domain, {"law", "pooled"}) for domain in (None, "law", "news")]
    ['pooled', 'law', 'pooled']
    >>> stored_domain(None, {"law"}) is None
    True
    """
    for name in (DEFAULT_DOMAIN if domain is None else domain, POOLED_DOMAIN):
        if name in domains:
            return name
    return None
