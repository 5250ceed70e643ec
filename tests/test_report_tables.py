from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree

import pytest

from hybrid.errors import UsageError
from hybrid.evaluate.comparison import compare_runs
from hybrid.fusion.run import Run
from hybrid.report.tables import Table, comparison_table, paper_table, render, render_all

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


QRELS = {f"q{at}": {"a": 1} for at in range(40)}


def runs_of_two() -> dict[str, Run]:
    good = Run.from_dict({query: {"a": 2.0, "b": 1.0} for query in QRELS})
    bad = Run.from_dict({query: {"a": 1.0, "b": 2.0} for query in QRELS})
    return {"bad_run": bad, "good": good}


def test_a_table_for_a_paper_has_the_best_in_bold_and_daggers_for_significance() -> None:
    table = paper_table(compare_runs(runs_of_two(), QRELS, "RR,P@1,R@2"))
    assert table.columns == ("system", "RR", "P@1", "R@2")
    assert table.rows == (("bad_run", 0.5, 0.0, 1.0), ("good", 1.0, 1.0, 1.0))
    assert table.best == {(1, 1), (1, 2), (0, 3), (1, 3)}
    assert table.marked == {(1, 1), (1, 2)}
    text = render(table, "latex")
    assert (
        r"good & \textbf{1.0000}$^\dagger$ & \textbf{1.0000}$^\dagger$ & \textbf{1.0000} \\" in text
    )
    assert r"bad\_run & 0.5000 & 0.0000 & \textbf{1.0000} \\" in text
    assert r"\caption{40 queries. $^\dagger$ differs from bad\_run, p < .05" in text
    assert "| good | **1.0000**† | **1.0000**† | **1.0000** |" in render(table, "markdown")
    page = ElementTree.fromstring(render(table, "html"))
    assert page.findtext(".//strong") == "1.0000"
    assert "**" not in render(table, "csv")


def test_a_paper_table_of_nothing_or_of_other_systems_is_refused() -> None:
    with pytest.raises(UsageError, match="no measure was compared"):
        paper_table([])
    one = compare_runs(runs_of_two(), QRELS, "RR")
    other = compare_runs(runs_of_two(), QRELS, "RR", baseline="good")
    with pytest.raises(UsageError, match="of other systems"):
        paper_table([*one, *other])
