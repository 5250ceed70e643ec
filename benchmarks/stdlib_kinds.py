"""Which branch wins on which kind of query of the bundled collection ``stdlib``.

    hybrid build stdlib --max-length 64 -o stdlib.idx
    python benchmarks/stdlib_kinds.py stdlib.idx

No system here is tuned, so the queries of both splits are measured together.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

import hybrid
from hybrid.corpus import open_source
from hybrid.corpus.stdlib.source import query_metadata
from hybrid.evaluate.options import EvaluateOptions
from hybrid.evaluate.significance import bootstrap_intervals, compare_paired, holm
from hybrid.evaluate.systems import evaluate_systems
from hybrid.report.tables import Table, render
from hybrid.search.index import Index

COLLECTION = "stdlib"
BRANCHES = ("bm25", "sparse", "dense")
MIN_MAX = "cc(norm=minmax, branches=(bm25, dense))"
FUSIONS = {"rrf": "rrf", "bm25 + dense, min-max": MIN_MAX}
Values = dict[str, NDArray[np.float64]]


def measured(index: Index, measures: tuple[str, ...]) -> tuple[list[str], dict[str, Values]]:
    """Return the kind of each query, and for each measure ``{system: values (queries,)}``."""
    source, metadata = open_source(COLLECTION), query_metadata(COLLECTION)
    kinds: list[str] = []
    found: dict[str, dict[str, list[float]]] = {measure: {} for measure in measures}
    for split in source.splits():
        options = EvaluateOptions(split=split, measures=",".join(measures), fusions=(MIN_MAX,))
        report = evaluate_systems(index, source, options)
        kinds += [metadata[q]["kind"] for q in report.systems[0].evaluation.query_ids]
        for measure in measures:
            for name in (*BRANCHES, *FUSIONS):
                system = report.system(FUSIONS.get(name, name))
                values = system.evaluation.per_query(measure).tolist()
                found[measure].setdefault(name, []).extend(values)
    return kinds, {m: {n: np.array(v) for n, v in rows.items()} for m, rows in found.items()}


def sliced(kinds: list[str], values: Values) -> dict[str, Values]:
    """Return the values of each kind, the kind with most queries first, and at last of ``all``."""
    order = sorted(set(kinds), key=lambda kind: (-kinds.count(kind), kind))
    rows = {kind: np.array(kinds) == kind for kind in order} | {"all": np.ones(len(kinds), bool)}
    return {kind: {name: v[kept] for name, v in values.items()} for kind, kept in rows.items()}


def means_table(slices: dict[str, Values], measure: str, seed: int) -> Table:
    """Return one row for each kind: the mean of each system with its interval."""
    rows = []
    for kind, values in slices.items():
        intervals = bootstrap_intervals(np.stack(list(values.values())), seed=seed)
        cells = [
            f"{row.mean():.3f} [{low:.3f}, {high:.3f}]"
            for row, (low, high) in zip(values.values(), intervals, strict=True)
        ]
        rows.append((kind, len(next(iter(values.values()))), *cells))
    names = tuple(next(iter(slices.values())))
    return Table(f"{measure} with 95 % bootstrap intervals", ("kind", "queries", *names), (*rows,))


def paired_table(slices: dict[str, Values], measure: str, seed: int) -> Table:
    """Return one row for each kind and pair: branches best first, then fusions against the best."""
    rows, p_values = [], []
    for kind, values in slices.items():
        best, *rest = sorted(BRANCHES, key=lambda name: -values[name].mean())
        pairs = [*pairwise((best, *rest)), *((fusion, best) for fusion in FUSIONS)]
        for ahead, behind in pairs:
            found = compare_paired(values[ahead], [values[behind]], seed=seed)[0]
            p_values.append(found.p)
            interval = f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
            counts = f"{found.wins}, {found.ties}, {found.losses}"
            rows.append((kind, f"{ahead} minus {behind}", interval, counts))
    return Table(
        f"Paired differences of {measure}, p by randomisation, Holm over all rows",
        ("kind", "pair", "difference", "wins, ties, losses", "p"),
        tuple((*row, p) for row, p in zip(rows, holm(p_values), strict=True)),
    )


def judged_table(values: Values) -> Table:
    """Return how many of the first ten of each system are judged, on average."""
    rows = tuple((name, float(row.mean())) for name, row in values.items())
    return Table("Judged@10", ("system", "Judged@10"), rows)


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", help="an index of stdlib")
    parser.add_argument("--measure", default="nDCG@10")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with hybrid.open(args.index) as index:
        kinds, values = measured(index, (args.measure, "Judged@10"))
    slices = sliced(kinds, values[args.measure])
    for table in (
        means_table(slices, args.measure, args.seed),
        paired_table(slices, args.measure, args.seed),
        judged_table(values["Judged@10"]),
    ):
        print(render(table, "markdown"))


if __name__ == "__main__":
    main()
