"""The sections of a report that judged queries give: systems, each query, weights, overlap."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hybrid.encoders.density import expected_flops
from hybrid.errors import UsageError
from hybrid.evaluate import judge
from hybrid.evaluate.bench import Bench
from hybrid.evaluate.failures import best_branch
from hybrid.evaluate.names import array_measure
from hybrid.evaluate.systems import SystemsReport
from hybrid.fusion.pool import Pool
from hybrid.report.contents import (
    SAMPLED,
    counts_table,
    expansions_table,
    learned_branches,
    sparse_branches,
    spread,
)
from hybrid.report.evaluation import systems_table
from hybrid.report.index_plots import histograms, overlaps
from hybrid.report.parts import Plot, Section
from hybrid.report.plots import comparison_forest, pair_curves
from hybrid.report.tables import Cell, Table, comparison_table
from hybrid.search.view import View
from hybrid.tune import Space, TuneOptions
from hybrid.tune.search import Search

CUTOFFS = (10, 100)


def quality_sections(view: View, report: SystemsReport) -> Iterator[Section]:
    """Yield the sections on the judged queries of an evaluation, figures of the whole first."""
    yield _systems(report)
    pool = report.judged.pool
    if len(pool.branches) > 1:
        yield _weights(report)
        yield _overlap(pool)
    if sparse_branches(view.local):
        yield _query_terms(view, report)
    yield Section("Query by query", (queries_table(report),))


def _systems(report: SystemsReport) -> Section:
    parts: list[str | Table | Plot] = [systems_table(report)]
    if len(report.systems) > 1:
        first, *_ = compared = report.comparisons(best_branch(report))
        caption = f"Every system against {first.baseline}, {first.measure}, 95 % intervals."
        parts += map(comparison_table, compared)
        parts.append(Plot("systems", caption, lambda: comparison_forest(first)))
    return Section("Quality on judged queries", (*report.warnings(), *parts))


def queries_table(report: SystemsReport) -> Table:
    """Return the first measure of each query under each system, worst losses first.

    A loss is the last fusion minus the best branch; equal ones are in the order of query ids. Where
    no system is a fusion, the last one takes its place.
    """
    measure, branch = report.measures[0], best_branch(report)
    names = [each.name for each in report.systems]
    fusions = [each.name for each in report.systems if not each.fusion.is_single]
    last = (fusions or names)[-1]
    ids = report.systems[0].evaluation.query_ids
    values = np.stack([each.evaluation.per_query(measure) for each in report.systems])
    lead = values[names.index(last)] - values[names.index(branch)]
    rows: list[tuple[Cell, ...]] = [
        (ids[at], report.judged.texts.get(ids[at], ""), *values[:, at].tolist(), float(lead[at]))
        for at in np.lexsort((np.array(ids), lead)).tolist()
    ]
    title = f"{measure} of each query; difference: {last} minus {branch}, worst first"
    return Table(title, ("query", "text", *names, "difference"), tuple(rows))


def _weights(report: SystemsReport) -> Section:
    measure, judged = report.measures[0], report.judged
    title = "Weight between branches"
    try:
        array_measure(measure)
        report.judging.check_headroom("the curve of weights")
    except UsageError as error:  # there is no exact curve
        return Section(title, (str(error),))
    bench = Bench(judge(judged.pool, judged.qrels), measure)
    search = Search(bench, Space(bench.branches), TuneOptions(trials=0))
    caption = f"Mean {measure} at every weight between two branches, min-max normalised."
    return Section(title, (Plot("weights", caption, partial(pair_curves, search)),))


def overlap(pool: Pool, first: str, second: str, cutoff: int) -> NDArray[np.float64]:
    """Return for each query the share of documents that two lists have in common, (queries,).

    Of the first ``cutoff`` of both, those in both, divided by the length of the longer; 0 where
    both are empty.
    """
    rows = [pool.branches.index(name) for name in (first, second)]
    inside = (pool.ranks[rows] > 0) & (pool.ranks[rows] <= cutoff)
    query = np.repeat(np.arange(len(pool)), np.diff(pool.offsets))
    both, *each = (
        np.bincount(query[mask], minlength=len(pool)) for mask in (inside.all(axis=0), *inside)
    )
    return np.asarray(both / np.maximum(np.maximum(*each), 1))


def _overlap(pool: Pool) -> Section:
    shares = {
        f"{a} and {b}": [float(overlap(pool, a, b, cutoff).mean()) for cutoff in CUTOFFS]
        for a, b in combinations(pool.branches, 2)
    }
    rows: list[tuple[Cell, ...]] = [(pair, *found) for pair, found in shares.items()]
    names = ("branches", *(f"first {cutoff}" for cutoff in CUTOFFS))
    caption = f"Mean share of documents in common, over {len(pool):,} queries."
    return Section(
        "Overlap of the branches",
        (
            Table(caption, names, tuple(rows)),
            Plot("overlap", caption, lambda: overlaps(shares, CUTOFFS)),
        ),
    )


def _query_terms(view: View, report: SystemsReport) -> Section:
    index, texts = view.local, list(report.judged.texts.values())
    names = sparse_branches(index)
    encoded = {name: view.sparse_encoder(name).encode_queries(texts) for name in names}
    counts = {name: np.diff(each.indptr) for name, each in encoded.items()}
    stored = spread(index.row_count, SAMPLED)
    flops: list[tuple[Cell, ...]] = [
        (name, expected_flops(each, index.sparse(name).vectors(stored)))
        for name, each in encoded.items()
    ]
    title = "Products of one query with one document, expected"
    return Section(
        "Terms of queries",
        (
            counts_table(counts, "queries"),
            Plot(
                "terms-per-query",
                f"Terms with a weight of {len(texts):,} queries, by branch.",
                lambda: histograms(counts, "queries"),
            ),
            Table(title, ("branch", "FLOPS"), tuple(flops)),
            *(
                expansions_table(view, name, encoded[name], texts, "queries")
                for name in learned_branches(index)
            ),
        ),
    )
