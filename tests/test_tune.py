from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybrid.errors import UsageError
from hybrid.evaluate import evaluate, judge
from hybrid.evaluate.bench import Bench
from hybrid.fusion import Fusion, cc, fuse, parse_fusion, rank, rrf, single
from hybrid.fusion.pool import Pool
from hybrid.tune import Space, TuneOptions, tune
from hybrid.tune.optuna_search import GAIN, PATIENCE, run_study
from hybrid.tune.search import Choice, Search
from hybrid.tune.space import DEFAULT, complexity
from hybrid.tune.verdict import Baseline, decide
from tests.made_pools import planted, pool_of, random_pool, random_qrels

Qrels = dict[str, dict[str, int]]
QUICK = TuneOptions(trials=0, repeats=1, curve=False)


def test_a_planted_gain_is_found_and_the_object_has_the_promised_keys() -> None:
    pool, qrels = planted(1, queries=120)
    result = tune(pool, qrels, QUICK)
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
    result = tune(pool, qrels, QUICK)
    run = rank(pool, fuse(pool, result.tuned), 1000)
    assert result.in_sample == pytest.approx(evaluate(run, qrels)["nDCG@10"], abs=1e-6)
    for fusion, mean in result.baselines.values():
        run = rank(pool, fuse(pool, fusion), 1000)
        assert mean == pytest.approx(evaluate(run, qrels)["nDCG@10"], abs=1e-6)


def test_noise_in_one_branch_says_use_the_other_alone() -> None:
    pool, qrels = planted(3, queries=60, dense=0.0)
    result = tune(pool, qrels, QUICK)
    assert (result.verdict, str(result.fusion)) == ("branch", "sparse")


def test_copies_cannot_be_fused_to_advantage() -> None:
    pool, qrels = planted(4, copies=True)
    result = tune(pool, qrels, QUICK)
    assert result.verdict == "branch"
    assert result.difference["minmax"].p == 1
    assert result.label_budget.needed is None


def test_same_seed_same_bytes_and_trials_count() -> None:
    pool, qrels = planted(5, queries=30)
    options = TuneOptions(trials=15, repeats=1, seed=3)
    first, again = (tune(pool, qrels, options).to_dict() for _ in range(2))
    assert json.dumps(first) == json.dumps(again)
    assert first["settings"]["trials"] == 15
    assert first["settings"]["seed"] == 3
    assert [point["queries"] for point in first["label_budget"]["curve"]] == [10]


def test_three_branches_and_one_branch() -> None:
    three = random_pool(6, queries=12, names=("bm25", "sparse", "dense"))
    result = tune(three, random_qrels(three, 6), TuneOptions(trials=10, repeats=1, curve=False))
    assert result.fusion.branch_names(three.branches)
    one = random_pool(6, names=("dense",))
    alone = tune(one, random_qrels(one, 6), QUICK)
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
    search = Search(bench, Space(pool.branches), TuneOptions(trials=0))
    everything = np.arange(200)
    choice = search.choose(everything)
    gap = bench.values(choice.best) - bench.values(choice.fusion)
    assert gap.mean() <= gap.std(ddof=1) / np.sqrt(200)
    simpler = list(Space(pool.branches).baselines().values())
    for fusion in simpler:
        if complexity(fusion) < complexity(choice.fusion):
            gap = bench.values(choice.best) - bench.values(fusion)
            assert gap.mean() > gap.std(ddof=1) / np.sqrt(200)


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_optuna_finds_a_known_optimum_and_tries_the_known_first(sampler: str) -> None:
    space = Space(("sparse", "dense"), methods=("cc",), norms=("tmm",))
    tried: list[str] = []

    def values(fusion: Fusion) -> np.ndarray:
        tried.append(str(fusion))
        return np.array([-abs((fusion.alpha or 0) - 0.83)])

    found = run_study(
        space,
        values,
        TuneOptions(sampler=sampler, trials=60 if sampler == "tpe" else 16),
        known=[cc(0.1), cc(0.5)],
    )
    assert found.best.alpha == pytest.approx(0.83, abs=0.03)
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

    space = Space(("bm25", "sparse", "dense"), depths=(10,))
    for fusion in (
        cc(0.3, norm="tmm", branches=("bm25", "dense"), depth=10),
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
        tune(pool, qrels, TuneOptions(measure="ERR@10"))
    with pytest.raises(UsageError, match="method 'combsum' cannot be searched"):
        Space(pool.branches, methods=("combsum",))
    with pytest.raises(UsageError, match="folds 1"):
        TuneOptions(folds=1)
    with pytest.raises(UsageError, match="sampler 'grid' is unknown; give one of tpe, gp"):
        TuneOptions(trials=2, sampler="grid")
    with pytest.raises(UsageError, match="jobs 0 were given"):
        TuneOptions(jobs=0)
    with pytest.raises(UsageError, match=r"timeout is 0 seconds; give more than 0"):
        TuneOptions(timeout=0)
    with pytest.raises(UsageError, match=r"no known suffix; give \.db, \.sqlite"):
        TuneOptions(storage=Path("trials.txt"))
    with pytest.raises(UsageError, match="a folder that does not exist"):
        TuneOptions(storage=Path("/no/such/folder/trials.db"))


def test_complexity_orders_default_branch_untuned_tuned() -> None:
    order = [DEFAULT, single("dense"), rrf(60), cc(0.3), rrf(20, alpha=0.3)]
    assert [complexity(fusion) for fusion in order] == [0, 1, 2, 3, 4]


def test_the_default_is_what_search_uses_untuned() -> None:
    from hybrid.search.plan import default_fusion

    assert default_fusion(("sparse", "dense")) == DEFAULT


def test_depth_is_chosen_where_it_matters_and_is_what_a_shallow_pool_gives() -> None:
    # One branch puts the relevant document first, the other last; 30 documents are fair in both,
    # but 50 others are better in each branch.
    queries, documents = 40, 131
    order = np.random.default_rng(0).permuted(np.tile(np.arange(documents), (queries, 1)), axis=1)
    sparse, dense = np.zeros((2, queries, documents))
    rows = np.arange(queries)[:, None]
    sparse[rows, order[:, 1:51]], dense[rows, order[:, 51:101]] = 0.8, 0.8
    sparse[rows, order[:, 101:]], dense[rows, order[:, 101:]] = 0.7, 0.7
    even = np.arange(queries) % 2 == 0
    sparse[even, order[even, 0]], dense[~even, order[~even, 0]] = 1.0, 1.0
    matrices = {"sparse": sparse + 0.01, "dense": dense}
    deep = pool_of(matrices, documents)
    qrels = {q: {deep.doc_ids[int(order[i, 0])]: 1} for i, q in enumerate(deep.query_ids)}
    space = Space(deep.branches, methods=("cc",), norms=("none",), depths=(50,))
    result = tune(deep, qrels, TuneOptions(trials=20, repeats=1, curve=False), space=space)
    assert result.best.depth == 50
    shallow = pool_of(matrices, 50)
    fused = fuse(shallow, cc(result.best.alpha, norm="none"))
    expected = evaluate(rank(shallow, fused, 131), qrels)
    bench = Bench(judge(deep, qrels), "nDCG@10")
    assert bench.values(result.best).mean() == pytest.approx(expected["nDCG@10"], abs=1e-6)
    assert Space.of(deep).depths == (50,)


def test_without_a_least_score_tmm_is_neither_tried_nor_proposed() -> None:
    pool, qrels = planted(10, queries=24)
    free = replace(pool, minimum=np.array([0, -np.inf], dtype=np.float32))
    result = tune(free, qrels, TuneOptions(trials=20, repeats=1, curve=False))
    assert result.fusion.norm != "tmm"
    assert "tmm" not in Space.of(free).norms


@pytest.mark.slow
def test_jobs_change_nothing(tmp_path: Path) -> None:
    pool, qrels = planted(11, queries=20)
    options = TuneOptions(trials=10, folds=2, repeats=1, curve=False)
    steps: list[int] = []
    alone = tune(pool, qrels, options).to_dict()
    beside = tune(pool, qrels, replace(options, jobs=2), progress=steps.append).to_dict()
    assert json.dumps(alone) == json.dumps(beside)
    assert sum(steps) == options.steps == 30


@pytest.mark.parametrize("suffix", [".db", ".journal"])
def test_a_tuning_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    pool, qrels = planted(12, queries=20)
    options = TuneOptions(
        trials=14, folds=2, repeats=1, curve=False, storage=tmp_path / f"kept{suffix}"
    )
    whole = tune(pool, qrels, replace(options, storage=None))
    seen = 0

    def stop(steps: int) -> None:
        nonlocal seen
        seen += steps
        if seen == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(pool, qrels, options, progress=stop)
    steps: list[int] = []
    again = tune(pool, qrels, options, progress=steps.append)
    assert json.dumps(again.to_dict()) == json.dumps(whole.to_dict())
    # What the first run finished is told at once, and only the rest is tried.
    assert steps[:1] == [14]
    assert 11 in steps
    assert sum(steps) == options.steps


def test_other_data_in_the_same_storage_is_another_study(tmp_path: Path) -> None:
    storage = tmp_path / "kept.journal"
    options = TuneOptions(trials=8, folds=2, repeats=1, curve=False, storage=storage)
    first = planted(13, queries=20)
    tune(*first, options)
    other = planted(14, queries=20)
    kept = tune(*other, options).to_dict()
    assert kept == tune(*other, replace(options, storage=None)).to_dict()


def test_a_file_that_is_no_storage_is_refused(tmp_path: Path) -> None:
    storage = tmp_path / "notes.db"
    storage.write_text("these are my notes, not a database, and they are long enough\n" * 40)
    pool, qrels = planted(15, queries=12)
    with pytest.raises(UsageError, match=r"notes.db cannot be read as a storage of trials"):
        tune(pool, qrels, TuneOptions(trials=8, folds=2, repeats=1, storage=storage))
    assert storage.read_text().startswith("these are my notes")


def test_time_that_is_up_leaves_the_known_fusions_and_the_exact_lines() -> None:
    pool, qrels = planted(16, queries=24)
    options = TuneOptions(trials=100_000, folds=2, repeats=1, curve=False, timeout=1e-6)
    result = tune(pool, qrels, options)
    assert result.settings["timeout"] == 1e-6
    assert result.held_out > 0


def test_what_mattered_among_the_trials_is_reported() -> None:
    pool, qrels = planted(17, queries=60, sparse=1.0)
    result = tune(pool, qrels, TuneOptions(trials=40, folds=2, repeats=1, curve=False))
    assert set(result.importance) <= {"method", "norm", "alpha", "k", "depth"}
    assert sum(result.importance.values()) == pytest.approx(1.0)
    assert any(line.startswith("what mattered among the trials:") for line in result.lines())


def harmed(seed: int, *, noise: float = 0.0, queries: int = 120) -> tuple[Pool, Qrels]:
    """Return a planted pool with a third branch, "noise", which sees relevance so far ahead."""
    rng = np.random.default_rng(seed)
    relevant = rng.random((queries, 120)) < 2 / 120
    relevant[np.arange(queries), rng.integers(0, 120, queries)] = True
    matrices = {
        name: np.maximum(relevant * ahead + rng.normal(size=relevant.shape) + 3, 0)
        for name, ahead in (("bm25", 2.5), ("noise", noise), ("dense", 2.5))
    }
    pool = pool_of(matrices, 60)
    qrels = {
        f"q{i}": {pool.doc_ids[int(j)]: 1 for j in np.flatnonzero(relevant[i])}
        for i in range(queries)
    }
    return pool, qrels


def test_a_branch_that_costs_is_left_out_and_the_verdict_says_what_it_costs() -> None:
    pool, qrels = harmed(7)
    result = tune(pool, qrels, QUICK)
    assert (result.verdict, str(result.fusion)) == (
        "subset",
        "cc(norm=minmax, branches=(bm25, dense))",
    )
    bench = Bench(judge(pool, qrels), "nDCG@10")
    cost = bench.values(result.fusion).mean() - bench.values(DEFAULT).mean()
    assert cost > 0.1
    said = result.lines()[0]
    assert said.startswith("Leave noise out, use cc(norm=minmax, branches=(bm25, dense)) (in the")
    assert f"noise costs {cost:.4f} [" in said
    assert "for the best of 3 sets" in said
    assert result.baselines["subset"] == (result.fusion, bench.values(result.fusion).mean())
    assert result.to_dict()["difference"]["subset"]["mean"] == pytest.approx(
        result.held_out - result.baselines["subset"][1]
    )


def test_a_verdict_names_no_baseline_that_it_did_not_beat() -> None:
    """Leaving a branch out has the best mean, by less than one standard error."""
    held_out, minmax, subset = (
        np.full(100, 0.53),
        np.full(100, 0.5),
        np.repeat([1.0, 0.0], [54, 46]),
    )
    names = ("bm25", "noise", "dense")
    fewer = parse_fusion("cc(norm=minmax, branches=(bm25, dense))")
    baselines = {
        "branch": Baseline("bm25", single("bm25"), minmax - 0.1),
        "minmax": Baseline("minmax", DEFAULT, minmax),
        "subset": Baseline("bm25 dense", fewer, subset, names, best_of=3),
    }
    tuned = cc(0.7)
    judgment = decide(Choice(tuned, tuned, 9), held_out, baselines, seed=0)
    assert (judgment.verdict, judgment.reference) == ("fusion", "minmax")
    assert judgment.difference["subset"].mean < 0 < judgment.difference["minmax"].mean
    better = f"is ahead of {DEFAULT}, the better of the default and the best branch, by +0.03"
    assert better in judgment.because


def test_a_branch_that_helps_stays_and_two_branches_have_no_subset() -> None:
    pool, qrels = harmed(8, noise=2.5)
    result = tune(pool, qrels, QUICK)
    assert result.verdict in ("default", "fusion")
    assert len(result.fusion.branch_names(pool.branches)) == 3
    two, judgments = planted(8)
    assert "subset" not in tune(two, judgments, QUICK).baselines


def test_the_default_over_each_subset_is_searched_by_its_names() -> None:
    space = Space(("bm25", "splade", "dense"))
    found = space.baselines()
    assert {"bm25 splade", "bm25 dense", "splade dense"} <= set(found)
    assert "bm25 splade dense" not in found
    assert set(Space(("bm25", "dense")).baselines()) == {"bm25", "dense", "minmax", "rrf", "tmm"}
    assert not any(" " in name for name in replace(space, subsets=False).baselines())


def study(values: list[float], trials: int, steps: list[int] | None = None) -> int:
    """Return how many trials finish where the proposals have these means, then the last one."""
    given = iter(values)
    found = run_study(
        Space(("sparse", "dense")),
        lambda fusion: np.array([next(given, values[-1])]),
        TuneOptions(trials=trials),
        known=[DEFAULT, rrf(60)],
        progress=None if steps is None else steps.append,
    )
    return found.finished


def test_a_search_ends_where_proposals_gain_nothing() -> None:
    steps: list[int] = []
    assert study([0.5], 200, steps) == 2 + PATIENCE
    assert sum(steps) == 200  # the bar is full
    assert study([0.5] * 30 + [0.6], 200) == 31 + PATIENCE
    assert study([0.5] * 30 + [0.5 + GAIN / 2], 200) == 2 + PATIENCE
    assert study([0.5], 2 + PATIENCE) == 2 + PATIENCE
    assert study([0.5], 20) == 20
    rising = [number / 1000 for number in range(200)]
    assert study(rising, 200) == 200


def test_a_search_without_known_fusions_ends_too() -> None:
    space = Space(("bm25", "dense"), methods=("gmean",))
    found = run_study(space, lambda _: np.array([0.5]), TuneOptions(trials=200), known=[])
    assert found.finished == 1 + PATIENCE


def test_a_search_that_goes_on_ends_where_it_would_have_in_one_go(tmp_path: Path) -> None:
    pool, qrels = planted(12, queries=20)
    options = TuneOptions(trials=150, folds=2, repeats=1, curve=False)
    short = replace(options, trials=30, storage=tmp_path / "kept.journal")
    tune(pool, qrels, short)
    resumed = tune(pool, qrels, replace(short, trials=150)).to_dict()
    assert json.dumps(resumed) == json.dumps(tune(pool, qrels, options).to_dict())
