"""Tables and progress in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

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


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


@contextmanager
def progress_bars(console: Console) -> Iterator[Callable[[str, int | None], Callable[[int], None]]]:
    """Yield ``start(label, total)``, which returns a callback that takes newly finished items."""
    with Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Speed(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=False,
        redirect_stdout=False,
    ) as progress:

        def start(label: str, total: int | None) -> Callable[[int], None]:
            task = progress.add_task(label, total=total)
            return lambda count: progress.update(task, advance=count)

        yield start
