"""The lines of docs/frameworks.md run as they stand there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyterrier")

import pandas as pd

import hybrid
from hybrid.corpus import Document
from tests.conftest import DOCUMENTS, QUERIES

pytestmark = pytest.mark.doors
TEXT = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| [^|]+ \| `(.+)` \|$", TEXT.split("\n## ")[0], re.M)
ELSEWHERE = {
    "MTEB": "its data come from the network",
    "sentence-transformers": "it has an ellipsis",
}
MODULES = {
    "LangChain, retriever": "langchain",
    "LangChain, vector store": "langchain",
    "LlamaIndex": "llamaindex",
    "Haystack": "haystack",
    "Haystack, document store": "haystack",
    "PyTerrier": "pyterrier",
    "pandas, ranx": "tables",
    "ir_measures": "tables",
}


def test_every_line_is_run_or_left_out_for_a_reason() -> None:
    assert {name for name, _ in ROWS} == MODULES.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize(
    ("name", "line"), [row for row in ROWS if row[0] in MODULES], ids=lambda text: text[:24]
)
def test_line(name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyterrier as pt

    monkeypatch.chdir(tmp_path)
    documents = [Document(doc_id, text, title) for doc_id, (title, text) in DOCUMENTS.items()]
    hybrid.build_index(documents, "docs.idx", hybrid.BuildOptions(sparse=None, dense=None))
    judged = [
        (query_id, doc_id, grade)
        for query_id, (_, found) in QUERIES.items()
        for doc_id, grade in found.items()
    ]
    with hybrid.open("docs.idx") as index:
        names: dict[str, Any] = {"index": index, "pt": pt}
        topics = [(query_id, text) for query_id, (text, _) in QUERIES.items()]
        names["topics"] = pd.DataFrame(topics, columns=["qid", "query"])
        names["qrels"] = pd.DataFrame(judged, columns=["qid", "docno", "label"])
        names |= vars(importlib.import_module(f"hybrid.integrations.frameworks.{MODULES[name]}"))
        found = eval(line, names)
        assert found is not None
        assert isinstance(found, int) or len(found) > 0
