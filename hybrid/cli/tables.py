"""Tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from hybrid.experiment import SystemsReport


def systems_table(report: SystemsReport) -> Table:
    """Return one row a system, one column a measure."""
    title = f"{report.source}, {report.split}: {report.query_count} queries, depth {report.depth}"
    table = Table(title=title, title_justify="left")
    table.add_column("system", no_wrap=True)
    for measure in report.measures:
        table.add_column(measure, justify="right", no_wrap=True)
    table.add_column("fusion")
    for system in report.systems:
        values = [f"{system.evaluation[measure]:.4f}" for measure in report.measures]
        fusion = str(system.fusion)
        table.add_row(system.name, *values, "" if fusion == system.name else fusion)
    return table
