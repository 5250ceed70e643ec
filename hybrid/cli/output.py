"""Tables for the terminal, or in one of the forms that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from hybrid.cli.app import out

if TYPE_CHECKING:
    from hybrid.report.tables import Table


class Form(str, Enum):
    """How a table is written."""

    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"
    html = "html"


def print_tables(tables: Sequence[Table], form: Form | None = None) -> None:
    """Write tables to stdout: drawn for a person, or as one text in ``form``."""
    from hybrid.report.tables import render_all

    if form is not None:
        out.print(render_all(tables, form.value), markup=False)
        return
    for table in tables:
        out.print(_drawn(table))


def _drawn(table: Table) -> object:
    from rich.markup import escape
    from rich.table import Table as Drawn

    drawn = Drawn(title=escape(table.title), title_justify="left")
    for name, number in zip(table.columns, table.numeric(), strict=True):
        if number:
            drawn.add_column(escape(name), justify="right", no_wrap=True)
        else:
            drawn.add_column(escape(name), no_wrap=name == table.columns[0])
    for row in table.text():
        drawn.add_row(*map(escape, row))
    return drawn
