from __future__ import annotations

import json

import numpy as np
import pytest

from hybrid.errors import UsageError
from hybrid.evaluate import evaluate, judge
from hybrid.evaluate.bench import Bench
from hybrid.fusion import Fusion, fuse, rank
from hybrid.tune import Space, TuneOptions, tune
from hybrid.tune.domains import Domain, pooled_fusion, tune_domains
from hybrid.tune.prior import learn_prior, shrunk_choice
from hybrid.tune.search import Search
from hybrid.tune.space import DEFAULT
from tests.made_pools import planted, random_pool, random_qrels

QUICK = TuneOptions(trials=0, repeats=1, curve=False)


def search(seed: int, **truth: float) -> Search:
    pool, qrels = planted(seed, **{"queries": 60, "documents": 80, "depth": 40, **truth})
    return Search(Bench(judge(pool, qrels), "nDCG@10"), Space(pool.branches), TuneOptions(trials=0))


def test_transfer_matrix_holds_what_its_rows_and_columns_say() -> None:
    leaning = {"words": (3.0, 1.0), "meaning": (1.0, 3.0), "both": (2.0, 2.0)}
    domains = [
        Domain(name, *planted(i, queries=50, sparse=s, dense=d))
        for i, (name, (s, d)) in enumerate(leaning.items())
    ]
    found = tune_domains(domains, QUICK)
    assert found.rows == ("words", "meaning", "both", "pooled", "default")
    assert found.columns == ("words", "meaning", "both")
    for row, name in enumerate(found.columns):
        assert found.transfer[row, row] == found.results[name].held_out
        for column, domain in enumerate(domains):
            if row != column:
                fused = fuse(domain.pool, found.results[name].tuned)
                run = rank(domain.pool, fused, 1000)
                value = evaluate(run, domain.qrels)["nDCG@10"]
                assert found.transfer[row, column] == pytest.approx(value, abs=1e-6)
    # Tuned where words matter, it loses where meaning does, and the other way round.
    assert found.transfer[0, 0] > found.transfer[1, 0] + 0.05
    assert found.transfer[1, 1] > found.transfer[0, 1] + 0.05
    assert found.transfer[3, 1] > found.transfer[0, 1]
    text = json.dumps(found.to_dict())
    assert Fusion.parse(json.loads(text)["pooled"]) == found.pooled


def test_the_pooled_fusion_is_the_best_on_the_mean_over_domains() -> None:
    searches = [search(1, sparse=3, dense=1), search(2, sparse=1, dense=3)]
    pooled = pooled_fusion(searches)

    def macro(fusion: Fusion) -> float:
        return float(np.mean([s.bench.values(fusion).mean() for s in searches]))

    for text in ("sparse", "dense", "rrf", "cc(norm=minmax)", "cc(alpha=0.3)", "cc(alpha=0.7)"):
        assert macro(pooled) >= macro(Fusion.parse(text)) - 1e-9


def test_a_prior_from_other_domains_helps_when_labels_are_few() -> None:
    truth = {"sparse": 1.2, "dense": 3.0}
    prior = learn_prior([search(seed, **truth) for seed in (11, 12, 13)])
    target = search(14, queries=200, **truth)
    rng = np.random.default_rng(0)
    plain, shrunk, default = [], [], []
    for _ in range(25):
        order = rng.permutation(200)
        few, rest = np.sort(order[:10]), order[10:]
        plain.append(target.bench.values(target.choose(few).fusion)[rest].mean())
        shrunk.append(target.bench.values(shrunk_choice(target, few, prior))[rest].mean())
        default.append(target.bench.values(DEFAULT)[rest].mean())
    assert np.mean(shrunk) > np.mean(plain)
    assert np.mean(shrunk) > np.mean(default)
    assert 5 <= prior.strength <= 500
    assert prior.domains == 3


def test_many_labels_outweigh_a_wrong_prior() -> None:
    wrong = learn_prior([search(21, sparse=3, dense=0.5)], strength=20)
    target = search(22, queries=300, sparse=0.5, dense=3)
    few = shrunk_choice(target, np.arange(2), wrong)
    many = shrunk_choice(target, np.arange(300), wrong)
    assert (few.alpha or 0) < 0.5 < (many.alpha or 0)
    values = target.bench.values
    assert values(many).mean() == pytest.approx(
        values(target.choose(np.arange(300)).best).mean(), abs=0.01
    )


def test_tune_takes_a_prior_and_says_so() -> None:
    pool, qrels = planted(31, queries=24)
    prior = learn_prior([search(32), search(33)])
    result = tune(pool, qrels, QUICK, prior=prior)
    assert result.settings["prior"] == {"domains": 2, "strength": prior.strength}
    assert result.tuned.alpha is not None


def test_three_branches_are_pooled_too() -> None:
    pools = [random_pool(seed, names=("bm25", "sparse", "dense")) for seed in (1, 2)]
    domains = [Domain(f"d{i}", p, random_qrels(p, i, 9)) for i, p in enumerate(pools)]
    assert tune_domains(domains, QUICK).transfer.shape == (4, 2)


def test_what_is_refused() -> None:
    pool, qrels = planted(1, queries=8)
    with pytest.raises(UsageError, match="give two or more, each once"):
        tune_domains([Domain("a", pool, qrels)], QUICK)
    for name, said in (("pooled", "names the pooled fusion"), ("default", "the untuned fusion")):
        with pytest.raises(UsageError, match=said):
            tune_domains([Domain("a", pool, qrels), Domain(name, pool, qrels)], QUICK)
    other = random_pool(1, names=("dense", "bm25"))
    with pytest.raises(UsageError, match="have other branches"):
        tune_domains([Domain("a", pool, qrels), Domain("b", other, random_qrels(other))])
    with pytest.raises(UsageError, match="give two or more, or one and a strength"):
        learn_prior([search(1)])
    bench = Bench(judge(other, random_qrels(other)), "nDCG@10")
    another = Search(bench, Space(other.branches), TuneOptions(trials=0))
    with pytest.raises(UsageError, match="have other branches"):
        learn_prior([search(1), another])
