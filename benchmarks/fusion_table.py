"""The table of every fusion on the held-out queries of a collection, from an index.

    python benchmarks/fusion_table.py scifact.idx PATH/scifact --train train --test test
    python benchmarks/fusion_table.py cacm.idx PATH/cacm --test test

With ``--train`` the tuned rows are tuned there and measured on ``--test``; without it they are
measured by repeated cross-validation on ``--test``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import hybrid
from hybrid.corpus import SourceOptions, open_source
from hybrid.evaluate import judge
from hybrid.experiment import judged_pool
from hybrid.pool import Pool
from hybrid.report.fusions import fusion_table
from hybrid.report.tables import render
from hybrid.tune import Plan, TuneResult, tune
from hybrid.tune.bench import Bench
from hybrid.tune.folds import held_out_values
from hybrid.tune.search import Search
from hybrid.tune.space import Space

Qrels = Mapping[str, Mapping[str, int]]


def table(
    name: str,
    test: tuple[Pool, Qrels],
    train: tuple[Pool, Qrels] | None,
    *,
    measure: str,
    plan: Plan,
    seed: int,
) -> tuple[str, TuneResult]:
    """Return the Markdown table and the tuning result of one collection."""
    bench = Bench(judge(*test), measure)
    result = tune(*(train or test), measure, plan=plan, seed=seed)
    if train is not None:
        rows = {
            "tuned": (str(result.tuned), bench.values(result.tuned)),
            f"verdict {result.verdict}": (str(result.fusion), bench.values(result.fusion)),
        }
        how = f"tuned on {result.queries} training queries"
    else:
        search = Search(bench, Space.of(test[0]), trials=plan.trials, seed=seed)
        values = held_out_values(search, folds=plan.folds, repeats=plan.repeats, seed=seed)
        rows = {"tuned, cross-validated": (f"on all queries {result.tuned}", values)}
        how = f"tuned by {plan.folds}-fold cross-validation, {plan.repeats} times"
    title = f"{name}: {measure} over {len(bench.judged)} queries, {how}"
    return render(fusion_table(bench, title=title, tuned=rows, seed=seed), "markdown"), result


def report(
    name: str,
    test: tuple[Pool, Qrels],
    train: tuple[Pool, Qrels] | None,
    *,
    measure: str,
    plan: Plan,
    seed: int,
) -> str:
    """Return the table, the verdict, and the gain held out beside the gain in sample."""
    text, result = table(name, test, train, measure=measure, plan=plan, seed=seed)
    branch = result.baselines["branch"][1]
    in_sample, held_out = result.in_sample - branch, result.held_out - branch
    kept = f", {held_out / in_sample:.0%} of it" if in_sample > 0 else ""
    lines = "\n".join(f"    {line}" for line in result.lines())
    return (
        f"{text}\n{lines}\n\nGain over the best branch: {in_sample:+.4f} in sample, "
        f"{held_out:+.4f} held out{kept}.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index")
    parser.add_argument("source")
    parser.add_argument("--test", default="test")
    parser.add_argument("--train")
    parser.add_argument("--measure", default="nDCG@10")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    plan = Plan(trials=arguments.trials, repeats=2, curve=False)
    source = open_source(arguments.source, options=SourceOptions(skip_bad=True))
    with hybrid.open(arguments.index) as index:
        splits = [arguments.test, *([arguments.train] if arguments.train else [])]
        found = [judged_pool(index, source, split) for split in splits]
    pairs = [(judged.pool, judged.qrels) for judged in found]
    print(
        report(
            source.name,
            pairs[0],
            pairs[1] if arguments.train else None,
            measure=arguments.measure,
            plan=plan,
            seed=arguments.seed,
        )
    )


if __name__ == "__main__":
    main()
