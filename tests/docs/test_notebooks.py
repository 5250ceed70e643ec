"""The notebooks are committed with their outputs, and running them again gives the same text.

``python -m tests.docs.test_notebooks`` runs them and writes their outputs.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import same

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
NAMES = (
    "quickstart",
    "build_own_data",
    "evaluate",
    "tune_per_domain",
    "inspect_splade",
    "beir_table",
)
"""In the order in which they are read; they share the folder ``work``."""
DOORS = {"hybrid", "hybrid.evaluate", "hybrid.tune", "hybrid.report"}
TIME = re.compile(r"\b\d+(?:\.\d+)? ?(?:ms|s)\b")
LIMIT = 240
QUIET = "ignore:IProgress not found"
"""tqdm's notice where a notebook has no widgets."""

nbformat = pytest.importorskip("nbformat")


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(book: Any) -> list[Any]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def shown(cell: Any) -> str:
    """Return the text of a cell's outputs, timings masked; a figure is the word for it."""
    texts = []
    for output in cell.outputs:
        data = output.get("data", {})
        text = output.get("text") or data.get("text/markdown") or data.get("text/plain", "")
        texts.append("a figure" if "image/png" in data else text)
    return TIME.sub("TIME", "\n".join(texts))


def executed(name: str, folder: Path) -> Any:
    """Return the notebook with the outputs of a run in ``folder``."""
    from nbclient import NotebookClient

    book = read(name)
    resources = {"metadata": {"path": str(folder)}}
    env = {**os.environ, "PYTHONPATH": str(FOLDER.parent), "PYTHONWARNINGS": QUIET}
    client = NotebookClient(book, timeout=LIMIT, kernel_name="python3", resources=resources)
    client.execute(env=env)
    return book


@pytest.fixture(scope="session")
def work(small_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the notebooks share; what they encode is in the cache of ``small_index``."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.docs
@pytest.mark.offline_model
@pytest.mark.parametrize("name", NAMES)
def test_running_again_gives_the_same_text(name: str, work: Path) -> None:
    pytest.importorskip("matplotlib")
    again = executed(name, work)
    for number, (before, after) in enumerate(zip(code(read(name)), code(again), strict=True)):
        assert same(shown(before), shown(after)), f"cell {number} gives\n{shown(after)}"


def test_these_are_all() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_whole(name: str) -> None:
    cells = code(read(name))
    assert [tag for cell in cells for tag in cell.metadata.get("tags", [])] == ["parameters"]
    assert cells[0].metadata["tags"] == ["parameters"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any("a figure" in shown(cell) or len(shown(cell)) > 20 for cell in cells)
    kinds = {(each.output_type, each.get("name")) for cell in cells for each in cell.outputs}
    assert kinds <= {("stream", "stdout"), ("execute_result", None), ("display_data", None)}
    assert not any(re.search("warning", shown(cell), re.IGNORECASE) for cell in cells)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_imports_what_is_public(name: str) -> None:
    text = "\n".join(cell.source for cell in code(read(name)))
    tree = ast.parse(re.sub(r"^%.*$", "", text, flags=re.MULTILINE))
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add(str(node.module))
    assert {each for each in named if each.split(".")[0] == "hybrid"} <= DOORS


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for each in sys.argv[1:] or NAMES:
            book = executed(each, Path(folder))
            for cell in book.cells:
                cell.metadata.pop("execution", None)
            nbformat.write(book, FOLDER / f"{each}.ipynb")
