"""SearchPlan: what a search does with the arguments that it was given, and how exact it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from hybrid.errors import UsageError, given, whole_number
from hybrid.fusion import Fusion, cc, parse_fusion, single
from hybrid.index.hybrid import HybridIndex
from hybrid.index.sparse.approximate import Accuracy, check_recall

DEFAULT_DOMAIN = "default"
POOLED_DOMAIN = "pooled"
DEPTH = 1000
FIRST_HITS = 10


@dataclass(frozen=True)
class SearchPlan:
    """What a search does.

    Attributes:
        k: how many documents it returns at most: what was asked for, or all of fewer.
        fusion: how the branches are combined.
        depth: how deep each branch searches.
        accuracies: how exact each sparse branch is; empty unless a recall under 1 is asked for.
    """

    k: int
    fusion: Fusion
    depth: int
    accuracies: Mapping[str, Accuracy]


def plan_search(
    index: HybridIndex,
    k: int | None,
    fusion: Fusion,
    depth: int | None,
    *,
    recall: float = 1.0,
    filtered: bool = False,
) -> SearchPlan:
    """Return the plan of a search with these arguments, which are those of ``Index.search``.

    Raises:
        UsageError: k or depth below 1, or a recall that cannot be had.
    """
    k = FIRST_HITS if k is None else whole_number("k", k)
    k = min(k, max(1, index.document_count))
    if depth is not None:
        depth = whole_number("depth", depth)
    reach = max(k, depth or fusion.depth or DEPTH)
    if fusion.depth is not None and reach > fusion.depth:
        fusion = replace(fusion, depth=None)
    names = fusion.branch_names(index.branches)
    found = accuracies(index, names, reach, recall=recall, filtered=filtered)
    return SearchPlan(k, fusion, reach, found)


def accuracies(
    index: HybridIndex, names: Sequence[str], depth: int, *, recall: float, filtered: bool
) -> dict[str, Accuracy]:
    """Return how exact each sparse branch among ``names`` is; nothing if the recall is 1.

    Raises:
        UsageError: the recall is not in (0, 1], no branch is sparse, or one has no measured recall.
    """
    check_recall(recall)
    if recall == 1:
        return {}
    sparse = [name for name in names if index.record(name).kind == "sparse"]
    if not sparse:
        raise UsageError(
            f"recall is {recall}, and no branch that is searched ({', '.join(names)}) is sparse; "
            "leave it out, or search a sparse branch with --fusion, such as --fusion sparse or rrf"
        )
    if filtered:
        return dict.fromkeys(sparse, Accuracy(reason="what a filter leaves is searched exactly"))
    depth = min(depth, index.document_count)
    return {name: index.accuracy(name, recall, depth) for name in sparse}


def lines(accuracies: Mapping[str, Accuracy]) -> list[str]:
    """Return one line of text a branch.

    >>> lines({"sparse": Accuracy(0.95, 0.9913, 10, 128)})
    ['sparse is approximate: recall about 0.991 of the top 10, measured at build on 128 sampled \
queries (bounds x 0.95)']
    """
    return [f"{name} is {accuracy}" for name, accuracy in accuracies.items()]


def default_fusion(branches: Sequence[str]) -> Fusion:
    """Return the untuned fusion: the mean of min-max normalised scores, or the one branch.

    >>> str(default_fusion(("bm25", "dense")))
    'cc(norm=minmax)'
    """
    return single(branches[0]) if len(branches) == 1 else cc(norm="minmax")


def chosen_fusion(
    fusion: Fusion | str | None,
    domain: str | None,
    *,
    domains: Mapping[str, Fusion],
    branches: Sequence[str],
) -> Fusion:
    """Return the fusion that was given, or the tuned one of the domain, or the untuned default.

    A domain that was never tuned takes what was pooled over several, where that is stored.

    Raises:
        UsageError: both are given, the domain was never tuned, or the text does not parse.
    """
    if fusion is not None and domain is not None:
        raise UsageError("both a fusion and a domain are given; give one of them")
    if isinstance(fusion, str):
        return parse_fusion(fusion)
    if fusion is not None and not isinstance(fusion, Fusion):
        raise UsageError(f"fusion is {given(fusion)}; give one such as 'rrf(k=60)'")
    if fusion is not None:
        return fusion
    name = stored_domain(domain, domains)
    if name is not None:
        return domains[name]
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
