from __future__ import annotations

import json

import numpy as np
import pytest

from hybrid.errors import UsageError
from hybrid.evaluate import evaluate, judge
from hybrid.fusion import Fusion, cc, fuse, rank, rrf, single
from hybrid.tune import Plan, Space, tune
from hybrid.tune.bench import Bench
from hybrid.tune.optuna_search import optimise
from hybrid.tune.search import Search
from hybrid.tune.space import DEFAULT, complexity
from tests.made_pools import planted, random_pool, random_qrels

QUICK = Plan(trials=0, repeats=1, curve=False)


def test_a_planted_gain_is_found_and_the_object_has_the_promised_keys() -> None:
    pool, qrels = planted(1, queries=120)
    result = tune(pool, qrels, plan=QUICK)
    assert result.verdict == "fusion"
    assert result.fusion == result.tuned
    found = json.loads(json.dumps(result.to_dict()))
    assert {"fusion", "verdict", "in_sample", "held_out", "difference", "label_budget"} <= set(
        found
    )
    for name in ("branch", "rrf", "minmax"):
        assert {"low", "high", "p"} <= set(found["difference"][name])
    assert Fusion.parse(found["fusion"]) == result.fusion
    assert found["difference"]["branch"]["low"] > 0
    assert result.lines()[0].startswith("Use cc(alpha=0.")


def test_in_sample_is_the_measure_of_the_ranked_run() -> None:
    pool, qrels = planted(2)
    result = tune(pool, qrels, plan=QUICK)
    run = rank(pool, fuse(pool, result.tuned), 1000)
    assert result.in_sample == pytest.approx(evaluate(run, qrels)["nDCG@10"], abs=1e-6)
    for fusion, mean in result.baselines.values():
        run = rank(pool, fuse(pool, fusion), 1000)
        assert mean == pytest.approx(evaluate(run, qrels)["nDCG@10"], abs=1e-6)


def test_noise_in_one_branch_says_use_the_other_alone() -> None:
    pool, qrels = planted(3, queries=60, dense=0.0)
    result = tune(pool, qrels, plan=QUICK)
    assert (result.verdict, str(result.fusion)) == ("branch", "sparse")


def test_copies_cannot_be_fused_to_advantage() -> None:
    pool, qrels = planted(4, copies=True)
    result = tune(pool, qrels, plan=QUICK)
    assert result.verdict == "branch"
    assert result.difference["minmax"].p == 1
    assert result.label_budget.needed is None


def test_same_seed_same_bytes_and_trials_count() -> None:
    pool, qrels = planted(5, queries=30)
    plan = Plan(trials=15, repeats=1)
    first, again = (tune(pool, qrels, plan=plan, seed=3).to_dict() for _ in range(2))
    assert json.dumps(first) == json.dumps(again)
    assert first["settings"]["trials"] == 15
    assert first["settings"]["seed"] == 3
    assert [point["queries"] for point in first["label_budget"]["curve"]] == [10]


def test_three_branches_and_one_branch() -> None:
    three = random_pool(6, queries=12, names=("bm25", "sparse", "dense"))
    result = tune(three, random_qrels(three, 6), plan=Plan(trials=10, repeats=1, curve=False))
    assert result.fusion.branch_names(three.branches)
    one = random_pool(6, names=("dense",))
    alone = tune(one, random_qrels(one, 6), plan=QUICK)
    assert (alone.verdict, str(alone.fusion)) == ("branch", "dense")
    assert list(alone.difference) == ["branch"]


@pytest.mark.parametrize(
    "text",
    ["cc(alpha=0.3, norm=tmm)", "rrf(k=9)", "rrf(k=9, alpha=0.3)", "combmnz", "sparse", "borda"],
)
def test_the_bench_gives_the_measure_of_the_run_whatever_the_pool_holds(text: str) -> None:
    pool = random_pool(7, names=("bm25", "sparse", "dense"))
    qrels = random_qrels(pool, 7)
    fusion = Fusion.parse(text)
    if fusion.method != "single":
        fusion = Fusion(
            fusion.method, fusion.parameters, fusion.alpha, None, fusion.norm, ("sparse", "dense")
        )
    expected = evaluate(rank(pool, fuse(pool, fusion), 1000), qrels).per_query("nDCG@10")
    values = Bench(judge(pool, qrels), "nDCG@10").values(fusion)
    assert values == pytest.approx(expected, abs=1e-6)


def test_the_choice_is_the_simplest_within_one_standard_error() -> None:
    pool, qrels = planted(8, queries=200)
    bench = Bench(judge(pool, qrels), "nDCG@10")
    search = Search(bench, Space(pool.branches), trials=0)
    everything = np.arange(200)
    choice = search.choose(everything)
    gap = bench.values(choice.best) - bench.values(choice.fusion)
    assert gap.mean() <= gap.std(ddof=1) / np.sqrt(200)
    simpler = list(Space(pool.branches).baselines().values())
    for fusion in simpler:
        if complexity(fusion) < complexity(choice.fusion):
            gap = bench.values(choice.best) - bench.values(fusion)
            assert gap.mean() > gap.std(ddof=1) / np.sqrt(200)


def test_optuna_finds_a_known_optimum_and_tries_what_is_enqueued() -> None:
    space = Space(("sparse", "dense"), methods=("cc",), norms=("tmm",))
    tried: list[str] = []

    def objective(fusion: Fusion) -> float:
        tried.append(str(fusion))
        return -abs((fusion.alpha or 0) - 0.83)

    best = optimise(space, objective, enqueue=[cc(0.1), cc(0.5)], trials=60, seed=0)
    assert best.alpha == pytest.approx(0.83, abs=0.02)
    assert tried[:2] == ["cc(alpha=0.1, norm=tmm)", "cc(alpha=0.5, norm=tmm)"]


def test_enqueued_parameters_give_the_fusion_back() -> None:
    class Fixed:
        def __init__(self, values: dict) -> None:
            self.values = values

        def suggest_categorical(self, name: str, choices: list) -> str:
            assert self.values[name] in choices
            return self.values[name]

        def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
            assert low <= self.values[name] <= high
            return self.values[name]

    space = Space(("bm25", "sparse", "dense"))
    for fusion in (
        cc(0.3, norm="minmax", branches=("bm25", "dense")),
        cc(weights={"bm25": 0.2, "sparse": 0.3, "dense": 0.5}),
        rrf(20, weights={"bm25": 0.5, "sparse": 0.25, "dense": 0.25}),
    ):
        assert space.suggest(Fixed(space.parameters(fusion))) == fusion


def test_what_is_refused() -> None:
    pool, qrels = planted(9, queries=3)
    with pytest.raises(UsageError, match="3 judged queries are too few"):
        tune(pool, qrels)
    pool, qrels = planted(9, queries=5)
    with pytest.raises(UsageError, match="cannot be tuned"):
        tune(pool, qrels, "ERR@10")
    with pytest.raises(UsageError, match="method 'combsum' cannot be searched"):
        Space(pool.branches, methods=("combsum",))
    with pytest.raises(UsageError, match="folds 1"):
        Plan(folds=1)
    with pytest.raises(UsageError, match="sampler 'grid' is unknown; give one of tpe, gp"):
        tune(pool, qrels, plan=Plan(trials=2, sampler="grid"))


def test_complexity_orders_default_branch_untuned_tuned() -> None:
    order = [DEFAULT, single("dense"), rrf(60), cc(0.3), rrf(20, alpha=0.3)]
    assert [complexity(fusion) for fusion in order] == [0, 1, 2, 3, 4]


def test_the_default_is_what_search_uses_untuned() -> None:
    from hybrid.retrieve import default_fusion

    assert default_fusion(("sparse", "dense")) == DEFAULT
