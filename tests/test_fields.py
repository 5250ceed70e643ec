from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hybrid.build.create import build_index
from hybrid.corpus import Document, SourceOptions, open_source
from hybrid.corpus.fields.types import FieldValue
from hybrid.corpus.fields.values import field_value
from hybrid.errors import CorpusError, CorruptIndexError, UsageError
from hybrid.index.documents.store import DocumentSegment, DocumentStore
from hybrid.index.documents.write import write_documents
from hybrid.search.index import Index
from tests.test_cli import Command, hybrid_command
from tests.test_living import ENCODERS, Memory, assert_same, document

__all__ = ["hybrid_command"]


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
    return {index.contents.doc_ids[number] for number in index.contents.select(text).doc_nums}


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
                index.contents.select(text).doc_nums, expected.contents.select(text).doc_nums
            )
        index.compact()
    assert index.document("d0041").fields == fields_of(41)
    assert_same(index, index)


def test_a_field_of_another_type_is_refused(index: Index) -> None:
    with pytest.raises(UsageError, match="'year' of 'x' is '2020', expected a whole number as"):
        index.add([Document("x", "text", fields={"year": "2020"})])
    report = index.add([Document("x", "text", fields={"year": 2020.5})])
    assert "field 'year' is int in the index and float in the new documents" in report.notes
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
        ([2**63], "'f' cannot be stored"),
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
        write_documents(documents, tmp_path)


def test_types_widen_over_batches_and_absent_values_stay_absent(tmp_path: Path) -> None:
    documents = [
        Document(f"{5000 - number:04}", "x", fields={"n": 0.5 if number == 4000 else number})
        for number in range(4500)
        if number != 7
    ]
    write_documents([*documents, Document("0000", "x")], tmp_path)
    store = DocumentStore([DocumentSegment(tmp_path)])
    assert store.field_types["n"] == pa.float64()
    assert store.document("1000").fields == {"n": 0.5}
    assert store.document("4992").fields == {"n": 8.0}
    assert store.document("0000").fields == {}


def test_a_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_documents([Document("b", "x", fields={"f": 1}), Document("a", "x")], tmp_path)
    path = tmp_path / "fields.arrow"
    for table in (pa.table({"f": [1]}), pa.table({"f": [[1], [2]]}), pa.table({"f": ["a", "b"]})):
        path.unlink()
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
        with pytest.raises(CorruptIndexError, match="does not fit"):
            list(DocumentStore([DocumentSegment(tmp_path)]))
    path.write_bytes(b"ARROW1")
    with pytest.raises(CorruptIndexError, match="not a readable Arrow file"):
        list(DocumentStore([DocumentSegment(tmp_path)]))


def test_fields_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    rows = [
        {"_id": "a", "text": "x", "year": 2020, "lang": "en", "extra": {"a": 1}},
        {"_id": "b", "text": "y", "year": None},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = open_source(path, options=SourceOptions(fields=("year", "lang")))
    assert [each.fields for each in source.documents()] == [{"year": 2020, "lang": "en"}, {}]
    bad = open_source(path, options=SourceOptions(fields=("extra",)))
    with pytest.raises(CorpusError, match=r"line 1: unusable field: 'extra' of 'a' is \{'a': 1\}"):
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
    assert source.field_kinds == {"day": "date"}  # type: ignore[attr-defined]


def test_texts_of_a_table_are_read_as_the_type_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("id,text,year,price,new,code\na,x, 2020 ,1.5e1,TRUE,007\nb,y,,,0,8\n")
    fields = ("year:int", "price:float", "new:bool", "code")
    source = open_source(path, options=SourceOptions(fields=fields))
    assert [each.fields for each in source.documents()] == [
        {"year": 2020, "price": 15.0, "new": True, "code": "007"},
        {"new": False, "code": "8"},
    ]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("12", "int", 12), ("-1.0", "int", -1), (True, "bool", True), (3, "float", 3.0),
        (2.5, "str", "2.5"), (1e16, "int", 10**16), (2**60, "float", 2.0**60),
        (" ", "float", None), (None, "int", None), ("x", "", "x"),
    ],
)  # fmt: skip
def test_values_by_type(value: Any, kind: str, expected: object) -> None:
    found = field_value(value, kind)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("2020-01", "int", "whole number"), ("1.5", "int", "whole"), (str(2**63), "int", "64 bits"),
        ("1e999", "float", "a number"), ("yes", "bool", "true, f"),
        (True, "int", "whole number"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_refused(
    tmp_path: Path, value: Any, kind: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        field_value(value, kind)
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"id": "a", "text": "x", "n": value}) + "\n")
    source = open_source(path, options=SourceOptions(fields=(f"n:{kind}",)))
    with pytest.raises(CorpusError, match=rf"line 1: unusable field: 'n' of 'a' is .*{said}"):
        list(source.documents())


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    (tmp_path / "c.csv").write_text("id,text,year\na,x,2020\n")
    (tmp_path / "n.tsv").write_text("a\tx\t2020\n")
    pq.write_table(pa.table({"id": ["a"], "text": ["x"]}), tmp_path / "c.parquet")
    numbered = {"id_column": "1", "text_column": "2"}
    (tmp_path / "c.jsonl").write_text('{"id": "a", "text": "x"}\n{"id": "b", "y": 1}\n')
    (tmp_path / "corpus.jsonl").write_text('{"id": "a", "text": "x"}\n')
    for name, columns, field in (
        ("c.csv", {}, "yaer"),
        ("c.jsonl", {}, "yaer"),
        ("", {}, "yaer"),
        ("n.tsv", numbered, "4"),
        ("c.parquet", {}, "y"),
    ):
        options = SourceOptions(fields=(f"{field}:int",), **columns)
        with pytest.raises(CorpusError, match=f"no column '{field}' to store as a field"):
            list(open_source(tmp_path / name, options=options).documents())
    with pytest.raises(CorpusError, match=r"'yaer' to store as a field, found 'id', 'text', 'y';"):
        list(open_source(tmp_path / "c.jsonl", options=SourceOptions(fields=("yaer",))).documents())
    options = SourceOptions(fields=("3:int",), **numbered)
    found = list(open_source(tmp_path / "n.tsv", options=options).documents())
    assert found[0].fields == {"3": 2020}
    with pytest.raises(UsageError, match="stdlib has no field 'year'"):
        list(open_source("stdlib", options=SourceOptions(fields=("year",))).documents())


def test_what_is_no_type_is_refused_unless_a_field_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"id": "a", "text": "x", "year": "2020", "a:day": 7}\n')
    for name in ("year:day", "year:"):
        bad = open_source(path, options=SourceOptions(fields=(name,)))
        said = f"no column '{name}' .* a type after a colon is one of int, float, bool, date"
        with pytest.raises(CorpusError, match=said):
            list(bad.documents())
    for name, expected in (("a:day", {"a:day": 7}), ("a:day:str", {"a:day": "7"})):
        source = open_source(path, options=SourceOptions(fields=(name,)))
        assert [each.fields for each in source.documents()] == [expected]


def test_fields_that_no_new_document_has_are_refused_only_if_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('not JSON\n{"id": "a", "text": "x"}\n')
    late = '{"id": "b", "text": "x", "year": null}\n'
    optional = SourceOptions(index_fields={"year": "int"}, skip_bad=True)
    assert [each.fields for each in open_source(path, options=optional).documents()] == [{}]
    asked = SourceOptions(fields=("year",), skip_bad=True)
    with pytest.raises(CorpusError, match="no column 'year'"):
        list(open_source(path, options=asked).documents())
    path.write_text(path.read_text() + late)
    source = open_source(path, options=asked)
    assert [each.doc_id for each in source.documents()] == ["a", "b"]
    assert source.skipped.total == 1
    path.write_text("")
    with pytest.raises(CorpusError, match="no documents"):
        list(open_source(path, options=asked).documents())


def test_latency_under_a_filter_searches_what_is_left(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hybrid.index.dense.vector import VectorIndex
    from hybrid.index.sparse.inverted import InvertedIndex
    from hybrid.search.latency import stage_latencies

    given: list[tuple[str, list[int]]] = []
    for kind in (InvertedIndex, VectorIndex):
        plain = kind.search

        def noted(self, *args, plain=plain, kind=kind, **named):  # type: ignore[no-untyped-def]
            given.append((kind.__name__, named["subset"].doc_nums.tolist()))
            return plain(self, *args, **named)

        monkeypatch.setattr(kind, "search", noted)
    text = 'lang == "de"'
    stages = stage_latencies(
        index.view(), {"a": "merge sort", "b": "json"}, index.plan(filter=text), count=2
    )
    left = index.contents.select(text).doc_nums.tolist()
    assert 0 < len(left) < len(index)
    assert {name for name, _ in given} == {"InvertedIndex", "VectorIndex"}
    assert all(numbers == left for _, numbers in given)
    assert [each.name for each in stages][-3:] == ["pool", "fuse", "total"]


def test_evaluate_times_its_stages_under_the_filter(
    hybrid_command: Command, beir_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hybrid.search.latency as latency

    rows = [json.loads(line) for line in (beir_folder / "corpus.jsonl").read_text().splitlines()]
    corpus = "".join(json.dumps({**row, "n": at}) + "\n" for at, row in enumerate(rows))
    (beir_folder / "corpus.jsonl").write_text(corpus)
    built = ("build", beir_folder, "-o", tmp_path / "index", "--sparse", "none", "--dense", "none")
    assert hybrid_command(*built, "--fields", "n:int")[0] == 0
    plain, timed = latency.stage_latencies, []

    def noted(view, queries, plan, **named):  # type: ignore[no-untyped-def]
        timed.append(plan.filter)
        return plain(view, queries, plan, **named)

    monkeypatch.setattr(latency, "stage_latencies", noted)
    judged = ("evaluate", tmp_path / "index", beir_folder, "--json", "--latency", "2")
    status, out, err = hybrid_command(*judged, "--filter", "n < 6")
    assert status == 0, err
    assert timed == ["n < 6"]
    assert [each["name"] for each in json.loads(out)["latency"]] == [
        "encode bm25", "search bm25", "pool", "fuse", "total",
    ]  # fmt: skip
    status, _, err = hybrid_command(*judged, "--filter", "absent == 1")
    assert status == 1
    assert "no field 'absent'" in err
