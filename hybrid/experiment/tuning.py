"""Tuning of one index, on judged queries or, where there are none, on made ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hybrid.corpus import Source
from hybrid.evaluate import Judging
from hybrid.experiment.judged import judged_pool, pseudo_pool
from hybrid.retrieve import DEPTH, Index
from hybrid.tune import Plan, Prior, TuneResult, tune
from hybrid.tune.pseudo import Kind

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
    progress: Progress | None = None,
) -> TuneResult:
    """Return the fusion that the judged queries of a split speak for, and how sure they are.

    Raises:
        CorpusError: the split has no judged query.
        UsageError: an unknown measure, or too few queries.
    """
    judged = judged_pool(index, source, split, depth=depth, judging=judging)
    return tune(
        judged.pool,
        judged.qrels,
        measure,
        seed=seed,
        trials=trials,
        plan=plan,
        prior=prior,
        progress=progress,
    )


def tune_without_labels(
    index: Index,
    *,
    kind: Kind = "sentence",
    count: int = 200,
    measure: str = "nDCG@10",
    plan: Plan | None = None,
    depth: int = DEPTH,
    seed: int = 0,
    progress: Progress | None = None,
) -> TuneResult:
    """Return what known-item queries made from the corpus say; the result is marked as weak.

    Raises:
        UsageError: no document has enough words, an unknown measure, or too few queries.
    """
    made = pseudo_pool(index, kind=kind, count=count, depth=depth, seed=seed)
    result = tune(made.pool, made.qrels, measure, seed=seed, plan=plan, progress=progress)
    return replace(result, weak=True)
