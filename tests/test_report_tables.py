from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree

import pytest

from hybrid.errors import UsageError
from hybrid.evaluate.comparison import compare_runs
from hybrid.fusion.run import Run
from hybrid.report.tables import Table, comparison_table, render, render_all

TABLE = Table(
    "50% of <a> & b_c",
    ("system", "nDCG@10", "queries"),
    (("rrf(k=60)", 0.123456, 3), ("a|b", None, 4)),
)


def test_markdown() -> None:
    assert render(TABLE, "markdown").splitlines() == [
        "**50% of <a> & b_c**",
        "",
        "| system | nDCG@10 | queries |",
        "| --- | ---: | ---: |",
        "| rrf(k=60) | 0.1235 | 3 |",
        "| a\\|b |  | 4 |",
    ]


def test_latex_is_escaped_and_aligned() -> None:
    text = render(TABLE, "latex")
    assert r"\caption{50\% of <a> \& b\_c}" in text
    assert r"\begin{tabular}{lrr}" in text
    assert r"rrf(k=60) & 0.1235 & 3 \\" in text


def test_csv_and_json_keep_numbers_in_full() -> None:
    rows = list(csv.reader(io.StringIO(render(TABLE, "csv"))))
    assert rows == [
        ["system", "nDCG@10", "queries"],
        ["rrf(k=60)", "0.123456", "3"],
        ["a|b", "", "4"],
    ]
    found = json.loads(render(TABLE, "json"))
    assert found["rows"][0] == {"system": "rrf(k=60)", "nDCG@10": 0.123456, "queries": 3}


def test_several_tables_are_one_text() -> None:
    one = json.loads(render(TABLE, "json"))
    assert json.loads(render_all([TABLE, TABLE], "json")) == [one, one]
    assert json.loads(render_all([TABLE], "json")) == [one]
    assert json.loads(render_all([], "json")) == []
    text = render(TABLE, "markdown")
    assert render_all([TABLE, TABLE], "markdown") == f"{text}\n{text}"


def test_html_parses_and_holds_the_text() -> None:
    root = ElementTree.fromstring(render(TABLE, "html"))
    assert root.findtext("caption") == "50% of <a> & b_c"
    assert [cell.text for cell in root.iter("td")] == ["rrf(k=60)", "0.1235", "3", "a|b", None, "4"]


def test_comparison_has_a_row_a_system() -> None:
    runs = {
        "one": Run.from_dict({"q1": {"a": 2, "b": 1}, "q2": {"a": 1}}),
        "two": Run.from_dict({"q1": {"a": 1, "b": 2}, "q2": {"a": 1}}),
    }
    (found,) = compare_runs(runs, {"q1": {"a": 1}, "q2": {"a": 1}}, "RR")
    table = comparison_table(found)
    assert [row[:2] for row in table.rows] == [("one", 1.0), ("two", 0.75)]
    assert table.rows[0][4] is None
    assert table.rows[1][4] == -0.25
    assert table.rows[1][-1] == "0/1/1"
    assert "against one" in table.title


def test_an_empty_table_and_what_is_refused() -> None:
    empty = Table("t", ("a", "b"), ())
    for form in ("markdown", "latex", "csv", "json", "html"):
        assert render(empty, form)
    with pytest.raises(UsageError, match="give one of markdown, latex, csv, json, html"):
        render(empty, "pdf")
    with pytest.raises(UsageError, match="give one of markdown"):
        render_all([empty], "pdf")
    with pytest.raises(UsageError, match="a row has 1 cells, the table 2"):
        Table("t", ("a", "b"), (("x",),))
