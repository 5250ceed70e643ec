from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.explore import explore
from hybrid.errors import UsageError
from hybrid.evaluate import judge
from hybrid.evaluate.bench import Bench
from hybrid.fusion import Fusion
from hybrid.tune import Space, TuneOptions
from tests.made_pools import planted, random_pool, random_qrels


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(judge(*planted(3, queries=60, sparse=1.0)), "nDCG@10")


def test_the_best_trial_is_at_least_every_baseline_in_the_space(bench: Bench) -> None:
    counted: list[int] = []
    found = explore(bench, TuneOptions(trials=40), progress=counted.append)
    assert (found.finished, found.pruned, sum(counted)) == (40, 0, 40)
    assert found.value == pytest.approx(bench.values(found.best).mean(), abs=1e-3)
    for text in ("rrf(k=60)", "cc(norm=minmax)", "cc(norm=tmm)"):
        assert found.value >= bench.values(Fusion.parse(text)).mean() - 1e-12
    assert found.importance
    assert set(found.importance) <= {"method", "norm", "alpha", "k", "depth"}


@pytest.mark.parametrize("suffix", [".db", ".journal"])
def test_a_study_on_disk_goes_on_where_it_stopped(
    bench: Bench, tmp_path: Path, suffix: str
) -> None:
    storage = tmp_path / f"study{suffix}"
    first = explore(bench, TuneOptions(trials=6, storage=storage))
    options = TuneOptions(trials=10, storage=storage)
    counted: list[int] = []
    again = explore(bench, options, progress=counted.append)
    assert (first.finished, again.finished, counted) == (6, 10, [6, 1, 1, 1, 1])
    unstored = explore(bench, TuneOptions(trials=10))
    assert (again, again.importance) == (unstored, unstored.importance)
    counted.clear()
    assert explore(bench, options, progress=counted.append).finished == 10
    assert counted == [10]


def test_pruning_stops_hopeless_trials_and_keeps_the_best(bench: Bench) -> None:
    found = explore(bench, TuneOptions(trials=30, prune=True))
    assert found.pruned > 0
    assert found.finished + found.pruned == 30
    assert found.value >= bench.values(Fusion.parse("cc(norm=minmax)")).mean() - 1e-12


def test_what_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no known suffix; give \.db, \.sqlite"):
        TuneOptions(storage=tmp_path / "study.txt")
    with pytest.raises(UsageError, match="0 trials"):
        explore(bench, TuneOptions(trials=0))
    one = random_pool(1, names=("dense",))
    alone = Bench(judge(one, random_qrels(one)), "nDCG@10")
    with pytest.raises(UsageError, match="over 1 branches"):
        explore(alone, space=Space(("dense",)))
