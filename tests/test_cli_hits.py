"""Hits as a terminal and a pipe show them."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hybrid.cli import output
from hybrid.corpus import Document
from hybrid.corpus.snippets import Match, Snippet, snippet_of
from hybrid.fusion.run import Hit
from hybrid.report.tables import Table
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]

TEXT = "begin " * 30 + "to merge\n    \x1b[31msorted lists of heapq\x07.merge " + "and so on " * 30


class Held:
    """A source of one hit."""

    def __init__(self, document: Document) -> None:
        self.held = document

    def document(self, doc_id: str) -> Document:
        return self.held

    def snippet(self, doc_id: str) -> Snippet:
        text = self.held.text
        words = re.finditer(r"merge|sorted|heapq\x07.merge", text)
        return snippet_of(
            text, [Match(*word.span(), "bm25", word[0], 1.0, True) for word in words], length=120
        )

    scores: Any = None
    to_dict: Any = None


def shown(monkeypatch: pytest.MonkeyPatch, document: Document, **options: Any) -> str:
    file = StringIO()
    console = Console(file=file, soft_wrap=True, highlight=False, width=40, **options)
    monkeypatch.setattr(output, "out", console)
    output.print_hit(Hit(document.doc_id, 0.5, 3, Held(document)))
    return file.getvalue()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_terminal_shows_the_words_bold_and_cuts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shown(monkeypatch, Document("d", TEXT, title="A title"), force_terminal=True)
    bold = re.findall(r"\x1b\[1m([^\x1b]*)\x1b", found)
    assert bold == ["merge", "sorted", "heapq\ufffd.merge"]
    lines = plain(found).splitlines()
    assert lines[0] == "  3  0.5000  d"
    assert lines[1] == "     A title"
    assert all(len(line) <= 40 and line.startswith("     ") for line in lines[1:])
    words = " ".join(lines[2:]).split()
    assert words[0] == words[-1] == "…"
    assert set(words) <= {*TEXT.replace("\x1b", "\ufffd").replace("\x07", "\ufffd").split(), "…"}


def test_elsewhere_it_is_one_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shown(monkeypatch, Document("d", TEXT))
    assert "\x1b" not in found
    _, line = found.splitlines()
    assert "merge \ufffd[31msorted lists of heapq\ufffd.merge" in line


def test_without_colour_no_word_is_bold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1m" not in shown(monkeypatch, Document("d", TEXT), force_terminal=True)


def test_a_document_without_text_or_with_its_id_as_title(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, Document("d", "", title="d")) == "  3  0.5000  d\n"
    assert shown(monkeypatch, Document("d", "a b")) == "  3  0.5000  d\n     a b\n"


def test_the_fusion_is_said_beside_the_hits(hybrid_command: Command, tiny_index: Path) -> None:
    search = ("search", tiny_index, "merge sorted lists", "-k", "2", "--fusion")
    _, out, err = hybrid_command(*search, "bm25")
    assert "ranked by bm25\n" in err
    assert out.splitlines()[1:3] == ["     merge", "     merge sorted lists with a heap"]
    assert "ranked by" not in hybrid_command(*search, "bm25", "--json")[2]


def test_no_command_prints_a_control_character(hybrid_command: Command, tmp_path: Path) -> None:
    said = "\x1b]0;pwn\x07\x9b2J\x7f"
    corpus, index = tmp_path / "c.jsonl", tmp_path / "idx"
    record = {"id": f"d{said}", "title": said, "text": f"x{said} merge.", "s": f"\x1b[2J{said}"}
    corpus.write_text(json.dumps(record) + "\n")
    bm25 = ("--sparse", "none", "--dense", "none")
    for command in (
        ("build", corpus, "-o", index, *bm25, "--fields", "s"),
        ("search", index, "merge", "--facets", "s"),
        ("search", index, "merge", "--facets", "s", "--json"),
        ("explain", index, "merge", "--no-sentences"),
        ("explain", index, f"merge {said}"),
        ("explain", index, f"merge {said}", "--json"),
        ("info", index),
        ("search", index, "merge", "--facets", said),
    ):
        status, out, err = hybrid_command(*command)
        assert status == (command[-1] == said), err
        assert re.findall(r"[^\n\x20-\x7e\xa0-\U0010ffff]", out + err) == [], command
    _, out, _ = hybrid_command("search", index, "merge", "--facets", "s")
    assert "s: \ufffd[2J\ufffd]0;pwn\ufffd\ufffd2J\ufffd 1\n" in out
    _, out, _ = hybrid_command("search", index, "merge", "--json")
    assert json.loads(out)["hits"][0]["doc_id"] == record["id"]
    _, out, _ = hybrid_command("explain", index, "merge")
    assert re.search(r"^  +\S", out, re.MULTILINE)


@pytest.mark.parametrize("form", [None, *output.Form])
def test_no_table_prints_a_control_character(
    form: output.Form | None, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "\x1b]0;pwn\x07\x9b2J\x7f"
    output.print_tables([Table(said, ("query", said), ((said, f"[red]{said}"),))], form)
    shown = capsys.readouterr().out
    assert re.findall(r"[^\n\x20-\x7e\xa0-\U0010ffff]", shown) == []
    assert "[red]" in shown.replace("\\[", "[")
