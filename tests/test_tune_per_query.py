from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hybrid.errors import UsageError
from hybrid.evaluate import judge, measure_scores
from hybrid.evaluate.bench import Bench
from hybrid.fusion import Fusion, fuse
from hybrid.fusion.pool import Pool
from hybrid.tune import Space, TuneOptions, per_query, tune
from hybrid.tune.line import Curve
from hybrid.tune.per_query import learn_per_query
from hybrid.tune.search import Search
from tests.made_pools import planted, pool_of, random_pool, random_qrels

Qrels = dict[str, dict[str, int]]


def search(pool: Pool, qrels: Qrels, folds: int = 5) -> Search:
    options = TuneOptions(trials=0, folds=folds)
    return Search(Bench(judge(pool, qrels), "nDCG@10"), Space(pool.branches), options)


def two_kinds(seed: int, queries: int = 120) -> tuple[Pool, Qrels]:
    """Return a pool where each odd query is seen by one branch alone and says so in a feature."""
    rng = np.random.default_rng(seed)
    relevant = np.zeros((queries, 60), dtype=bool)
    relevant[np.arange(queries), rng.integers(0, 60, queries)] = True
    odd = (np.arange(queries) % 2).astype(float)[:, None]
    sparse = relevant * 3.5 * (1 - odd) + rng.normal(size=relevant.shape)
    dense = relevant * 3.5 * odd + rng.normal(size=relevant.shape)
    pool = pool_of({"sparse": np.maximum(sparse + 4, 0.01), "dense": np.tanh(dense / 5)}, 60)
    qrels = {
        q: {pool.doc_ids[int(np.flatnonzero(relevant[i])[0])]: 1}
        for i, q in enumerate(pool.query_ids)
    }
    return replace(pool, features={"query.odd": odd[:, 0]}), qrels


def test_a_feature_that_tells_is_learned_kept_and_prints_and_parses() -> None:
    pool, qrels = two_kinds(1)
    found = search(pool, qrels)
    result = learn_per_query(found)
    assert result.keep
    assert result.difference["common weight"].mean > 0.05
    parsed = Fusion.parse(str(result.fusion))
    assert parsed == result.fusion
    assert "query.odd" in {slope.feature for slope in parsed.slopes}
    judged = judge(pool, qrels)
    learned = measure_scores(judged, fuse(pool, parsed), "nDCG@10")
    common = Fusion("cc", (), parsed.alpha, None, parsed.norm)
    assert learned.mean() > measure_scores(judged, fuse(pool, common), "nDCG@10").mean() + 0.05
    assert json.loads(json.dumps(result.to_dict()))["keep"] is True


def test_tune_uses_it_only_where_it_wins_held_out() -> None:
    options = TuneOptions(trials=0, repeats=1, curve=False, per_query=True)
    pool, qrels = two_kinds(2)
    result = tune(pool, qrels, options)
    assert (result.verdict, result.fusion.method) == ("fusion", "learned")
    assert result.because.startswith("Use a weight for each query")
    plain, judgments = planted(3)
    other = tune(plain, judgments, options)
    assert other.per_query is not None
    assert not other.per_query.keep
    assert other.fusion.method != "learned"
    assert "not kept" in other.lines()[-1]


def test_features_that_tell_nothing_are_not_kept() -> None:
    kept = 0
    for seed in range(20):
        pool, qrels = planted(seed, queries=40, documents=60, depth=40)
        noise = np.random.default_rng(seed).normal(size=(4, 40))
        noisy = replace(pool, features={f"query.{i}": row for i, row in enumerate(noise)})
        kept += learn_per_query(search(noisy, qrels)).keep
    assert kept <= 2


def test_of_three_branches_the_best_two_are_taken() -> None:
    pool = random_pool(1, queries=12, names=("bm25", "sparse", "dense"))
    result = learn_per_query(search(pool, random_qrels(pool, 1)))
    assert len(result.fusion.branches or ()) == 2


def test_a_fold_chooses_its_line_without_the_queries_that_it_is_measured_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen_on: list[set[int]] = []
    measured_on: list[set[int]] = []
    best, at = Curve.best, per_query._at

    def seen(self: Curve, chosen: np.ndarray | None = None) -> tuple[float, float]:
        chosen_on.append(set(range(len(self.starts)) if chosen is None else chosen.tolist()))
        return best(self, chosen)

    def measured(curve: Curve, queries: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        measured_on.append(set(queries.tolist()))
        return at(curve, queries, alphas)

    monkeypatch.setattr(Curve, "best", seen)
    monkeypatch.setattr(per_query, "_at", measured)
    pool = random_pool(1, queries=12, names=("bm25", "sparse", "dense"))
    found = search(pool, random_qrels(pool, 1), folds=3)
    learn_per_query(found)
    everything = set(range(len(found.bench.judged)))
    held_out = [part for part in measured_on if len(part) <= len(everything) / 2]
    assert len(held_out) == 6
    trained = [everything - part for part in held_out[::2]]
    parts = [part for i, part in enumerate(chosen_on) if not i or part != chosen_on[i - 1]]
    assert parts == [*trained, everything]


def test_what_is_refused() -> None:
    pool, qrels = two_kinds(2, queries=20)
    with pytest.raises(UsageError, match=r"reference values \(3,\)"):
        learn_per_query(search(pool, qrels), np.zeros(3))
    one = random_pool(1, names=("dense",))
    with pytest.raises(UsageError, match="1 branches"):
        learn_per_query(search(one, random_qrels(one)))
