"""Tuning on an index's own judged queries, for one domain or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from hybrid.corpus import Source
from hybrid.evaluate import Judging
from hybrid.evaluate.pools import judged_pool
from hybrid.evaluate.reuse import query_hashes
from hybrid.fusion import Fusion
from hybrid.fusion.signatures import SINGLE
from hybrid.search.index import Index
from hybrid.search.options import SearchOptions
from hybrid.search.plan import DEPTH, POOLED_DOMAIN, search_depth
from hybrid.tune.domains import Domain, DomainsResult, check_names, tune_domains
from hybrid.tune.prior import Prior
from hybrid.tune.tuner import Plan, tune
from hybrid.tune.verdict import TuneResult

Progress = Callable[[int], None]


def tune_index(
    index: Index,
    source: Source,
    *,
    split: str = "train",
    measure: str = "nDCG@10",
    trials: int | None = None,
    plan: Plan | None = None,
    depth: int = DEPTH,
    seed: int = 0,
    judging: Judging | None = None,
    prior: Prior | None = None,
    filter: str | None = None,
    progress: Progress | None = None,
) -> TuneResult:
    """Return the fusion that the judged queries of a split speak for, and how sure they are.

    ``filter`` is that of ``Index.search``; a relevant document that it leaves out counts as one
    that was not found, as in ``evaluate_systems``.

    Raises:
        CorpusError: the split has no judged query.
        UsageError: an unknown measure or field, or too few queries.
    """
    view = index.view()
    asked = view.pool_plan(SearchOptions(depth=depth, filter=filter))
    judged = judged_pool(view, source, split, asked, judging=judging)
    result = tune(
        judged.pool,
        judged.qrels,
        measure,
        seed=seed,
        trials=trials,
        plan=plan,
        prior=prior,
        progress=progress,
    )
    result = replace(result, query_hashes=query_hashes(judged.texts.values()))
    return at_depth(result, judged.pool.depth, len(view))


def at_depth(result: TuneResult, depth: int, documents: int) -> TuneResult:
    """Return the result, its fusion with the depth that it was measured at; see `fusion_at`."""
    fusion = fusion_at(result.fusion, depth, documents)
    if fusion == result.fusion:
        return result
    because = f"{result.because} It was measured with each branch searched {depth} deep: {fusion}."
    return replace(result, fusion=fusion, because=because)


def fusion_at(fusion: Fusion, depth: int, documents: int) -> Fusion:
    """Return the fusion with the depth that it was measured at, where a search takes another.

    One branch alone ranks the same at any depth and is returned as it is.

    Args:
        fusion: where it has a depth of its own, this stays.
        depth: of the pool.
        documents: of the index.
    """
    free = fusion.depth is None and fusion.method != SINGLE
    return replace(fusion, depth=depth) if free and depth != search_depth(documents) else fusion


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
        view = task.index.view()
        asked = view.pool_plan(SearchOptions(depth=depth, filter=filter))
        judged = judged_pool(view, task.source, split, asked, judging=judging)
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
