from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid.corpus import open_source
from hybrid.index.storage.manifest import FORMAT_VERSION
from hybrid.index.verify import verify_index
from hybrid.search.index import Index
from tests.golden.make import ENCODERS, HERE, answers
from tests.test_living import document

VERSIONS = sorted(path.stem for path in HERE.glob("format-*.json"))


def test_the_present_format_has_a_golden_index() -> None:
    assert f"format-{FORMAT_VERSION}" in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_an_index_of_each_format_answers_as_it_did(version: str, tmp_path: Path) -> None:
    shutil.copytree(HERE / version, tmp_path / "idx")
    assert verify_index(tmp_path / "idx", deep=True).is_whole
    expected = json.loads((HERE / f"{version}.json").read_text())
    found = answers(tmp_path / "idx")
    for fusion, queries in expected.items():
        for query, hits in queries.items():
            assert [doc_id for doc_id, _ in found[fusion][query]] == [each for each, _ in hits]
            # The test's own encoder adds in an order that its platform chooses.
            scores = [score for _, score in found[fusion][query]]
            assert scores == pytest.approx([score for _, score in hits], rel=1e-5)
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    index.add([document(20)])
    index.compact()
    assert len(index) == 14


def test_the_documented_migration_reads_the_documents_without_this_package(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs" / "index-format.md").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], scope)
    shutil.copytree(HERE / "format-1", tmp_path / "idx")
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    index.compact()
    (name,) = index.contents.segments
    folder = index.contents.generation.directory / "segments" / name / "documents"
    scope["to_jsonl"](folder, tmp_path / "documents.jsonl")
    source = open_source(tmp_path / "documents.jsonl")
    plain = [replace(document, fields={}) for document in index.contents.documents]
    assert list(source.documents()) == plain
    assert len(plain) == 13
