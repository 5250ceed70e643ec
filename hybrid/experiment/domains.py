"""Tuning over several domains, each a source of queries on an index: one fusion each, stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from hybrid.corpus import Source
from hybrid.evaluate import Judging
from hybrid.evaluate.pools import judged_pool
from hybrid.evaluate.reuse import query_hashes
from hybrid.search.index import Index
from hybrid.search.plan import DEPTH, POOLED_DOMAIN
from hybrid.tune import Domain, DomainsResult, Plan, tune_domains
from hybrid.tune.domains import check_names
from hybrid.tune.on_index import at_depth, fusion_at


@dataclass(frozen=True)
class DomainTask:
    """A name, the queries and judgments of a domain, and the index that they are searched in."""

    name: str
    source: Source
    index: Index


def tune_indexes(
    tasks: Sequence[DomainTask],
    *,
    split: str = "train",
    measure: str = "nDCG@10",
    plan: Plan | None = None,
    depth: int = DEPTH,
    seed: int = 0,
    judging: Judging | None = None,
    filter: str | None = None,
    store: bool = True,
    progress: Callable[[int], None] | None = None,
) -> DomainsResult:
    """Return one fusion a domain, the transfer between domains, and the pooled fusion.

    ``filter`` is that of ``Index.search``, on every index. Where ``store`` is true each fusion is
    stored in the index of its domain under its name, and the pooled one in every index, for domains
    that are unknown.

    Raises:
        CorpusError: a split has no judged query.
        UsageError: fewer than two domains, a name twice or reserved, or indexes of other branches.
    """
    check_names([task.name for task in tasks])
    found = []
    texts = {}
    for task in tasks:
        judged = judged_pool(
            task.index, task.source, split, depth=depth, judging=judging, filter=filter
        )
        found.append(Domain(task.name, judged.pool, judged.qrels))
        texts[task.name] = list(judged.texts.values())
    result = tune_domains(found, measure, seed=seed, plan=plan, progress=progress)
    widest = max(len(task.index) for task in tasks)
    result = replace(
        result,
        results={
            task.name: at_depth(
                replace(result.results[task.name], query_hashes=query_hashes(texts[task.name])),
                min(depth, len(task.index)),
                len(task.index),
            )
            for task in tasks
        },
        pooled=fusion_at(result.pooled, min(depth, widest), widest),
    )
    under = {} if filter is None else {"filter": filter}
    if store:
        for task in tasks:
            own = result.results[task.name]
            task.index.store_domain(task.name, own.fusion, report=own.to_dict() | under)
        shared = under | {
            "domains": list(result.columns),
            "transfer": result.to_dict()["transfer"],
            "query_hashes": query_hashes(chain.from_iterable(texts.values())),
        }
        for index in {id(task.index): task.index for task in tasks}.values():
            index.store_domain(POOLED_DOMAIN, result.pooled, report=shared)
    return result
