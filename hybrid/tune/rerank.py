"""The weight of a reranker, tuned on the documents that a fusion puts first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid.evaluate.bench import Bench, FloatArray, JudgedCandidates
from hybrid.evaluate.significance import SIGNIFICANT, Difference, compare_paired
from hybrid.fusion import Fusion, cc, parse_fusion
from hybrid.fusion.apply import fuse_table, pool_table, ranked_positions
from hybrid.fusion.norms import normalise
from hybrid.machine.progress import StartProgress, no_progress
from hybrid.search.rerank import cut_pool
from hybrid.tune.folds import Fold
from hybrid.tune.line import Curve, alpha_curve

NORM = "minmax"


@dataclass(frozen=True)
class Reranking:
    """A reranker over the queries that are tuned on.

    Attributes:
        name: as a person reads it.
        depth: how many documents of each query it scores.
        scores: of branches, the score of a query id and doc_nums; with passages it reads the best
            ones of those branches. It remembers, because folds ask for the same pairs.
        progress: shows how many pairs are scored.
    """

    name: str
    depth: int
    scores: Callable[[tuple[str, ...]], Callable[..., Any]]
    progress: StartProgress = no_progress


@dataclass(frozen=True)
class RerankResult:
    """The gain of a reranker over the fusion that tuning chose.

    Attributes:
        name, depth: of the reranker.
        fusion: of the branches ``first`` and ``rerank``, fitted to all queries.
        first, held_out: mean of the first stage and of both stages, on queries that the weight, and
            a tuned fusion, were not fitted to.
        difference: of the two, paired.
        keep: whether it is positive and significant.
    """

    name: str
    depth: int
    fusion: Fusion
    first: float
    held_out: float
    difference: Difference
    keep: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return {
            "model": self.name,
            "depth": self.depth,
            "fusion": str(self.fusion),
            "first": self.first,
            "held_out": self.held_out,
            "keep": self.keep,
            "difference": self.difference.to_dict(),
        }

    @classmethod
    def stored(cls, report: Mapping[str, Any]) -> RerankResult:
        """Return the result that `to_dict` described."""
        return cls(
            **{name: report[name] for name in ("depth", "first", "held_out", "keep")},
            name=report["model"],
            fusion=parse_fusion(report["fusion"]),
            difference=Difference(**report["difference"]),
        )

    def line(self) -> str:
        """Return the result as a line of text."""
        found = self.difference
        advice = "use" if self.keep else "not shown to be better:"
        return (
            f"reranking: {advice} {self.name} over the first {self.depth} by {self.fusion}; held "
            f"out {self.held_out:.4f} against {self.first:.4f} without it, {found.mean:+.4f} "
            f"[{found.low:+.4f}, {found.high:+.4f}], p {found.p:.3g}"
        )


def tune_rerank(
    bench: Bench,
    reranking: Reranking,
    chosen: Sequence[tuple[Fold, Fusion]],
    fusion: Fusion,
    *,
    seed: int,
) -> RerankResult:
    """Return the weight of a reranker beside a fusion, and what it adds on held-out queries.

    Args:
        bench: measures fusions over the judged queries.
        reranking: scores the first documents of each query.
        chosen: the folds, each with the fusion of the first stage that was chosen without its part.
        fusion: of the first stage, chosen on all queries.
        seed: of the bootstrap and the randomisation test.
    """
    _score_first(bench, reranking, [*(used for _, used in chosen), fusion])
    curves: dict[str, Curve] = {}

    def curve(used: Fusion) -> Curve:
        if str(used) not in curves:
            curves[str(used)] = _weight_curve(bench, reranking, used)
        return curves[str(used)]

    count = len(bench.judged)
    both, first, times = np.zeros(count), np.zeros(count), np.zeros(count)
    for fold, used in chosen:
        line = curve(used)
        both[fold.part] += line.at(line.stable(fold.rest))[fold.part]
        first[fold.part] += bench.values(used)[fold.part]
        times[fold.part] += 1
    both, first = both / times, first / times
    (difference,) = compare_paired(both, [first], seed=seed)
    return RerankResult(
        reranking.name,
        reranking.depth,
        cc(round(curve(fusion).stable(np.arange(count)), 2), norm=NORM),
        float(first.mean()),
        float(both.mean()),
        difference,
        difference.mean > 0 and difference.p < SIGNIFICANT,
    )


def _weight_curve(bench: Bench, reranking: Reranking, fusion: Fusion) -> Curve:
    """Return the measure of each query as a function of the weight of the reranker."""
    names, taken, fused = _first_stage(bench, fusion)
    cut = cut_pool(taken.scorer.judged.pool, fused, reranking.depth, reranking.scores(names))
    _, table = pool_table(cut.pool, np.arange(2))
    x, y = (cut.spread(row, len(fused)) for row in normalise(table, NORM))
    return alpha_curve(taken.scorer, x, y)


def _score_first(bench: Bench, reranking: Reranking, fusions: Sequence[Fusion]) -> None:
    """Score every pair that is asked for later, so that one bar shows how many there are."""
    wanted: dict[tuple[Callable[..., Any], str], set[int]] = {}
    for fusion in {str(each): each for each in fusions}.values():
        names, taken, fused = _first_stage(bench, fusion)
        pool, score = taken.scorer.judged.pool, reranking.scores(names)
        order, starts = ranked_positions(fused.astype(np.float32), pool.offsets)
        for query_id, start, stop in zip(pool.query_ids, starts, starts[1:], strict=False):
            first = order[start : min(stop, start + reranking.depth)]
            wanted.setdefault((score, query_id), set()).update(pool.doc_nums[first].tolist())
    advance = reranking.progress("reranking", sum(map(len, wanted.values())))
    for (score, query_id), doc_nums in wanted.items():
        score(query_id, sorted(doc_nums))
        advance(len(doc_nums))


def _first_stage(
    bench: Bench, fusion: Fusion
) -> tuple[tuple[str, ...], JudgedCandidates, FloatArray]:
    """Return the branches of a fusion, their candidates, and the score of each."""
    names = fusion.branch_names(bench.branches)
    taken = bench.candidates(names, fusion.depth)
    return names, taken, fuse_table(taken.table, fusion, list(names))
