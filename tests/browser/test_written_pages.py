"""The pages that are written to files, in chromium: tables are ordered, and no text is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selenium import webdriver

from hybrid.report.explanation import explanations_page
from hybrid.report.parts import Report, Section
from hybrid.report.tables import Table
from hybrid.report.write import write_report
from hybrid.search.index import open_index
from tests.browser.test_page import SCRIPT, browser, page_index, pytestmark

__all__ = ["browser", "page_index", "pytestmark"]


def column(browser: Any, at: int) -> list[str]:
    cells = browser.find_elements("css selector", f"tbody td:nth-child({at})")
    return [cell.text for cell in cells]


def test_a_click_on_a_head_orders_the_rows(browser: webdriver.Chrome, tmp_path: Path) -> None:
    rows = (("b", 10.0), ("a", 9.5), ("c", -2.0), ("d", None))
    table = Table("one", ("name", "value"), rows)
    (tmp_path / "a.html").write_text(Report("r", (Section("s", (table,)),)).html())
    browser.get((tmp_path / "a.html").as_uri())
    name, value = browser.find_elements("css selector", "th button")
    assert column(browser, 1) == ["b", "a", "c", "d"]
    name.click()
    assert column(browser, 1) == ["a", "b", "c", "d"]
    value.click()
    assert [each for each in column(browser, 2) if each] == ["-2.0000", "9.5000", "10.0000"]
    value.click()
    assert [each for each in column(browser, 2) if each] == ["10.0000", "9.5000", "-2.0000"]
    heads = browser.find_elements("css selector", "th")
    assert [head.get_attribute("aria-sort") for head in heads] == [None, "descending"]


def test_a_document_with_a_script_tag_is_shown_and_not_run(
    browser: webdriver.Chrome, page_index: Path, tmp_path: Path
) -> None:
    with open_index(page_index) as index:
        found = index.explain(f"seed {SCRIPT}", sentences=True)
        documents = [index.document(each.doc_id) for each in found]
        write_report(index, tmp_path / "b.html", ({"q": SCRIPT}, {"q": {"json.load": 1}}))
    assert any(SCRIPT in document.text for document in documents)
    (tmp_path / "a.html").write_text(explanations_page(f"seed {SCRIPT}", found, documents))
    for name, title in (("a", "Why these documents"), ("b", "Report of")):
        browser.get((tmp_path / f"{name}.html").as_uri())
        assert browser.title.startswith(title)
        assert SCRIPT in browser.find_element("css selector", "body").text
        assert not browser.find_elements("css selector", "img")
        entries = browser.execute_script("return performance.getEntriesByType('resource')")
        assert [each for each in entries if not each["name"].startswith("data:")] == []
