"""SearchOptions: what may be asked of a search beside the query and how many documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from hybrid.errors import UsageError
from hybrid.fusion import Fusion, parse_fusion
from hybrid.machine.options import option

DEPTH = 1000
"""How deep each branch searches, where neither a search nor its fusion says so."""
FILTER = "only documents whose fields match: 'year >= 2020'"
RECALL = (
    "under 1, such as 0.99: let sparse branches miss hits, by the cut that kept this recall when "
    "the index was built; the answer says which and how much"
)


@dataclass(frozen=True)
class SearchOptions:
    """What is asked of a search; each field is a keyword of ``Index.search``, too.

    Attributes:
        fusion: how the branches are combined; default: the domain's, or the untuned default.
        domain: use the fusion tuned under this name.
        depth: how deep each branch searches before fusion; default: what the fusion says, or
            1,000; never less than the number of documents that are asked for.
        filter: search only documents whose fields match, such as ``year >= 2020 and lang ==
            "en"``; see `hybrid.index.documents.filters`.
        recall: 1.0 is exact. Under 1 the sparse branches skip what at build kept this recall on
            sampled queries; a `SearchPlan` says what that means for a search.
    """

    fusion: Fusion | str | None = option(
        None, "for instance rrf(k=60), cc(alpha=0.4, norm=tmm), dense", read=parse_fusion
    )
    domain: str | None = option(None, "use the fusion that was tuned for this domain")
    depth: int | None = option(None, "how deep each branch searches")
    filter: str | None = option(None, FILTER)
    recall: float = option(1.0, RECALL)


class SearchKeywords(TypedDict, total=False):
    """The fields of `SearchOptions` as keywords."""

    fusion: Fusion | str | None
    domain: str | None
    depth: int | None
    filter: str | None
    recall: float


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
