from __future__ import annotations

import json

import numpy as np
import pytest

from hybrid.errors import UsageError
from hybrid.evaluate import judge, measure_scores
from hybrid.fusion import cc, fuse
from hybrid.tune import Space
from hybrid.tune.bench import Bench
from hybrid.tune.per_query import learn_per_query, query_features
from hybrid.tune.search import Search
from tests.made_pools import planted, pool_of, random_pool


def two_kinds(seed: int, queries: int = 120):
    """Return a search where each odd query is seen by one branch alone and says so in a feature."""
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
    extra = {"odd": {q: float(i % 2) for i, q in enumerate(pool.query_ids)}}
    found = Search(Bench(judge(pool, qrels), "nDCG@10"), Space(pool.branches), trials=0)
    return found, query_features(found.bench.judged.pool, extra)


def test_a_feature_that_tells_is_learned_kept_and_applied() -> None:
    search, (names, features) = two_kinds(1)
    result = learn_per_query(search, names, features)
    assert result.keep
    assert result.difference.mean > 0.05
    alphas = result.model.alphas(features)
    assert alphas[1::2].mean() > alphas[::2].mean() + 0.2
    judged = search.bench.judged
    fused = measure_scores(judged, result.model.fuse(judged.pool, features), "nDCG@10")
    common = measure_scores(
        judged, fuse(judged.pool, cc(result.model.centre, norm="minmax")), "nDCG@10"
    )
    assert fused.mean() > common.mean() + 0.05
    assert set(json.loads(json.dumps(result.model.to_dict()))["features"]) == set(names)


def test_features_that_tell_nothing_are_not_kept() -> None:
    kept = 0
    for seed in range(20):
        pool, qrels = planted(seed, queries=40, documents=60, depth=40)
        search = Search(Bench(judge(pool, qrels), "nDCG@10"), Space(pool.branches), trials=0)
        noise = np.random.default_rng(seed).normal(size=(40, 4))
        kept += learn_per_query(search, ("a", "b", "c", "d"), noise).keep
    assert kept <= 2


def test_features_by_hand() -> None:
    # Ten documents with equal scores beside a first one twice as high, and one shared list.
    scores = np.array([[2.0, *[1.0] * 9, 0.5]])
    pool = pool_of({"sparse": scores, "dense": scores[:, ::-1] - 1.5}, depth=10)
    names, features = query_features(pool, {"length": {"q0": 5}})
    found = dict(zip(names, features[0], strict=True))
    assert found["sparse gap"] == pytest.approx(0.5)
    assert found["length"] == 5
    assert found["sparse and dense overlap"] == pytest.approx(9 / 10)
    empty = pool_of({"sparse": np.zeros((2, 3)), "dense": np.zeros((2, 3))}, depth=0)
    assert not query_features(empty)[1].any()


def test_what_is_refused() -> None:
    search, (names, features) = two_kinds(2, queries=20)
    with pytest.raises(UsageError, match=r"expected 2\s+branches"):
        learn_per_query(search, names, features[:3])
    with pytest.raises(UsageError, match="'odd' has no value for query 'q0'"):
        query_features(random_pool(1), {"odd": {}})
