"""Tuning of one index, on judged queries or, where there are none, on made ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hybrid.corpus import Source
from hybrid.evaluate import Judging
from hybrid.evaluate.pools import judged_pool, pseudo_pool
from hybrid.evaluate.reuse import query_hashes
from hybrid.fusion import Fusion
from hybrid.fusion.signatures import SINGLE
from hybrid.search.index import Index
from hybrid.search.plan import DEPTH
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
    index = index.snapshot()
    judged = judged_pool(index, source, split, depth=depth, judging=judging, filter=filter)
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
    return at_depth(result, judged.pool.depth, len(index))


def tune_without_labels(
    index: Index,
    *,
    kind: Kind = "sentence",
    count: int = 200,
    measure: str = "nDCG@10",
    plan: Plan | None = None,
    depth: int = DEPTH,
    seed: int = 0,
    filter: str | None = None,
    progress: Progress | None = None,
) -> TuneResult:
    """Return what known-item queries made from the corpus say; the result is marked as weak.

    With a ``filter`` only the documents that it lets through are searched, and make queries.

    Raises:
        UsageError: no document has enough words, an unknown measure or field, or too few queries.
    """
    index = index.snapshot()
    made = pseudo_pool(index, kind=kind, count=count, depth=depth, seed=seed, filter=filter)
    result = tune(made.pool, made.qrels, measure, seed=seed, plan=plan, progress=progress)
    result = replace(result, weak=True, query_hashes=query_hashes(made.texts.values()))
    return at_depth(result, made.pool.depth, len(index))


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
    return replace(fusion, depth=depth) if free and depth != min(DEPTH, documents) else fusion
