"""A purge: of a deleted document no byte is left, in the index or in the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

import hybrid
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document, Passages
from hybrid.errors import IndexLockedError, UsageError
from hybrid.machine.cache import Cache, text_digest
from tests.conftest import DOCUMENTS

MARKER = "zanzibar"
TEXT = f"a secret of {MARKER} in a file path"


def held(*folders: Path) -> set[str]:
    """Return the files that hold the marker, or the digest of its text."""
    marks = (MARKER.encode(), text_digest(TEXT))
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path.name for path in files if any(mark in path.read_bytes() for mark in marks)}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path, cache: Path, tiny_dense: Path) -> hybrid.Index:
    """An index of the tiny collection, and of one more document with the marker."""
    documents = [
        Document(each, text=text, title=title) for each, (title, text) in DOCUMENTS.items()
    ]
    documents.append(Document("secret", text=TEXT))
    options = BuildOptions(sparse=None, dense=str(tiny_dense), cache=cache)
    hybrid.build_index(documents, tmp_path / "index", options)
    return hybrid.open(tmp_path / "index")


def test_of_a_purged_document_no_byte_is_left(index: hybrid.Index, cache: Path) -> None:
    directory = index.directory
    assert {"rows.sqlite", "bm25.json"} <= held(directory, cache)
    index.delete(["secret"])
    index.compact()
    assert held(directory, cache)  # the generation before, and the cache
    assert index.compact(purge=True, cache=cache).forgotten == 1
    assert held(directory, cache) == set()
    assert len(list((directory / "generations").iterdir())) == 1
    assert hybrid.verify_index(directory, deep=True).is_whole
    assert index.search("merge sorted lists", k=1, fusion="bm25")[0].doc_id == "heapq.merge"
    assert index.search("merge sorted lists", k=20)
    index.close()


def entries(cache: Path) -> int:
    """Return how many rows of texts are kept."""
    return sum(each.entries for each in Cache(cache).holdings() if each.kind == "encodings")


def test_texts_that_are_live_stay_in_the_cache(index: hybrid.Index, cache: Path) -> None:
    rows = entries(cache)
    index.add([{"id": "copy", "text": TEXT}], cache=cache)
    index.delete(["secret"])
    assert index.compact(purge=True, cache=cache).forgotten == 0
    assert entries(cache) == rows
    index.close()


def test_a_text_that_was_replaced_goes_too(index: hybrid.Index, cache: Path) -> None:
    index.update([{"id": "secret", "text": "open"}], cache=cache)
    index.delete(["re.match"])
    report = hybrid.compact_index(index.directory, hybrid.CompactOptions(cache=False))
    assert report.forgotten == 0
    index.reopen()
    index.compact(purge=True, cache=cache)
    assert held(index.directory, cache) == set()
    index.close()


def test_passages_are_forgotten_one_by_one(tmp_path: Path, cache: Path, tiny_dense: Path) -> None:
    options = BuildOptions(sparse=None, dense=str(tiny_dense), passages=Passages(4, 0), cache=cache)
    documents = [Document("secret", text=TEXT), Document("open", text="read a file")]
    hybrid.build_index(documents, tmp_path / "index", options)
    with hybrid.open(tmp_path / "index") as index:
        index.delete(["secret"])
        assert index.compact(purge=True, cache=cache).forgotten == 2
    assert held(tmp_path) == set()


def test_a_reader_of_an_earlier_generation_is_in_the_way(index: hybrid.Index, cache: Path) -> None:
    with hybrid.open(index.directory) as other:
        index.delete(["secret"])
        with pytest.raises(IndexLockedError, match="purge again"):
            index.compact(purge=True, cache=cache)
        assert len(other) == len(DOCUMENTS) + 1
    del other
    index.compact(purge=True, cache=cache)
    assert held(index.directory, cache) == set()
    index.close()


def test_an_index_without_documents_is_to_be_removed(index: hybrid.Index, cache: Path) -> None:
    index.delete([*DOCUMENTS, "secret"])
    with pytest.raises(UsageError, match="remove the folder"):
        index.compact(purge=True, cache=cache)
    index.close()
