"""Tables: one content, written as Markdown, LaTeX, CSV, JSON or HTML."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hybrid.errors import UsageError
from hybrid.evaluate.comparison import Comparison

Cell = str | float | int | None


@dataclass(frozen=True)
class Form:
    """How a format shows a cell that is the best, and one that is marked."""

    best: str
    marked: str


MARKDOWN = Form("**{}**", "{}†")
LATEX = Form("\\textbf{{{}}}", "{}$^\\dagger$")
HTML = Form("<strong>{}</strong>", "{}<sup>†</sup>")


@dataclass(frozen=True)
class Table:
    """A titled table; numbers stay numbers until they are written.

    Attributes:
        title: one line.
        columns: headers.
        rows: one cell a column; None is written as nothing.
        places: decimal places of floats.
        best: (row, column) of cells in bold.
        marked: (row, column) of cells with a dagger, and ``note`` says what it means.

    Raises:
        UsageError: a row of another length.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    places: int = 4
    best: frozenset[tuple[int, int]] = frozenset()
    marked: frozenset[tuple[int, int]] = frozenset()
    note: str = ""

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise UsageError(f"a row has {len(wrong[0])} cells, the table {len(self.columns)}")

    def text(
        self, written: Callable[[str], str] = str, form: Form | None = None
    ) -> list[list[str]]:
        """Return the cells as text, each ``written`` and then in the bold and daggers of a form."""
        form = form or Form("{}", "{}")
        return [
            [
                self._shown(form, written(self._cell(cell)), (at, column))
                for column, cell in enumerate(row)
            ]
            for at, row in enumerate(self.rows)
        ]

    def _shown(self, form: Form, text: str, place: tuple[int, int]) -> str:
        bold = form.best.format(text) if place in self.best else text
        return form.marked.format(bold) if place in self.marked else bold

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
    rows = table.text(_escaped, MARKDOWN)
    lines = [_bars(map(_escaped, table.columns)), _bars(rule), *map(_bars, rows)]
    note = ["", table.note] if table.note else []
    return "\n".join([f"**{table.title}**", "", *lines, *note]) + "\n"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _bars(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


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
    "†": r"$^\dagger$",
}


def latex(table: Table) -> str:
    """Return a LaTeX table with booktabs rules."""
    kinds = "".join("r" if number else "l" for number in table.numeric())
    cells = [[_tex(column) for column in table.columns], *table.text(_tex, LATEX)]
    rows = [" & ".join(row) + r" \\" for row in cells]
    caption = table.title if not table.note else f"{table.title}. {table.note}"
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_tex(caption)}}}",
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


def html_text(table: Table, *, kind: str = "") -> str:
    """Return an HTML table element of a class ``kind``, its text escaped."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    classes = ["number" if number else "text" for number in table.numeric()]
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}">{cell}</td>' for kind, cell in zip(classes, row, strict=True)
        )
        + "</tr>\n"
        for row in table.text(html.escape, HTML)
    )
    note = f"<br/>{html.escape(table.note)}" if table.note else ""
    return (
        f"<table{' class=' + kind if kind else ''}>\n"
        f"<caption>{html.escape(table.title)}{note}</caption>\n"
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


def comparison_table(comparison: Comparison) -> Table:
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
        f"{comparison.measure} over {comparison.queries} queries, against {comparison.baseline}",
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


SIGNIFICANT = 0.05


def paper_table(comparisons: Sequence[Comparison]) -> Table:
    """Return one row a system and one column a measure, as papers print them.

    The best mean of a column is bold. A dagger marks a difference from the baseline whose p,
    corrected by Holm over the systems, is under .05.

    Raises:
        UsageError: no comparison, or comparisons of other systems or baselines.
    """
    if not comparisons:
        raise UsageError("no measure was compared; give one or more")
    first = comparisons[0]
    names = list(first.means)
    if any((list(c.means), c.baseline) != (names, first.baseline) for c in comparisons):
        raise UsageError("the comparisons are of other systems; compare the same ones throughout")
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(each.means[name] for each in comparisons)) for name in names
    )
    best, marked = set(), set()
    for column, each in enumerate(comparisons, start=1):
        top = max(each.means.values())
        for at, name in enumerate(names):
            if each.means[name] == top:
                best.add((at, column))
            if name in each.difference and each.difference[name].p_holm < SIGNIFICANT:
                marked.add((at, column))
    title = f"{first.queries} queries"
    note = f"† differs from {first.baseline}, p < .05 (paired randomisation, Holm)"
    columns = ("system", *(each.measure for each in comparisons))
    return Table(title, columns, rows, best=frozenset(best), marked=frozenset(marked), note=note)
