"""The examples of docs/extending.md run, one after the other, in one session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid.fusion import METHODS
from hybrid.fusion.methods import COMBINERS, FEATURES
from hybrid.index.dense.neighbours import APPROXIMATE
from hybrid.integrations.formats.export import SYSTEMS

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
TABLES = (METHODS, FEATURES, COMBINERS, APPROXIMATE, SYSTEMS)


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    """Leaves the tables as they were."""
    import ir_measures

    tables = (*TABLES, ir_measures.measures.registry)
    before = [dict(table) for table in tables]
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text(encoding="utf-8")
    examples = list(re.finditer(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    assert len(examples) >= 6
    session: dict[str, object] = {"__name__": "extending"}
    for example in examples:
        before = "\n" * page[: example.start(1)].count("\n")
        code = compile(before + example[1], str(PAGE), "exec", dont_inherit=True)
        exec(code, session)


def test_files_that_the_page_names_are_there() -> None:
    root = PAGE.parent.parent
    named = re.findall(r"`((?:hybrid|tests)/[\w/.]+)`", PAGE.read_text(encoding="utf-8"))
    assert [name for name in named if not (root / name).exists()] == []
