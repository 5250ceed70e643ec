"""What a prior learned from other domains is worth when labels are few.

    python benchmarks/few_labels.py cacm.idx=PATH/cacm:test cranfield.idx=PATH/cranfield:test \\
        scifact.idx=PATH/scifact:train

For each collection the prior is learned from all the others. So many labels are drawn at random,
the fusion is chosen from them alone and with the prior, and both are measured on all other queries.
"""

from __future__ import annotations

import argparse

import numpy as np
from collections_given import add_arguments, branch_names, opened

from hybrid.evaluate.bench import Bench
from hybrid.report.tables import Table, render
from hybrid.tune.options import TuneOptions
from hybrid.tune.prior import learn_prior, shrunk_choice
from hybrid.tune.search import Search
from hybrid.tune.space import DEFAULT, Space

SIZES = (10, 25, 50)


def rows(
    name: str, search: Search, others: list[Search], *, draws: int, seed: int
) -> list[tuple[str | int | float, ...]]:
    """Return one row a number of labels."""
    prior, count = learn_prior(others), len(search.bench.judged)
    values, rng = search.bench.values, np.random.default_rng(seed)
    found: list[tuple[str | int | float, ...]] = []
    for size in (size for size in SIZES if size <= count - 20):
        means = []
        for _ in range(draws):
            order = rng.permutation(count)
            few, rest = np.sort(order[:size]), order[size:]
            alone, shrunk = search.choose(few).fusion, shrunk_choice(search, few, prior)
            means.append([values(each)[rest].mean() for each in (alone, shrunk, DEFAULT)])
        table = np.array(means)
        ahead = table[:, 1] - table[:, 0]
        error = ahead.std(ddof=1) / np.sqrt(draws)
        found.append(
            (
                name,
                size,
                *map(float, table.mean(axis=0)),
                f"{ahead.mean():+.4f} +- {error:.4f}",
                f"{(ahead > 0).mean():.0%}",
                f"{(table[:, 1] - table[:, 2]).mean():+.4f}",
                f"{prior.strength:.0f}",
            )
        )
    return found


def table(benches: dict[str, Bench], *, draws: int, seed: int) -> Table:
    """Return the table over all collections."""
    space = Space.of(*(bench.judged.pool for bench in benches.values()))
    searches = {
        n: Search(bench, space, TuneOptions(trials=0, seed=seed)) for n, bench in benches.items()
    }
    found: list[tuple[str | int | float, ...]] = []
    for name, search in searches.items():
        others = [each for other, each in searches.items() if other != name]
        found += rows(name, search, others, draws=draws, seed=seed)
    measure = next(iter(benches.values())).measure
    columns = (
        "collection",
        "labels",
        "labels alone",
        "with the prior",
        "untuned default",
        "prior minus alone",
        "draws won",
        "prior minus default",
        "prior worth, queries",
    )
    return Table(
        f"{measure} on the queries that were not drawn, {draws} draws", columns, tuple(found)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--draws", type=int, default=100)
    arguments = parser.parse_args()
    branches = branch_names(arguments.branches)
    benches = {}
    for text in arguments.collections:
        collection = opened(text)
        benches[collection.name] = collection.bench(arguments.measure, branches)
    print(render(table(benches, draws=arguments.draws, seed=arguments.seed), "markdown"))


if __name__ == "__main__":
    main()
