"""The table of every fusion on the held-out queries of a collection, from an index.

    python benchmarks/fusion_table.py cacm.idx=PATH/cacm:test cranfield.idx=PATH/cranfield:test
    python benchmarks/fusion_table.py scifact.idx=PATH/scifact:test --train train

With ``--train`` the tuned rows are tuned there and measured on the split that is named; without it
they are measured by repeated cross-validation.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from collections_given import add_arguments, branch_names, opened
from numpy.typing import NDArray

from hybrid.evaluate import judge
from hybrid.evaluate.bench import Bench
from hybrid.evaluate.significance import bootstrap_intervals, compare_paired
from hybrid.fusion import METHODS, NORMS, Fusion, cc, single
from hybrid.fusion.pool import Pool
from hybrid.report.tables import Cell, Table, render
from hybrid.tune import TuneOptions, TuneResult, tune
from hybrid.tune.folds import held_out_values
from hybrid.tune.search import Search
from hybrid.tune.space import Space

FloatArray = NDArray[np.float64]
Qrels = Mapping[str, Mapping[str, int]]


def every_fusion(branches: Sequence[str]) -> list[Fusion]:
    """Return each branch alone, each method untuned, and the convex mean under each norm.

    The means stand for all weighted sums of scores, which order as they do without weights.

    >>> [str(fusion) for fusion in every_fusion(["bm25", "dense"])][:3]
    ['bm25', 'dense', 'rrf(k=60)']
    """
    if len(branches) < 2:
        return [single(name) for name in branches]
    others = [Fusion(name) for name, taken in METHODS.items() if not (taken.linear and taken.norm)]
    means = [cc(norm=norm) for norm in NORMS]
    return [*(single(name) for name in branches), *others, *means]


def fusion_table(
    bench: Bench,
    *,
    title: str,
    tuned: Mapping[str, tuple[str, FloatArray]] | None = None,
    seed: int = 0,
) -> Table:
    """Return one row a fusion, best first: mean, interval, difference from the best branch, p.

    Every fusion that is not in ``tuned`` has no chosen number, so all queries are held out for it.
    The p are of the randomisation test, Holm-corrected over the table.

    Args:
        bench: over the queries to report on.
        title: of the table.
        tuned: row name to (printed fusion, float64 (queries,) held-out values).
        seed: of bootstrap and test.
    """
    values = {str(fusion): bench.values(fusion) for fusion in every_fusion(bench.branches)}
    best = max(bench.branches, key=lambda name: float(bench.values(single(name)).mean()))
    printed = dict.fromkeys(values, "")
    for name, (fusion, held_out) in (tuned or {}).items():
        values[name], printed[name] = held_out, fusion
    intervals = dict(
        zip(values, bootstrap_intervals(np.stack(list(values.values())), seed=seed), strict=True)
    )
    others = [name for name in values if name != best]
    found = compare_paired(-values[best], [-values[name] for name in others], seed=seed)
    differences = dict(zip(others, found, strict=True))
    rows: list[tuple[Cell, ...]] = []
    for name in sorted(values, key=lambda name: -float(values[name].mean())):
        low, high = intervals[name]
        difference = differences.get(name)
        rest: tuple[Cell, ...] = (None, None, None, None)
        if difference is not None:
            rest = (difference.mean, difference.low, difference.high, difference.p_holm)
        shown = f"{name}: {printed[name]}" if printed[name] else name
        rows.append((shown, float(values[name].mean()), low, high, *rest))
    return Table(
        title,
        ("fusion", bench.measure, "low", "high", f"against {best}", "low ", "high ", "p (Holm)"),
        tuple(rows),
    )


def table(
    name: str,
    test: tuple[Pool, Qrels],
    train: tuple[Pool, Qrels] | None,
    options: TuneOptions,
) -> tuple[str, TuneResult]:
    """Return the Markdown table and the tuning result of one collection."""
    bench = Bench(judge(*test), options.measure)
    result = tune(*(train or test), options)
    if train is not None:
        rows = {
            "tuned": (str(result.tuned), bench.values(result.tuned)),
            f"verdict {result.verdict}": (str(result.fusion), bench.values(result.fusion)),
        }
        how = f"tuned on {result.queries} training queries"
    else:
        search = Search(bench, Space.of(test[0]), options)
        values = held_out_values(search)
        rows = {"tuned, cross-validated": (f"on all queries {result.tuned}", values)}
        how = f"tuned by {options.folds}-fold cross-validation, {options.repeats} times"
    title = f"{name}: {options.measure} over {len(bench.judged)} queries, {how}"
    return render(
        fusion_table(bench, title=title, tuned=rows, seed=options.seed), "markdown"
    ), result


def report(
    name: str,
    test: tuple[Pool, Qrels],
    train: tuple[Pool, Qrels] | None,
    options: TuneOptions,
) -> str:
    """Return the table, the verdict, and the gain held out beside the gain in sample."""
    text, result = table(name, test, train, options)
    branch = result.baselines["branch"][1]
    in_sample, held_out = result.in_sample - branch, result.held_out - branch
    kept = f", {held_out / in_sample:.0%} of it" if in_sample > 0 else ""
    lines = "\n".join(f"    {line}" for line in result.lines())
    found = (
        f"{text}\n{lines}\n\nGain over the best branch: {in_sample:+.4f} in sample, "
        f"{held_out:+.4f} held out{kept}.\n"
    )
    points = [f"{p.queries}: {p.held_out:.4f}" for p in result.label_budget.curve]
    if points:
        found += (
            f"\nHeld out after so many judged queries, exact lines alone: {', '.join(points)}.\n"
        )
    return found if train is None else f"{found}{on_test(test, result, options)}\n"


def on_test(test: tuple[Pool, Qrels], result: TuneResult, options: TuneOptions) -> str:
    """Return a line: what was tuned on the training split, on the test split."""
    bench = Bench(judge(*test), options.measure)
    best = result.baselines["branch"][0]
    own = bench.values(result.tuned)
    baselines = {"best training branch": best, "default": result.baselines["minmax"][0]}
    parts = [
        f"{each.mean:+.4f} [{each.low:+.4f}, {each.high:+.4f}], p {each.p_holm:.3g} against the "
        f"{name} ({fusion}, {bench.values(fusion).mean():.4f})"
        for (name, fusion), each in zip(
            baselines.items(),
            compare_paired(own, [bench.values(f) for f in baselines.values()], seed=options.seed),
            strict=True,
        )
    ]
    kept = (own - bench.values(best)).mean() / (result.in_sample - result.baselines["branch"][1])
    return (
        f"On the test queries {result.tuned} reaches {own.mean():.4f}: {'; '.join(parts)}. "
        f"It keeps {kept:.0%} of the gain that it had in sample.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--train", help="the split to tune on, where there is one")
    parser.add_argument("--trials", type=int, default=100)
    arguments = parser.parse_args()
    options = TuneOptions(
        measure=arguments.measure,
        trials=arguments.trials,
        repeats=2,
        seed=arguments.seed,
    )
    branches = branch_names(arguments.branches)
    for text in arguments.collections:
        collection = opened(text)
        test = collection.judged(branches)
        train = None
        if arguments.train:
            found = replace(collection, split=arguments.train).judged(branches)
            train = (found.pool, found.qrels)
        print(f"## {collection.name}\n")
        print(report(collection.name, (test.pool, test.qrels), train, options))


if __name__ == "__main__":
    main()
