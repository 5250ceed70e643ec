from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.corpus import Document
from hybrid.errors import CorpusError, CorruptIndexError, UsageError
from hybrid.fusion.pool import ids_of
from hybrid.index.documents import arrow
from hybrid.index.documents.store import DocumentSegment, DocumentStore
from hybrid.index.documents.write import write_documents


def store(directory: Path, ids: list[str]) -> DocumentStore:
    directory.mkdir(exist_ok=True)
    documents = [Document(each, text=f"text of {each}", title=each[:1]) for each in ids]
    assert write_documents(documents, directory) == len(ids)
    return DocumentStore([DocumentSegment(directory)])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@settings(max_examples=80, deadline=None)
@given(ids=st.sets(TEXTS, max_size=30), absent=TEXTS)
def test_what_is_built_comes_back_by_number_and_by_id(
    tmp_path_factory: pytest.TempPathFactory, ids: set[str], absent: str
) -> None:
    ordered = sorted(ids, reverse=True)
    documents = store(tmp_path_factory.mktemp("documents"), ordered)
    assert list(documents.doc_ids) == ordered
    assert [document.doc_id for document in documents] == ordered
    for num, doc_id in enumerate(ordered):
        assert documents.doc_num(doc_id) == num
        assert documents.document(doc_id) == Document(
            doc_id, text=f"text of {doc_id}", title=doc_id[:1]
        )
    assert documents.find(absent) == (ordered.index(absent) if absent in ids else None)


def test_many_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "TEXT_ROWS", 4)
    monkeypatch.setattr(arrow, "ID_ROWS", 8)
    for count in (0, 1, 3, 4, 5, 8, 9, 16, 30):
        ids = [f"{number:03}" for number in range(count, 0, -1)]
        documents = store(tmp_path / str(count), ids)
        assert len(documents) == count
        assert list(documents.doc_ids) == ids
        assert documents.doc_ids[1:7:2] == ids[1:7:2]
        for numbers in (range(count), range(1, count, 3), range(0)):
            taken = ids_of(documents.doc_ids, np.array([*numbers, *numbers], dtype=np.int32)[::-1])
            assert taken == [ids[at] for at in [*numbers, *numbers][::-1]]
        assert [documents.doc_num(each) for each in ids] == list(range(count))
        assert [each.doc_id for each in documents[2:6]] == ids[2:6]
        if ids:
            assert (documents[-1].doc_id, documents.doc_ids[-1]) == (ids[-1], ids[-1])
        for outside in (count, -count - 1):
            with pytest.raises(IndexError):
                documents[outside]
            with pytest.raises(IndexError):
                documents.doc_ids[outside]


def test_an_absent_id_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no document 'B'"):
        store(tmp_path, ["b", "a"]).document("B")


@pytest.mark.parametrize("ids", [["a", "b"], ["a", "a"]])
def test_ids_that_do_not_descend_are_refused(tmp_path: Path, ids: list[str]) -> None:
    with pytest.raises(CorpusError, match=f"{ids[1]!r} comes after {ids[0]!r}"):
        store(tmp_path, ids)


def test_ids_descend_by_code_points(tmp_path: Path) -> None:
    ids = [
        "\U0001f600",
        "\uffff",
        "z",
        "b",
        "a",
    ]  # by UTF-16 units, \uffff first
    documents = store(tmp_path, ids)
    assert ids == sorted(ids, reverse=True)
    assert [each.doc_id for each in documents.take(np.array([4, 0]))] == ["a", ids[0]]
    assert [documents.find(each) for each in ids] == list(range(5))


@pytest.mark.parametrize("field", ["doc_id", "text", "title"])
def test_text_that_is_not_unicode_is_refused(tmp_path: Path, field: str) -> None:
    values = {"doc_id": "d", "text": "t", "title": "", field: "\ud800"}
    with pytest.raises(CorpusError, match="not Unicode"):
        write_documents([Document(**values)], tmp_path)


def test_progress_counts_every_document(tmp_path: Path) -> None:
    seen: list[int] = []
    documents = [Document(f"{number:05}", text="") for number in range(2500, 0, -1)]
    write_documents(documents, tmp_path, progress=seen.append)
    assert sum(seen) == 2500


def test_files_that_are_not_what_they_should_be_are_refused(tmp_path: Path) -> None:
    store(tmp_path / "one", ["b", "a"])
    store(tmp_path / "two", ["c", "b", "a"])
    ids = tmp_path / "one" / "ids.arrow"
    whole = ids.read_bytes()

    def refused(match: str) -> None:
        with pytest.raises(CorruptIndexError, match=match):
            list(DocumentStore([DocumentSegment(tmp_path / "one")]))

    ids.write_bytes((tmp_path / "two" / "ids.arrow").read_bytes())
    refused("3 ids for 2 texts")
    ids.write_bytes((tmp_path / "two" / "texts.arrow").read_bytes())
    refused("columns")
    for damaged in (b"", b"ARROW1", whole[:-20], whole[20:]):
        ids.write_bytes(damaged)
        refused(r"ids\.arrow")
    os.remove(ids)
    refused(r"ids\.arrow")
    ids.write_bytes(whole)
    assert len(DocumentStore([DocumentSegment(tmp_path / "one")])) == 2


def arrow_file(path: Path, batches: list[pa.RecordBatch]) -> None:
    with pa.ipc.new_file(str(path), batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def test_offsets_that_lead_outside_and_missing_values_are_found_before_use(tmp_path: Path) -> None:
    """What a hostile index could hold although every checksum is right."""
    schema = pa.schema([pa.field("doc_id", pa.large_string(), nullable=False)])
    good = pa.record_batch([pa.array(["b", "a"], pa.large_string())], schema=schema)
    ids = tmp_path / "ids.arrow"
    store(tmp_path, ["b", "a"])
    arrow_file(ids, [good])
    whole = ids.read_bytes()
    offsets = struct.pack("<3q", 0, 1, 2)
    assert whole.count(offsets) == 1
    assert list(DocumentStore([DocumentSegment(tmp_path)]).doc_ids) == ["b", "a"]
    for hostile in ((0, 1, 1 << 40), (0, 5, 2), (-9, 1, 2), (0, 3, 2)):
        ids.write_bytes(whole.replace(offsets, struct.pack("<3q", *hostile)))
        with pytest.raises(CorruptIndexError, match=r"ids\.arrow, batch 0"):
            DocumentStore([DocumentSegment(tmp_path)])
    ids.write_bytes(whole.replace(b"ba\0\0\0\0\0\0", b"\xff\xfe\0\0\0\0\0\0"))
    with pytest.raises(CorruptIndexError, match="UTF8"):
        DocumentStore([DocumentSegment(tmp_path)])
    missing = pa.record_batch([pa.array(["b", None], pa.large_string())], schema=schema)
    arrow_file(ids, [missing])
    with pytest.raises(CorruptIndexError, match="a value is missing"):
        DocumentStore([DocumentSegment(tmp_path)])
    arrow_file(ids, [good.slice(0, 1), good.slice(1, 1)])
    with pytest.raises(CorruptIndexError, match="65537 ids for 2 texts"):
        list(DocumentStore([DocumentSegment(tmp_path)]).doc_ids)


def test_names_of_columns_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    store(tmp_path, ["a"])
    path = tmp_path / "texts.arrow"
    held = path.read_bytes()
    assert held.count(b"title") >= 1
    path.write_bytes(held.replace(b"title", b"ti\xf8le"))
    with pytest.raises(CorruptIndexError, match="not a readable Arrow file"):
        DocumentStore([DocumentSegment(tmp_path)])
