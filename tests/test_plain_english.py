"""Text that people read: the phrases that the contributing guide bans are nowhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDE = ROOT / "docs" / "contributing.md"


def banned() -> list[str]:
    block = re.search(r"<!-- banned phrases.*?```text\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert block is not None
    return block.group(1).lower().split("\n")[:-1]


def texts() -> list[Path]:
    found = [*(ROOT / "hybrid").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    return [path for path in found if path != GUIDE]


def test_the_list_is_there() -> None:
    assert len(banned()) > 10
    assert all(phrase == phrase.strip() and phrase for phrase in banned())


@pytest.mark.parametrize("phrase", banned())
def test_no_banned_phrase(phrase: str) -> None:
    spaced = re.compile(r"\b" + r"\s+".join(map(re.escape, phrase.split())) + r"\b", re.IGNORECASE)
    where = [
        f"{path.relative_to(ROOT)}: {match.group(0)!r}"
        for path in texts()
        for match in spaced.finditer(path.read_text(encoding="utf-8"))
    ]
    assert where == []


LEANING = re.compile(r"^What\b|\b(Return|Yield|Write|Print|Append|Remove|Report) what\b")


def first_lines() -> list[tuple[str, str]]:
    """Return (where, first line) of every docstring of the library."""
    found = []
    for path in sorted((ROOT / "hybrid").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
                line = (ast.get_docstring(node) or "").split("\n")[0]
                found.append((f"{path.relative_to(ROOT)}: {getattr(node, 'name', '')}", line))
    return found


def test_first_lines_say_with_nouns_what_comes_back() -> None:
    leaning = [f"{where}: {line}" for where, line in first_lines() if LEANING.search(line)]
    assert leaning == []


LONGEST = 40
RECORDS = {"decisions"}
"""Folders whose pages say in detail what was tried; they are read by those who change it."""


def sentences(page: str) -> list[str]:
    """Return the sentences of a page's paragraphs and items, without code and tables.

    Code within a sentence, and the address of a link, count as nothing.
    """
    prose = re.sub(
        r"^```.*?^```$|^ {4}[^\n]*|^ *\|[^\n]*|^#[^\n]*", "", page, flags=re.DOTALL | re.MULTILINE
    )
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", prose)
    parts = re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.) |(?<=[.!?:;])\s", prose)
    return [" ".join(part.split()) for part in parts]


def test_sentences_are_found() -> None:
    page = (
        "# One two\n\nA b. C `d e f`\ng [h](i j).\n\n- k\n- l m; n\n\n```python\no p\n```\n| q |\n"
    )
    assert [each for each in sentences(page) if each] == ["A b.", "C g [h .", "- k", "l m;", "n"]


def test_no_sentence_is_long() -> None:
    pages = [path for path in texts() if path.suffix == ".md" and path.parent.name not in RECORDS]
    found = [
        f"{path.relative_to(ROOT)}: {sentence}"
        for path in pages
        for sentence in sentences(path.read_text(encoding="utf-8"))
        if len(re.findall(r"[^\W\d_][\w'-]*", sentence)) > LONGEST
    ]
    assert found == []
