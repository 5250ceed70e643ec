from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hybrid.build import build_index
from hybrid.corpus import Document, SourceOptions, open_source
from hybrid.corpus.records import FieldValue
from hybrid.errors import CorpusError, CorruptIndexError, UsageError
from hybrid.indexes.documents import DocumentStore
from hybrid.retrieve import Index
from tests.test_living import ENCODERS, Memory, assert_same, document


def fields_of(number: int) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {"lang": "en" if number % 3 else "de", "even": number % 2 == 0}
    if number % 5:
        fields["year"] = 2000 + number
    return fields


def tagged(numbers: range) -> Iterator[Document]:
    for number in numbers:
        plain = document(number)
        yield Document(plain.doc_id, plain.text, plain.title, fields_of(number))


@pytest.fixture
def index(tmp_path: Path) -> Index:
    build_index(Memory(list(tagged(range(40)))), tmp_path / "idx", encoders=ENCODERS)
    return Index(tmp_path / "idx", encoders=ENCODERS)


def selected(index: Index, text: str) -> set[str]:
    return {index.contents.doc_ids[number] for number in index.contents.select(text)}


def test_a_filter_is_pushed_into_every_branch_with_exact_recall(index: Index) -> None:
    for text, accepts in [
        ('lang == "de"', lambda each: each["lang"] == "de"),
        (
            "year >= 2030 and even == true",
            lambda each: each.get("year", 0) >= 2030 and each["even"],
        ),
        ("year is null", lambda each: "year" not in each),
        ("year == 2001", lambda each: each.get("year") == 2001),
        ("year < 2000", lambda each: False),
    ]:
        expected = {f"d{n:04}" for n in range(40) if accepts(fields_of(n))}  # type: ignore[no-untyped-call]
        assert selected(index, text) == expected
        for fusion in ("dense", "sparse", "rrf(k=60)"):
            hits = index.search("merge sort list", k=40, fusion=fusion, filter=text)
            every = index.search("merge sort list", k=40, fusion=fusion)
            wanted = [hit.doc_id for hit in every if hit.doc_id in expected]
            assert {hit.doc_id for hit in hits} == set(wanted)
            if fusion != "rrf(k=60)":
                assert [hit.doc_id for hit in hits] == wanted


def test_fields_live_through_changes(index: Index, tmp_path: Path) -> None:
    index.add(tagged(range(40, 50)))
    index.delete(["d0003", "d0042"])
    index.add([Document("plain", "merge without fields")])
    fresh = [each for each in tagged(range(50)) if each.doc_id not in ("d0003", "d0042")]
    build_index(
        Memory([*fresh, Document("plain", "merge without fields")]),
        tmp_path / "fresh",
        encoders=ENCODERS,
    )
    expected = Index(tmp_path / "fresh", encoders=ENCODERS)
    for _ in range(2):
        assert list(index.contents.documents) == list(expected.contents.documents)
        for text in ("year > 2030", "lang is null", 'not lang == "en"'):
            np.testing.assert_array_equal(
                index.contents.select(text), expected.contents.select(text)
            )
        index.compact()
    assert index.document("d0041").fields == fields_of(41)
    assert_same(index, index)


def test_a_field_of_another_type_is_refused(index: Index) -> None:
    with pytest.raises(CorpusError, match="'year' is large_string in the new documents and int64"):
        index.add([Document("x", "text", fields={"year": "2020"})])
    index.add([Document("x", "text", fields={"year": 2020.5})])
    assert selected(index, "year > 2020.1 and year < 2020.9") == {"x"}
    assert len(index) == 41
    with pytest.raises(UsageError, match="no field 'colour'; their fields: even, lang, year"):
        index.search("merge", k=1, filter="colour == 1")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([1, "a"], "'f' is int and str in different documents"),
        ([True, 1], "'f' is bool and int"),
        ([[1]], "'f' holds a value of type list"),
        ([2**70], "'f' cannot be stored"),
        (["\ud800"], "'f' cannot be stored"),
    ],
)
def test_values_that_no_column_holds_are_refused(
    tmp_path: Path, values: list[object], complaint: str
) -> None:
    documents = [
        Document(f"d{9 - number}", "x", fields={"f": value})  # type: ignore[dict-item]
        for number, value in enumerate(values)
    ]
    with pytest.raises(CorpusError, match=complaint):
        DocumentStore.build(documents, tmp_path)


def test_types_widen_over_batches_and_absent_values_stay_absent(tmp_path: Path) -> None:
    documents = [
        Document(f"{5000 - number:04}", "x", fields={"n": 0.5 if number == 4000 else number})
        for number in range(4500)
        if number != 7
    ]
    DocumentStore.build([*documents, Document("0000", "x")], tmp_path)
    store = DocumentStore.open(tmp_path)
    assert store.fields["n"].type == pa.float64()
    assert store.document("1000").fields == {"n": 0.5}
    assert store.document("4992").fields == {"n": 8.0}
    assert store.document("0000").fields == {}


def test_a_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    DocumentStore.build([Document("b", "x", fields={"f": 1}), Document("a", "x")], tmp_path)
    path = tmp_path / "fields.arrow"
    for table in (pa.table({"f": [1]}), pa.table({"f": [[1], [2]]}), pa.table({"f": ["a", "b"]})):
        path.unlink()
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
        with pytest.raises(CorruptIndexError, match="does not fit"):
            list(DocumentStore.open(tmp_path))
    path.write_bytes(b"ARROW1")
    with pytest.raises(CorruptIndexError, match="not a readable Arrow file"):
        list(DocumentStore.open(tmp_path))


def test_fields_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    rows = [
        {"_id": "a", "text": "x", "year": 2020, "lang": "en", "extra": [1]},
        {"_id": "b", "text": "y", "year": None},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = open_source(path, options=SourceOptions(fields=("year", "lang")))
    assert [each.fields for each in source.documents()] == [{"year": 2020, "lang": "en"}, {}]
    bad = open_source(path, options=SourceOptions(fields=("extra",)))
    with pytest.raises(CorpusError, match=r"line 1: unusable field: 'extra' of 'a' is \[1\]"):
        list(bad.documents())
    (tmp_path / "c.tsv").write_text("_id\ttext\tlang\na\tx\ten\n")
    source = open_source(tmp_path / "c.tsv", options=SourceOptions(fields=("lang",)))
    assert [each.fields for each in source.documents()] == [{"lang": "en"}]
    import datetime

    import pyarrow.parquet as pq

    table = pa.table({"id": ["a"], "text": ["x"], "day": [datetime.date(2020, 1, 2)]})
    pq.write_table(table, tmp_path / "c.parquet")
    source = open_source(tmp_path / "c.parquet", options=SourceOptions(fields=("day",)))
    assert [each.fields for each in source.documents()] == [{"day": "2020-01-02"}]
