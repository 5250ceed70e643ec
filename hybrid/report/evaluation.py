"""The tables of an evaluation: systems, slices of the queries, headroom, latency, transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hybrid.evaluate.failures import Failure, Listed
from hybrid.evaluate.slicing import QuerySlice
from hybrid.evaluate.systems import SystemsReport
from hybrid.report.tables import Cell, Table
from hybrid.search.latency import Stage
from hybrid.tune import DomainsResult

SHOWN = 5
"""Documents of each list of a failure."""


def systems_table(report: SystemsReport) -> Table:
    """Return one row a system, one column a measure, and the fusion where the name is not it."""
    rows: list[tuple[Cell, ...]] = []
    for system in report.systems:
        values = [system.evaluation[measure] for measure in report.measures]
        fusion = str(system.fusion)
        rows.append((system.name, *values, None if fusion == system.name else fusion))
    title = f"{report.source}, {report.split}: {report.query_count} queries, depth {report.depth}"
    return Table(title, ("system", *report.measures, "fusion"), tuple(rows))


def slices_table(slices: Sequence[QuerySlice], measure: str) -> Table:
    """Return one row a slice of the queries, one column a system."""
    systems = list(slices[0].means) if slices else []
    rows: list[tuple[Cell, ...]] = [
        (each.by, each.label, len(each.query_ids), *(each.means[name] for name in systems))
        for each in slices
    ]
    title = f"{measure} by words of the query, and by words shared with what is relevant"
    return Table(title, ("by", "from", "queries", *systems), tuple(rows))


def headroom_table(found: Mapping[str, float], measure: str) -> Table:
    """Return a table of the best branch, and the best that hindsight could reach."""
    return Table(f"{measure} with hindsight", ("choice", measure), tuple(found.items()))


def failures_table(found: Sequence[Failure], measure: str, systems: tuple[str, str]) -> Table:
    """Return one row a query: its text, both values, the first documents of both lists.

    Args:
        found: the queries, worst first.
        measure: of the values.
        systems: the one that loses, and the other.
    """
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            each.query_id,
            each.query,
            each.value,
            each.other,
            *(_shown_list(hits) for hits in (each.hits, each.other_hits)),
        )
        for each in found
    )
    lists = tuple(f"first {SHOWN} of {name} (grade)" for name in systems)
    title = f"queries on which {systems[0]} loses most against {systems[1]}, {measure}"
    return Table(title, ("query", "text", *systems, *lists), rows)


def _shown_list(hits: Sequence[Listed]) -> str:
    return ", ".join(
        each.doc_id if each.grade is None else f"{each.doc_id} ({each.grade})"
        for each in hits[:SHOWN]
    )


def latency_table(stages: Sequence[Stage], queries: int) -> Table:
    """Return milliseconds of each stage, one query at a time."""
    rows = tuple((each.name, each.mean_ms, each.p50_ms, each.p95_ms) for each in stages)
    title = f"latency over {queries} queries, one at a time, milliseconds"
    return Table(title, ("stage", "mean", "p50", "p95"), rows, places=2)


def transfer_table(result: DomainsResult, measure: str) -> Table:
    """Return a table: fusions tuned on the row's domain, measured on the column's."""
    rows: list[tuple[Cell, ...]] = [
        (row, *map(float, values)) for row, values in zip(result.rows, result.transfer, strict=True)
    ]
    title = f"{measure}: tuned on the row, measured on the column; the diagonal is held out"
    return Table(title, ("tuned on", *result.columns), tuple(rows))
