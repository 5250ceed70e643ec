"""Reads an HTML page for tests: its tables by caption, its tags, and what it would load."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

LOADING = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}
VOID = {"meta", "br", "img", "input"}


class Page(HTMLParser):
    """A page: ``tables`` is caption to rows of cells, the head first."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(html)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.loads += [value or "" for name, value in attrs if name in LOADING]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag in VOID:
            return
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            self.texts[tag][-1] += data
        if "td" in self._open or "th" in self._open:
            self._rows[-1][-1] += data
        elif "caption" in self._open:
            self._caption += data


def check_self_contained(page: Page) -> None:
    """Do nothing if the page loads nothing from elsewhere and runs no script in its tags."""
    assert [each for each in page.loads if not each.startswith(("#", "data:image/png"))] == []
    assert page.handlers == []
    assert not {"iframe", "link", "object", "embed", "base", "form"} & set(page.tags)
