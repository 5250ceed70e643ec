"""Time tuning, measuring and fusing beside ranx and pytrec_eval, over made data; one core.

    python benchmarks/tuning.py --json tuning.json

Every figure is the least of several repetitions, after one that compiles. ``cpu_s`` is the
processor time of the process, which other work on the machine does not inflate; ``wall_s`` is what
a clock says. Set OMP_NUM_THREADS=1 and NUMBA_NUM_THREADS=1 to hold all libraries to one core.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ranked_lists.fuse import fuse_lists
from ranked_lists.score import ListScorer

from hybrid.evaluate import judge, measure_scores
from hybrid.fusion import Fusion, fuse
from hybrid.fusion.pool import BranchHits, build_pool
from hybrid.tune import TuneOptions, tune

FOLDS = 5
TRIALS = 1000


def timed(work: Callable[[], Any], repeats: int) -> tuple[dict[str, float], Any]:
    """Return the least processor and clock time of ``work``, and its last result."""
    result = work()
    cpu, wall = [], []
    for _ in range(repeats):
        start, clock = time.process_time(), time.perf_counter()
        result = work()
        cpu.append(time.process_time() - start)
        wall.append(time.perf_counter() - clock)
    return {"cpu_s": min(cpu), "wall_s": min(wall)}, result


def made_pool(queries: int, documents: int, seed: int) -> tuple[Any, dict[str, dict[str, int]]]:
    """Return a pool of every document for two branches that see relevance through noise."""
    rng = np.random.default_rng(seed)
    relevant = rng.random((queries, documents)) < 2 / documents
    relevant[:, 0] = True
    names = [f"d{documents - 1 - i:04d}" for i in range(documents)]
    scores = {
        "sparse": np.maximum(relevant * 2 + rng.normal(size=relevant.shape) + 3, 0.01),
        "dense": np.tanh((relevant * 2.5 + rng.normal(size=relevant.shape)) / 4),
    }
    hits = {}
    for name, matrix in scores.items():
        values = matrix.astype(np.float32)
        order = np.argsort(-values, axis=1, kind="stable").astype(np.int32)
        hits[name] = BranchHits(order, np.take_along_axis(values, order, axis=1))

    def scorer(matrix: np.ndarray) -> Any:
        return lambda nums: np.take_along_axis(matrix.astype(np.float32), nums, axis=1)

    pool = build_pool(
        [f"q{i}" for i in range(queries)],
        hits,
        {name: scorer(matrix) for name, matrix in scores.items()},
        minimum={"sparse": 0.0, "dense": -1.0},
        depth=documents,
        doc_ids=names,
    )
    qrels = {f"q{i}": {names[j]: 1 for j in np.flatnonzero(relevant[i])} for i in range(queries)}
    return pool, qrels


def made_lists(queries: int, k: int, documents: int, seed: int) -> BranchHits:
    """Return random ranked lists of distinct documents with falling scores."""
    rng = np.random.default_rng(seed)
    nums = np.stack([rng.choice(documents, k, replace=False) for _ in range(queries)])
    scores = -np.sort(-rng.random((queries, k)), axis=1)
    return BranchHits(nums.astype(np.int32), scores.astype(np.float32))


def as_strings(hits: BranchHits) -> dict[str, dict[str, float]]:
    """Return lists of numbers as the nested dict that the peers take."""
    return {
        f"q{i}": {f"d{d:06d}": float(s) for d, s in zip(nums, scores, strict=True)}
        for i, (nums, scores) in enumerate(
            zip(hits.doc_nums.tolist(), hits.scores.tolist(), strict=True)
        )
    }


def tuning(repeats: int) -> dict[str, Any]:
    """Return the time of 1,000 Optuna trials over five folds and the final search."""
    pool, qrels = made_pool(300, 200, 0)
    options = TuneOptions(trials=TRIALS // FOLDS, folds=FOLDS, repeats=1, curve=False)
    whole, result = timed(lambda: tune(pool, qrels, options), repeats)
    lines = TuneOptions(trials=0, folds=FOLDS, repeats=1, curve=False)
    exact, alone = timed(lambda: tune(pool, qrels, plan=lines), repeats)
    judged = judge(pool, qrels)
    one, _ = timed(
        lambda: measure_scores(judged, fuse(judged.pool, Fusion.parse("cc(alpha=0.3)")), "nDCG@10"),
        repeats,
    )
    return {
        "what": f"{TRIALS} trials over {FOLDS} folds and {TRIALS // FOLDS} for the final search; "
        "300 queries x 200 candidates x 2 branches",
        "tune": whole,
        "tune_exact_lines_only": exact,
        "one_fusion_fused_and_measured": one,
        "fusion": str(result.tuned),
        "fusion_exact_lines_only": str(alone.tuned),
    }


def measuring(repeats: int) -> dict[str, Any]:
    """Return the time of nDCG@10 of a run of 1,000 queries and 1,000 hits, ours and the peers'."""
    import pytrec_eval
    from ranx import Qrels, Run, evaluate

    hits = made_lists(1000, 1000, 100_000, 1)
    rng = np.random.default_rng(2)
    qrels = {
        f"q{i}": {
            f"d{d:06d}": int(g)
            for d, g in zip(
                rng.choice(nums[:50], 5, replace=False), rng.integers(1, 4, 5), strict=True
            )
        }
        for i, nums in enumerate(hits.doc_nums)
    }
    run = as_strings(hits)
    numbers = {f"d{d:06d}": d for d in range(100_000)}
    scorer = ListScorer(qrels, list(run), numbers, "nDCG@10")
    ours, values = timed(lambda: scorer(hits.doc_nums), repeats * 5)
    loaded = Run(run), Qrels(qrels)
    theirs, _ = timed(
        lambda: evaluate(loaded[1], loaded[0], "ndcg@10", save_results_in_run=True), repeats
    )
    oracle = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10"})
    trec, by_trec = timed(lambda: oracle.evaluate(run), repeats)
    by_ranx = np.array([loaded[0].scores["ndcg@10"][query] for query in run])
    expected = np.array([by_trec[query]["ndcg_cut_10"] for query in run])
    return {
        "what": "nDCG@10, 1,000 queries x 1,000 hits, ids already numbers (ours) or loaded (peers)",
        "hybrid": ours,
        "ranx": theirs,
        "pytrec_eval": trec,
        "ranx_over_hybrid": theirs["cpu_s"] / ours["cpu_s"],
        "pytrec_eval_over_hybrid": trec["cpu_s"] / ours["cpu_s"],
        "greatest_difference_to_pytrec_eval": float(np.abs(values - expected).max()),
        "greatest_difference_to_ranx": float(np.abs(values - by_ranx).max()),
    }


def fusing(repeats: int) -> dict[str, Any]:
    """Return the time of fusing two runs of 1,000 hits for 1,000 queries, ours and ranx's."""
    from ranx import Run
    from ranx import fuse as ranx_fuse

    a, b = made_lists(1000, 1000, 3000, 3), made_lists(1000, 1000, 3000, 4)
    fusion = Fusion.parse("cc(alpha=0.3, norm=minmax)")
    ours, fused = timed(lambda: fuse_lists({"a": a, "b": b}, fusion, 1000), repeats)
    runs = [Run(as_strings(a)), Run(as_strings(b))]
    theirs, by_ranx = timed(
        lambda: ranx_fuse(runs=runs, norm="min-max", method="wsum", params={"weights": (0.7, 0.3)}),
        max(1, repeats // 3),
    )
    worst = 0.0
    for i in range(0, 1000, 50):
        expected = dict(by_ranx.run[f"q{i}"])
        for d, s in zip(fused.doc_nums[i].tolist(), fused.scores[i].tolist(), strict=True):
            worst = max(worst, abs(expected[f"d{d:06d}"] - s))
    return {
        "what": "two runs of 1,000 hits for 1,000 queries, min-max and a weighted sum",
        "hybrid": ours,
        "ranx": theirs,
        "ranx_over_hybrid": theirs["cpu_s"] / ours["cpu_s"],
        "greatest_difference_of_scores": worst,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["tuning", "measuring", "fusing"])
    arguments = parser.parse_args()
    parts = {"tuning": tuning, "measuring": measuring, "fusing": fusing}
    figures: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine()}
    for name, part in parts.items():
        if arguments.only in (None, name):
            figures[name] = part(arguments.repeats)
            print(json.dumps({name: figures[name]}, indent=2), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
