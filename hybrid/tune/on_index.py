"""Tuning on an index's own judged queries, for one domain or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

from hybrid.corpus.judged import JudgedQueries
from hybrid.evaluate.pools import JudgedPool, judged_pool
from hybrid.evaluate.reuse import query_hashes
from hybrid.fusion import Fusion
from hybrid.index.documents.filters import filter_text
from hybrid.index.records import model_keys
from hybrid.machine.progress import StartProgress, no_progress
from hybrid.search.index import Index
from hybrid.search.options import SearchOptions
from hybrid.search.plan import POOLED_DOMAIN, plan_rerank, search_depth
from hybrid.search.rerank import PairScores, RerankPlan
from hybrid.search.view import View
from hybrid.tune.domains import (
    Domain,
    DomainsResult,
    check_branches,
    check_names,
    tune_domains,
)
from hybrid.tune.options import TuneOptions
from hybrid.tune.prior import Prior
from hybrid.tune.rerank import Reranking
from hybrid.tune.tuner import LEAST_QUERIES, check_searchable, tune
from hybrid.tune.verdict import TuneResult

if TYPE_CHECKING:
    from hybrid.build.tasks import Executor


def tune_index(
    index: Index,
    source: JudgedQueries,
    options: TuneOptions | None = None,
    *,
    prior: Prior | None = None,
    progress: StartProgress = no_progress,
    executor: Executor | None = None,
) -> TuneResult:
    """Return the fusion that the judged queries of a split speak for, and how sure they are.

    Args:
        index: is not changed.
        source: of queries and judgments; or ``(queries, qrels)``, see `as_judged`.
        options: which queries, what to maximise, and how much work to do.
        prior: what other domains say, for few labels.
        progress: shows the steps, of ``options.steps``, and the pairs that are reranked.
        executor: searches the queries elsewhere, see `hybrid.integrations.clusters.dask`; the
            fusions are tried here.

    Raises:
        CorpusError: the split has no judged query.
        UsageError: an unknown measure or field, or too few queries.
        IndexLockedError: another search writes to the storage.
    """
    options = options or TuneOptions()
    view = index.view()
    check_searchable(options)
    again = _planned(view, options)
    judged = judged_pool(view, source, options, least=LEAST_QUERIES, executor=executor)
    result = tune(
        judged.pool,
        judged.qrels,
        options,
        prior=prior,
        rerank=_reranking(view, judged, again, progress),
        progress=progress("tuning", options.steps),
    )
    return _recorded(result, view, judged)


def _recorded(result: TuneResult, view: View, judged: JudgedPool) -> TuneResult:
    """Return the result with the queries, models and depth that it is true of."""
    result = replace(
        result,
        query_hashes=query_hashes(judged.texts.values()),
        models=model_keys(view.contents.records),
        warnings=judged.warnings,
    )
    return at_depth(result, judged.pool.depth, len(view))


def _planned(view: View, options: TuneOptions) -> RerankPlan | None:
    """Return how documents are scored again, the model there; None where none is asked for."""
    asked = SearchOptions(fusion="rrf", rerank=options.rerank, rerank_depth=options.rerank_depth)
    again = plan_rerank(view.contents, asked)
    view.find_reranker(again)
    return again


def _reranking(
    view: View, judged: JudgedPool, again: RerankPlan | None, progress: StartProgress
) -> Reranking | None:
    if again is None:
        return None
    scorer = cache(partial(view.pair_scores, judged.texts, again))

    def scores(branches: tuple[str, ...]) -> PairScores:
        return scorer(branches=() if view.contents.passages is None else branches)

    return Reranking(again.name, again.depth, scores, progress)


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
    free = fusion.depth is None and not fusion.is_single
    return replace(fusion, depth=depth) if free and depth != search_depth(documents) else fusion


@dataclass(frozen=True)
class DomainTask:
    """A name, the queries and judgments of a domain, and the index that they are searched in."""

    name: str
    source: JudgedQueries
    index: Index


def tune_indexes(
    tasks: Sequence[DomainTask],
    options: TuneOptions | None = None,
    *,
    store: bool = True,
    progress: StartProgress = no_progress,
    executor: Executor | None = None,
) -> DomainsResult:
    """Return one fusion a domain, the transfer between domains, and the pooled fusion.

    Where ``store`` is true each fusion is stored in the index of its domain under its name, and the
    pooled one in every index, for domains that are unknown. ``executor`` is that of `tune_index`.

    Raises:
        CorpusError: a split has no judged query.
        UsageError: fewer than two domains, a name twice or reserved, or indexes of other branches.
    """
    options = options or TuneOptions()
    check_names([task.name for task in tasks])
    check_branches([task.index.branches for task in tasks])
    check_searchable(options)
    views = {task.name: task.index.view() for task in tasks}
    plans = {name: _planned(view, options) for name, view in views.items()}
    judged = {
        task.name: judged_pool(
            views[task.name], task.source, options, least=LEAST_QUERIES, executor=executor
        )
        for task in tasks
    }
    domains = [
        Domain(name, each.pool, each.qrels, _reranking(views[name], each, plans[name], progress))
        for name, each in judged.items()
    ]
    result = tune_domains(
        domains, options, progress=progress("tuning", options.steps * len(domains))
    )
    deepest = max(each.pool.depth for each in judged.values())
    widest = max(len(task.index) for task in tasks)
    result = replace(
        result,
        results={
            name: _recorded(each, views[name], judged[name])
            for name, each in result.results.items()
        },
        pooled=fusion_at(result.pooled, deepest, widest),
    )
    if store:
        hashes = query_hashes(text for each in judged.values() for text in each.texts.values())
        where = filter_text(options.filter)
        _store(tasks, result, hashes, {} if where is None else {"filter": where})
    return result


def _store(
    tasks: Sequence[DomainTask], result: DomainsResult, hashes: str, under: dict[str, str]
) -> None:
    """Store the fusion of each domain in its index, and the pooled one in every index."""
    for task in tasks:
        own = result.results[task.name]
        task.index.store_domain(task.name, own.fusion, report=own.to_dict() | under)
    shared = under | {
        "domains": list(result.columns),
        "transfer": result.to_dict()["transfer"],
        "query_hashes": hashes,
    }
    for task in {id(task.index): task for task in tasks}.values():
        models = {"models": dict(result.results[task.name].models)}
        task.index.store_domain(POOLED_DOMAIN, result.pooled, report=shared | models)
