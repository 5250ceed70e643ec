"""The site: every public name and every command has an entry, every page has a place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hybrid
from tests.conftest import load_script
from tests.docs.blocks import blocks, commands
from tests.test_cli_options import COMMANDS

DOCS = Path(__file__).parent.parent / "docs"


def test_every_public_name_has_one_entry() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    entries = re.findall(r"^::: hybrid\.(\w+)$", page, re.MULTILINE)
    assert sorted([*entries, "__version__"]) == sorted(hybrid.__all__)
    told = {*re.findall(r"hybrid\.(\w+)", re.sub(r"^:::.*$", "", page, flags=re.MULTILINE))}
    assert set(hybrid.__all__) - told <= {"tune_indexes", "Prior"}  # on pages of their own


def test_every_page_is_in_the_navigation() -> None:
    text = (DOCS / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r"(\S+\.md)$", text, re.MULTILINE)
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md")]
    by_hook = [Path("reference/commands.md"), *(p for p in pages if p.parent.name == "decisions")]
    by_hand = [str(path) for path in pages if path not in by_hook]
    assert sorted(named) == sorted(by_hand)


def test_the_links_of_the_readme_lead_somewhere() -> None:
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    linked = re.findall(r"\]\(([^)#]+)", text)
    assert len(linked) > 20
    assert [each for each in linked if not (DOCS.parent / each).is_file()] == []


def figures(text: str) -> set[str]:
    """Return the fractions of three digits and more in a text, ``0.431`` as ``.431``."""
    return set(re.findall(r"(?<![\d.])0?(\.\d{3,})(?!\d)", text))


def test_the_figures_of_the_pitfalls_stand_in_the_results_that_they_link() -> None:
    path = DOCS / "explanation" / "pitfalls.md"
    sections = path.read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(sections) == 8
    for section in sections:
        title, _, text = section.partition("\n")
        told = figures(re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        linked = re.findall(r"\]\((\.\./results/\S+?\.md)", text)
        known = {f for each in linked for f in figures((path.parent / each).read_text("utf-8"))}
        assert linked or "```python" in text, title
        assert told <= known, (title, told - known)


def test_every_command_has_a_page_with_its_flags() -> None:
    pytest.importorskip("mkdocs")
    hooks = load_script("docs/site/hooks")
    shown = hooks.examples((DOCS / hooks.EXAMPLES).read_text(encoding="utf-8"))
    pages = {
        name.removeprefix("hybrid "): hooks.page(name, command, shown[name])
        for name, command in hooks.commands(hooks.get_command(hooks.application()))
    }
    assert sorted(pages) == sorted(COMMANDS)
    assert len(shown) == len(pages)
    for name, page in pages.items():
        consoles = [each.text for each in blocks(page) if each.language == "console"]
        run = [each for text in consoles for each in commands(text)]
        assert any(f"hybrid {name}" in command and output for command, output in run), name
        told = re.findall(r"`(--[a-z-]+)", shown[f"hybrid {name}"])
        assert [flag for flag in told if flag not in " ".join(COMMANDS[name])] == [], name
        for text in COMMANDS[name].values():
            assert f" | {hooks.cell(text)} |" in page


def test_the_demo_is_shown_as_it_is_committed() -> None:
    page = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^\$ hybrid demo\n(.*?) \.\.\.$", page, re.DOTALL | re.MULTILINE)
    assert shown in (DOCS / "results" / "demo.txt").read_text(encoding="utf-8")


def told_flags(text: str) -> list[tuple[str, str]]:
    """Return (command, flag) of each ``hybrid command --flag`` that stands in a sentence.

    >>> told_flags("Run `hybrid build x\\n--preset small -o y` or `hybrid cache list --json`.")
    [('build', '--preset'), ('build', '-o'), ('cache list', '--json')]
    """
    found = []
    for span in re.findall(r"`hybrid ([a-z][^`]+)`", text):
        words = span.split()
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        flags = [each.partition("=")[0] for each in words if re.match(r"--?[a-z]", each)]
        found += [(name, flag) for flag in flags if flag != "--help"]
    return found


def test_the_flags_that_sentences_tell_exist() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
    told = [
        (path.name, name, flag)
        for path in pages
        for name, flag in told_flags(re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.S))
    ]
    assert len(told) > 50
    flags = {name: re.findall(r"--?[a-z][\w-]*", " ".join(row)) for name, row in COMMANDS.items()}
    assert [each for each in told if each[2] not in flags.get(each[1], [])] == []


def test_every_decision_has_a_context_a_decision_and_a_consequence() -> None:
    for number, path in enumerate(sorted((DOCS / "decisions").glob("*.md")), 1):
        assert path.name.startswith(f"{number:04d}-")
        parts = re.findall(r"^## (\w+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert parts[:3] == ["Context", "Decision", "Consequence"], path.name
        assert parts[3:] in ([], ["Rejected"]), path.name


def test_what_would_load_from_elsewhere_is_found() -> None:
    pytest.importorskip("mkdocs")
    remote = load_script("docs/site/hooks").REMOTE
    assert remote.search('<script src="https://cdn.example/a.js"></script>')
    assert remote.search('<link rel="stylesheet" href="//cdn.example/a.css">')
    assert not remote.search('<script src="assets/a.js"></script>')
    assert not remote.search('<a href="https://example.org/">')


def test_examples_of_docstrings_become_blocks_of_code() -> None:
    pytest.importorskip("griffe")
    fenced = load_script("docs/site/doctests").fenced
    assert fenced("One.\n\n>>> 1 + 1\n2") == "One.\n\n```python\n>>> 1 + 1\n2\n```"
    assert fenced("One.\n\nTwo.") == "One.\n\nTwo."
