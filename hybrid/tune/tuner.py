"""``tune``: judged queries in, the fusion to use and the evidence for it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hybrid.errors import UsageError
from hybrid.evaluate import judge
from hybrid.evaluate.bench import Bench
from hybrid.evaluate.names import array_measure
from hybrid.fusion import Fusion, rrf, single
from hybrid.fusion.pool import Pool
from hybrid.tune.budget import LearningPoint, label_budget, learning_curve
from hybrid.tune.folds import Fold, held_out_choices, held_out_values
from hybrid.tune.options import TuneOptions
from hybrid.tune.optuna_search import hold_storage
from hybrid.tune.prior import Prior, shrunk_choice
from hybrid.tune.rerank import Reranking, RerankResult, tune_rerank
from hybrid.tune.search import Choice, Search
from hybrid.tune.space import DEFAULT, Space, default_over
from hybrid.tune.verdict import Baseline, Judgment, TuneResult, decide

LEAST_QUERIES = 4


def check_searchable(options: TuneOptions) -> None:
    """Do nothing if the measure can be tuned and the storage written, as is known at once.

    Raises:
        UsageError: it is no such measure.
        IndexLockedError: another search writes to the storage.
    """
    array_measure(options.measure)
    with hold_storage(options.storage):
        pass


def tune(
    pool: Pool,
    qrels: Mapping[str, Mapping[str, int]],
    options: TuneOptions | None = None,
    *,
    space: Space | None = None,
    prior: Prior | None = None,
    rerank: Reranking | None = None,
    progress: Callable[[int], None] | None = None,
) -> TuneResult:
    """Return the fusion to use on queries like these, with the held-out evidence for it.

    The search (baselines, exact lines, Optuna, the simplest within one standard error) runs on all
    queries for the choice, and again inside each fold of a repeated K-fold for the verdict.

    Args:
        pool: candidates of the judged queries, and of others, which are left out.
        qrels: ``{query_id: {doc_id: grade}}``.
        options: what to maximise (nDCG@k, R@k, RR@k, AP, P@k or Success@k) and how much work to do.
        space: what to choose from; everything the pool allows where None.
        prior: what other domains say, for few labels; ``learn_prior`` makes it.
        rerank: what scores the first documents again; its weight is tuned after the fusion.
        progress: called with the number of newly finished steps, of ``options.steps``.

    Raises:
        UsageError: fewer than 4 judged queries with candidates, or an unknown measure.
        IndexLockedError: another search writes to the storage.
    """
    options = options or TuneOptions()
    bench = _bench(pool, qrels, options.measure)
    shrink = None if prior is None else partial(shrunk_choice, prior=prior)
    search = Search(bench, space or Space.of(pool), options, shrink=shrink, progress=progress)
    with hold_storage(options.storage):
        choice = search.choose(np.arange(len(bench.judged)))
        chosen = held_out_choices(search)
    held_out = held_out_values(search, chosen)
    baselines = standard_baselines(bench)
    judgment = decide(choice, held_out, baselines, seed=options.seed)
    gains = held_out - baselines[judgment.reference].values
    return TuneResult(
        fusion=judgment.fusion,
        verdict=judgment.verdict,
        because=judgment.because,
        tuned=choice.fusion,
        best=choice.best,
        measure=options.measure,
        queries=len(bench.judged),
        in_sample=float(bench.values(choice.fusion).mean()),
        held_out=judgment.held_out,
        held_out_interval=judgment.interval,
        baselines={name: (b.fusion, b.mean) for name, b in baselines.items()},
        difference=judgment.difference,
        label_budget=label_budget(gains, comparisons=len(baselines), curve=_curve(search)),
        importance=choice.importance,
        rerank=None if rerank is None else _reranked(search, rerank, judgment, choice, chosen),
        settings=_settings(search, prior),
    )


def _bench(pool: Pool, qrels: Mapping[str, Mapping[str, int]], measure: str) -> Bench:
    judged = judge(pool, qrels)
    if len(judged) < LEAST_QUERIES:
        raise UsageError(
            f"{len(judged)} judged queries are too few to tune on; give at least {LEAST_QUERIES}, "
            "better 50"
        )
    return Bench(judged, measure)


def _reranked(
    search: Search,
    rerank: Reranking,
    judgment: Judgment,
    choice: Choice,
    chosen: Sequence[tuple[Fold, Choice]],
) -> RerankResult:
    """Return the reranker's gain, each fold's own fusion as the first stage where it is used."""
    tuned = judgment.verdict == "fusion" and judgment.fusion == choice.fusion
    folds = [(fold, each.fusion if tuned else judgment.fusion) for fold, each in chosen]
    return tune_rerank(search.bench, rerank, folds, judgment.fusion, seed=search.options.seed)


def _curve(search: Search) -> tuple[LearningPoint, ...]:
    options = search.options
    if not options.curve:
        return ()
    return learning_curve(
        Search(search.bench, search.space, options.lines_alone, shrink=search.shrink)
    )


def _settings(search: Search, prior: Prior | None) -> dict[str, Any]:
    """Return the settings that repeat the result."""
    names = ("seed", "trials", "folds", "repeats", "sampler", "timeout", "prune")
    pool = search.bench.judged.pool
    return {
        **{name: getattr(search.options, name) for name in names},
        "depth": pool.depth,
        "branches": list(pool.branches),
        "depths": list(search.space.depths),
        "prior": None if prior is None else {"domains": prior.domains, "strength": prior.strength},
    }


def standard_baselines(bench: Bench) -> dict[str, Baseline]:
    """Return the baselines by name.

    "branch" is the best one alone; with two branches or more there are "rrf" and "minmax", with
    three or more "subset", the best of the default over each smaller set of two or more.
    """

    def baseline(name: str, fusion: Fusion) -> Baseline:
        return Baseline(name, fusion, bench.values(fusion), bench.branches)

    alone = [baseline("branch", single(name)) for name in bench.branches]
    found = {"branch": max(alone, key=lambda b: b.mean)}
    if len(bench.branches) > 1:
        found["rrf"] = baseline("rrf", rrf(60))
        found["minmax"] = baseline("minmax", DEFAULT)
    fewer = [baseline("subset", default_over(names)) for names in Space(bench.branches).sets()[1:]]
    if fewer:
        found["subset"] = replace(max(fewer, key=lambda b: b.mean), best_of=len(fewer))
    return found
