"""Every block of python and console in the documents runs, and prints what is shown."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import ENGINES, FETCHED, RUN, Block, blocks, run_page

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "docs" / "results"
"""Records of measurements that take hours; each page has the commands that repeat it."""
PAGES = sorted(
    [
        ROOT / "README.md",
        *(each for each in (ROOT / "docs").rglob("*.md") if each.parent != RESULTS),
    ]
)
READY = "<!-- begins with small.idx -->"
OWN_TESTS = {"threads.md"}
"""Pages whose scripts a test of their own runs, each in a process of its own."""


def runnable(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [each for each in blocks(text) if each.language in RUN]


WITH_BLOCKS = [path for path in PAGES if runnable(path) and path.name not in OWN_TESTS]


@pytest.mark.docs
@pytest.mark.offline_model
@pytest.mark.parametrize("path", WITH_BLOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_runs(
    path: Path, small_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    if READY in path.read_text(encoding="utf-8"):
        shutil.copytree(small_index, tmp_path / "small.idx")
    run_page(path, tmp_path)


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    found = [block for path in PAGES for block in runnable(path)]
    left_out = [block for block in found if block.reason not in (None, FETCHED, ENGINES)]
    assert len(left_out) * 20 <= len(found)


def test_code_stands_in_blocks_with_a_language() -> None:
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        assert all(block.language for block in blocks(text)), path.name
        outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
        assert re.findall(r"^    (?:hybrid|make|pip|python|\$) .*", outside, re.MULTILINE) == []
