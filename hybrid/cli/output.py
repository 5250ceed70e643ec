"""Tables, hits and progress in a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
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
from rich.table import Table as Drawn
from rich.text import Text

from hybrid.cli.app import out, printable

if TYPE_CHECKING:
    from hybrid.fusion.run import Hit
    from hybrid.report.tables import Table


class Form(str, Enum):
    """How a table is written."""

    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"
    html = "html"


FOLDED = 20
"""A word of a table that is longer may be broken."""


def print_tables(tables: Sequence[Table], form: Form | None = None) -> None:
    """Write tables to stdout: drawn for a person, or as one text in ``form``."""
    from hybrid.report.tables import render_all

    if form is not None:
        out.print(render_all(tables, form.value), markup=False)
        return
    for table in tables:
        for part in _drawn(table, out.width):
            out.print(part)


def _drawn(table: Table, width: int) -> Iterator[Drawn]:
    """Yield the table, in a narrow window in parts that each begin with the first column."""
    rows, numeric = table.text(), table.numeric()
    columns = list(zip(table.columns, *rows, strict=True))
    needs = [max(map(cell_len, " ".join(column).split()), default=0) for column in columns]
    needs = [need if numeric[at] else min(need, FOLDED) for at, need in enumerate(needs)]
    if (whole := max(map(cell_len, columns[0]))) <= width // 2:
        needs[0] = whole
    wants = [max(map(cell_len, column)) for column in columns]
    room = width - 4 - needs[0]
    parts, left = [[0]], room
    for at, need in enumerate(needs[1:], 1):
        if left < need + 3 and len(parts[-1]) > 1:
            parts, left = [*parts, [0]], room
        parts[-1].append(at)
        left -= need + 3
    for part in parts:
        title = escape(table.title) if part is parts[0] else None
        drawn = Drawn(title=title, title_justify="left")
        room = width - 3 * len(part) - 1
        for at, cells in zip(part, _widths(part, needs, wants, numeric, room), strict=True):
            side: Literal["right", "left"] = "right" if numeric[at] else "left"
            name = escape(table.columns[at])
            drawn.add_column(name, justify=side, width=cells, overflow="fold")
        for row in rows:
            drawn.add_row(*(escape(row[at]) for at in part))
        yield drawn


def _widths(
    part: list[int], needs: list[int], wants: list[int], numeric: Sequence[bool], room: int
) -> list[int]:
    """Return the width of each column of a part, together at most ``room``; texts give way."""
    found = {at: max(1, needs[at]) for at in part}
    while sum(found.values()) > room and max(found.values()) > 1:
        found[max(found, key=lambda at: (found[at] > 1, not numeric[at], found[at]))] -= 1
    while sum(found.values()) < room and (less := [at for at in part if found[at] < wants[at]]):
        found[min(less, key=lambda at: found[at] / wants[at])] += 1
    return list(found.values())


INDENT = 5


def print_hit(hit: Hit) -> None:
    """Write a hit to stdout: rank, score and id, its title, and its snippet with words bold.

    A terminal is filled word by word; elsewhere each is one line.
    """
    out.print(f"{hit.rank:>3}  {hit.score:.4f}  {one_line(hit.doc_id)}", markup=False)
    for line in (Text(one_line(hit.title)), _drawn_snippet(hit)):
        if not line or line.plain == hit.doc_id:
            continue
        if out.is_terminal:
            out.print(Padding(line, (0, 0, 0, INDENT), expand=False), soft_wrap=False)
        else:
            out.print(Text(" " * INDENT).append(line))


def _drawn_snippet(hit: Hit) -> Text:
    snippet, text = hit.snippet, hit.text
    drawn = Text()
    for word in re.finditer(r"\S+", snippet.text):
        drawn.append(" " if drawn else "").append(printable(word[0]), style="dim")
        at = len(drawn) - len(word[0]) - word.start()
        for mark in [] if out.no_color else snippet.marks:
            if mark.start < word.end() and word.start() < mark.end:
                begin, end = max(mark.start, word.start()), min(mark.end, word.end())
                drawn.stylize("bold not dim", at + begin, at + end)
    if drawn and text[: snippet.start].strip():
        drawn = Text("… ", style="dim").append(drawn)
    if drawn and text[snippet.end :].strip():
        drawn.append(" …", style="dim")
    return drawn


def one_line(text: str) -> str:
    """Return a text on one line, without characters that a terminal would obey."""
    return printable(" ".join(text.split()))


SECONDS = 5.0
"""Between two lines of progress in a log."""


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


@contextmanager
def progress_bars(console: Console) -> Iterator[Callable[[str, int | None], Callable[[int], None]]]:
    """Yield ``start(label, total)``, which returns a callback that takes newly finished items.

    Where the console is no terminal, a plain line is printed every few seconds, as a log needs.
    """
    if not console.is_terminal:
        yield lambda label, total: _Lines(console, label, total)
        return
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


class _Lines:
    """Progress as plain lines: items, items a second and the time left, every few seconds."""

    def __init__(self, console: Console, label: str, total: int | None) -> None:
        self._console = console
        self._label = label
        self._total = total
        self._done = 0
        self._began = self._last = monotonic()

    def __call__(self, count: int) -> None:
        self._done += count
        now = monotonic()
        if now - self._last >= SECONDS or self._done == self._total:
            self._last = now
            self._console.print(self._line(now - self._began), markup=False, soft_wrap=True)

    def _line(self, seconds: float) -> str:
        speed = self._done / seconds if seconds > 0 else 0.0
        of = "" if self._total is None else f"/{self._total:,}"
        line = f"{self._label}: {self._done:,}{of}, {speed:,.1f}/s"
        if self._total is None or self._done >= self._total or not speed:
            return line
        left = timedelta(seconds=round((self._total - self._done) / speed))
        return f"{line}, {left} left"
