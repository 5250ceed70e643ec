"""Tables: one content, written as Markdown, LaTeX, CSV, JSON or HTML."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hybrid.errors import UsageError
from hybrid.evaluate.comparison import Comparison

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """A titled table; numbers stay numbers until they are written.

    Attributes:
        title: one line.
        columns: headers.
        rows: one cell a column; None is written as nothing.
        places: decimal places of floats.

    Raises:
        UsageError: a row of another length.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    places: int = 4

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise UsageError(f"a row has {len(wrong[0])} cells, the table {len(self.columns)}")

    def text(self) -> list[list[str]]:
        """Return the cells as text."""
        return [[self._cell(cell) for cell in row] for row in self.rows]

    def _cell(self, cell: Cell) -> str:
        if cell is None:
            return ""
        return f"{cell:.{self.places}f}" if isinstance(cell, float) else str(cell)

    def numeric(self) -> list[bool]:
        """Return whether each column holds numbers alone."""
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.columns)
        return [
            any(isinstance(c, int | float) for c in column)
            and all(c is None or isinstance(c, int | float) for c in column)
            for column in columns
        ]


def markdown(table: Table) -> str:
    """Return a GitHub table; a bar in a cell is escaped."""
    rule = ["---:" if number else "---" for number in table.numeric()]
    lines = [_bars(table.columns), _bars(rule), *(_bars(row) for row in table.text())]
    return "\n".join([f"**{table.title}**", "", *lines]) + "\n"


def _bars(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def latex(table: Table) -> str:
    """Return a LaTeX table with booktabs rules."""
    kinds = "".join("r" if number else "l" for number in table.numeric())
    rows = [" & ".join(map(_tex, row)) + r" \\" for row in [list(table.columns), *table.text()]]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_tex(table.title)}}}",
            rf"\begin{{tabular}}{{{kinds}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _tex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def comma_separated(table: Table) -> str:
    """Return CSV with a header, numbers in full."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return buffer.getvalue()


def json_text(table: Table) -> str:
    """Return JSON: the title and one object a row, numbers in full."""
    return _dumped(_content(table))


def _content(table: Table) -> dict[str, object]:
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return {"title": table.title, "rows": rows}


def _dumped(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def html_text(table: Table) -> str:
    """Return an HTML table element, its text escaped."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    classes = ["number" if number else "text" for number in table.numeric()]
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}">{html.escape(cell)}</td>'
            for kind, cell in zip(classes, row, strict=True)
        )
        + "</tr>\n"
        for row in table.text()
    )
    return (
        f"<table>\n<caption>{html.escape(table.title)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"
    )


FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": comma_separated,
    "json": json_text,
    "html": html_text,
}


def render(table: Table, form: str) -> str:
    """Return the table in one of ``FORMATS``.

    Raises:
        UsageError: another format.
    """
    if form not in FORMATS:
        raise UsageError(f"format {form!r} is unknown; give one of {', '.join(FORMATS)}")
    return FORMATS[form](table)


def render_all(tables: Sequence[Table], form: str) -> str:
    """Return tables as one text in one of ``FORMATS``; in JSON a list of them, also of one.

    Raises:
        UsageError: another format.
    """
    if form == "json":
        return _dumped([_content(table) for table in tables])
    return "\n".join(render(table, form) for table in tables)


def comparison_table(comparison: Comparison, title: str = "") -> Table:
    """Return one row a system: mean, interval, difference from the baseline and its p."""
    rows: list[tuple[Cell, ...]] = []
    for name, mean in comparison.means.items():
        low, high = comparison.intervals[name]
        found = comparison.difference.get(name)
        rest: tuple[Cell, ...] = (None,) * 6
        if found is not None:
            record = f"{found.wins}/{found.ties}/{found.losses}"
            rest = (found.mean, found.low, found.high, found.p_holm, found.effect, record)
        rows.append((name, mean, low, high, *rest))
    return Table(
        title
        or f"{comparison.measure} over {comparison.queries} queries, against {comparison.baseline}",
        (
            "system",
            comparison.measure,
            "low",
            "high",
            "difference",
            "diff. low",
            "diff. high",
            "p (Holm)",
            "effect",
            "wins/ties/losses",
        ),
        tuple(rows),
    )
