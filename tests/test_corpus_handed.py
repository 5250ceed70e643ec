from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hybrid
from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document, SourceOptions
from hybrid.corpus.handed import as_source, handed_documents
from hybrid.errors import CorpusError, HybridError, UsageError
from hybrid.search.index import Index
from tests.test_corpus_irds import Docs, TitledDoc, register, tiny
from tests.test_living import ENCODERS, build

__all__ = ["register"]


def document(fields: object) -> Document:
    return Document("d1", "text", fields=cast("Mapping[str, Any]", fields))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("en"), "en"),
        (np.datetime64("2020-01-02T03:04", "ns"), "2020-01-02T03:04:00+00:00"),
        (np.datetime64("2020"), "2020-01-01"),
        (np.datetime64("2020-02"), "2020-02-01"),
        (np.datetime64("2020-01-01T08"), "2020-01-01T08:00:00+00:00"),
        (np.datetime64(-1, "ns"), "1969-12-31T23:59:59.999999+00:00"),
        (np.datetime64(7, "ps"), "1970-01-01T00:00:00+00:00"),
        (np.datetime64("NaT"), None),
        (dt.datetime(1890, 1, 1, tzinfo=ZoneInfo("Europe/Paris")), "1889-12-31T23:50:39+00:00"),
        (dt.datetime(2020, 7, 1, tzinfo=ZoneInfo("Europe/Paris")), "2020-06-30T22:00:00+00:00"),
        (np.arange(2), [0, 1]),
        (np.array(3), 3),
        (np.array("2020-01-02", "M8[D]"), "2020-01-02"),
        ([np.array(3), np.array(4)], [3, 4]),
        (True, True),
        (3, 3),
        ("en", "en"),
        (None, None),
    ],
)
def test_numpy_scalars_become_plain_values(value: object, plain: object) -> None:
    (found,) = handed_documents([document({"y": value})])
    assert found == document({"y": plain})
    assert type(found.fields["y"]) is type(plain)


def test_documents_without_fields_pass_as_they_are() -> None:
    plain = document({"year": 2020})
    assert next(handed_documents([plain])) is plain
    assert list(handed_documents([document(None)])) == [document({})]
    assert list(handed_documents([])) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([("year", 2020)], r"fields of the document at place 1 are .*\(list\); give a dictionary"),
        (
            {2020: "year"},
            r"name of a field of the document at place 1 is 2020 \(int\); give",
        ),
        (
            {"y": {"a": 1}},
            r"place 1: unusable field: 'y' of 'd1' is \{'a': 1\}, expected a text, a num",
        ),
        ({"y": np.datetime64("12020-01-01")}, "expected an ISO date"),
        ({"y": np.zeros((1, 1))}, r"array\(\[\[0.\]\]\), expected a list without lists in it"),
        ({"y": 1j}, "1j, expected a text"),
    ],
)
def test_fields_that_filters_could_not_see_are_refused(fields: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list(handed_documents([Document("d0", "text"), document(fields)]))


@pytest.mark.parametrize(
    ("doc_id", "said"),
    [
        ("", "place 0: unusable id: id 'doc_id' is empty"),
        ("a b", "place 0: unusable id: id 'a b' holds white space"),
        ("a\n", r"place 0: unusable id: id 'a\\n' holds white space"),
        ("a\0", "the doc_id of the document at place 0 holds a NUL byte at 1"),
        ("\ud800", r"the doc_id of the document at place 0 holds '\\ud800' at 0"),
    ],
)
def test_ids_that_no_source_would_give_are_refused(doc_id: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list(handed_documents([Document(doc_id, "text")]))


def test_added_fields_of_numpy_are_filtered_as_any_other(tmp_path: Path) -> None:
    index = build(tmp_path / "idx", [Document("a", "merge", fields={"year": 2019})])
    index.add([Document("b", "merge", fields=cast("Any", {"year": np.int64(2021)}))])
    assert [hit.doc_id for hit in index.search("merge", filter="year > 2020")] == ["b"]
    with pytest.raises(UsageError, match="holds white space"):
        index.update([Document("c d", "merge")])
    assert len(index) == 2


def test_a_field_without_a_value_in_any_document_is_not_stored(tmp_path: Path) -> None:
    index = build(tmp_path / "idx", [Document("a", "merge", fields={"n": None, "y": 1})])
    index.add([Document("b", "merge", fields={"n": None, "x": float("nan")})])
    assert index.contents.documents.field_kinds == {"y": "int"}
    index.add([Document("c", "merge", fields={"n": 2, "y": None})])
    assert [index.document(each).fields for each in "abc"] == [{"y": 1}, {}, {"n": 2}]


def test_a_build_takes_and_refuses_what_an_addition_does(tmp_path: Path) -> None:
    year = cast("Any", {"year": np.int64(2021)})
    index = build(tmp_path / "idx", [Document("b", "merge", fields=year)])
    assert index.document("b").fields == {"year": 2021}
    with pytest.raises(UsageError, match="holds white space"):
        build(tmp_path / "other", [Document("c d", "merge")])
    assert [entry.name for entry in tmp_path.iterdir()] == ["idx"]


RECORDS: list[dict[str, Any]] = [
    {"id": "a", "title": "T", "text": "merge lists", "year": 2019, "meta": {"lang": "en"}},
    {"id": "b", "title": None, "text": "merge files", "year": None, "meta": {"lang": "de"}},
]
READING = SourceOptions(fields=("year", "meta.lang"))


def hugging_face(records: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("datasets").Dataset.from_list(records)


def arrow_dataset(records: list[dict[str, Any]]) -> Any:
    import pyarrow.dataset as ds

    return ds.dataset(pa.Table.from_pylist(records))


def pandas_by_index(records: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("pandas").DataFrame(records).set_index("id")


def documents(records: list[dict[str, Any]]) -> list[Document]:
    return [
        Document(
            each["id"],
            each["text"],
            each["title"] or "",
            {"year": each["year"], "meta.lang": each["meta"]["lang"]},
        )
        for each in records
    ]


HOLDERS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "a list of dictionaries": lambda records: records,
    "an iterator of dictionaries": iter,
    "a pandas DataFrame": lambda records: pytest.importorskip("pandas").DataFrame(records),
    "a pandas DataFrame whose index has a name": pandas_by_index,
    "a Polars DataFrame": lambda records: pytest.importorskip("polars").DataFrame(records),
    "an Arrow table": pa.Table.from_pylist,
    "an Arrow reader": lambda records: pa.Table.from_pylist(records).to_reader(),
    "an Arrow dataset": arrow_dataset,
    "a Hugging Face `datasets.Dataset`": hugging_face,
    "a list of `hybrid.Document`": documents,
    "an iterator of `hybrid.Document`": lambda records: iter(documents(records)),
}


def cells(records: list[dict[str, Any]], separator: str) -> str:
    rows = [
        [each["id"], each["title"], each["text"], each["year"], each["meta"]["lang"]]
        for each in records
    ]
    lines = [["" if cell is None else str(cell) for cell in row] for row in rows]
    head = ["id", "title", "text", "year", "meta.lang"]
    return "".join(separator.join(line) + "\n" for line in [head, *lines])


def lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(each) + "\n" for each in records)


FILES: dict[str, tuple[str, Callable[[list[dict[str, Any]]], str | pa.Table]]] = {
    "a JSONL file": ("c.jsonl", lines),
    "a JSON file": ("c.json", json.dumps),
    "a CSV file": ("c.csv", lambda records: cells(records, ",")),
    "a TSV file": ("c.tsv", lambda records: cells(records, "\t")),
    "a Parquet file": ("c.parquet", pa.Table.from_pylist),
    "a BEIR folder": ("beir/corpus.jsonl", lines),
    "a folder of files of one kind": ("several/part.csv", lambda records: cells(records, ",")),
}


def held_as(kind: str, records: list[dict[str, Any]], folder: Path) -> Any:
    """Return the records in one of the forms of the table of inputs."""
    if kind in HOLDERS:
        return HOLDERS[kind](records)
    name, write = FILES[kind]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = write(records)
    if isinstance(content, str):
        path.write_text(content)
    else:
        pq.write_table(content, path)
    return path if path.parent == folder else path.parent


def test_the_table_of_inputs_is_that_of_the_tests() -> None:
    page = Path(__file__).parent.parent / "docs" / "corpora.md"
    table = page.read_text(encoding="utf-8").partition("| input |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    others = [*TEXTS, "an ir-datasets id"]
    assert rows == [*HOLDERS, *FILES, *others]


@pytest.mark.parametrize("kind", [*HOLDERS, *FILES])
def test_anything_that_holds_documents_builds_an_index_and_is_added(
    tmp_path: Path, kind: str
) -> None:
    reading = None if "hybrid.Document" in kind else READING
    held = held_as(kind, RECORDS, tmp_path)
    report = build_index(held, tmp_path / "idx", reading=reading, encoders=ENCODERS)
    assert report.document_count == 2
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    year = "float" if "pandas" in kind else "int"  # NaN is no int
    assert index.contents.documents.field_kinds == {"meta.lang": "str", "year": year}
    first = Document("a", "merge lists", "T", {"year": 2019, "meta.lang": "en"})
    assert index.document("a") == first
    assert index.document("b") == Document("b", "merge files", fields={"meta.lang": "de"})
    changed = [{**RECORDS[0], "year": 2020}, {**RECORDS[1], "id": "c"}]
    report = index.update(held_as(kind, changed, tmp_path))  # fields are those of the index
    assert (report.added, report.replaced) == (1, 1)
    assert [hit.doc_id for hit in index.search("merge", filter="year == 2020")] == ["a"]
    with pytest.raises(CorpusError, match="'c'"):
        index.add(held_as(kind, changed, tmp_path))
    later = [{**RECORDS[0], "id": "d", "text": "merge queues"}]
    assert index.add(held_as(kind, later, tmp_path)).added == 1


TEXTS: dict[str, Callable[[list[str]], Any]] = {
    "a list of texts": list,
    "an iterator of texts": iter,
    "an array or pandas Series of texts": lambda texts: pytest.importorskip("pandas").Series(texts),
}


@pytest.mark.parametrize("hold", [*TEXTS.values(), np.array])
def test_texts_have_their_places_as_ids(tmp_path: Path, hold: Callable[[list[str]], Any]) -> None:
    texts = ["merge lists", "merge files"]
    build_index(hold(texts), tmp_path / "idx", encoders=ENCODERS)
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    assert [index.document(doc_id).text for doc_id in ("0", "1")] == texts
    report = index.update(hold([*texts, "merge queues"]))
    assert (report.added, report.replaced) == (1, 2)
    with pytest.raises(CorpusError, match="1 of 1 documents are in the index already, such as '0'"):
        index.add(hold(["merge heaps"]))


def test_an_ir_datasets_id_builds_an_index_and_is_added(tmp_path: Path, register: Any) -> None:
    tiny(register)
    register("hybrid-new", Docs([TitledDoc("b", "sort again", ""), TitledDoc("c", "join", "T")]))
    reading = SourceOptions(fields=("title",))
    build_index("hybrid-tiny", tmp_path / "idx", reading=reading, encoders=ENCODERS)
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    with pytest.raises(CorpusError, match="1 of 2 documents are in the index already, such as 'b'"):
        index.add("hybrid-new")
    report = index.update("hybrid-new")
    assert (report.added, report.replaced) == (1, 1)
    assert index.document("c") == Document("c", "join", "T", {"title": "T"})


def test_paths_and_columns_are_taken_by_every_verb(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("sku;about;price\n7;merge lists;1.5\n")
    reading = SourceOptions(
        id_column="sku", text_column="about", fields=("price",), delimiter=";", skip_bad=True
    )
    build_index(tmp_path / "c.csv", tmp_path / "idx", reading=reading, encoders=ENCODERS)
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    (tmp_path / "c.csv").write_text("sku;about;price\n8;merge files;2\n;x;1\n")
    report = index.add(str(tmp_path / "c.csv"), reading=replace(reading, fields=()))
    assert report.skipped == {"unusable id": 1}
    assert {hit.doc_id for hit in index.search("merge", filter="price > 1")} == {"7", "8"}


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (5, r"for documents, 5 \(int\) was given; give a list of hybrid.Document"),
        (None, "for documents, None"),
        ({"id": "a", "text": "b"}, r"for documents, .*\(dict\) was given; give a list"),
        ("no-such-thing", "'no-such-thing' is neither a file, a folder"),
        (Path("no.jsonl"), "no.jsonl does not exist"),
        ([("a", "b")], r"\('a', 'b'\) \(tuple\) was given at place 0; give hybrid.Document"),
        (["a", 5], r"5 \(int\) was given at place 1; give texts"),
        ([{"id": "a", "text": "x"}, "b"], r"'b' \(str\) was given at place 1; give dictionaries"),
        ([{"key": "a", "text": "x"}], "place 0: missing field: expected '_id' or 'id'"),
        ([{"id": "a", "text": "x"}, {"id": "b"}], "place 1: missing field: expected 'text'"),
        ([{"id": 7, "text": "x"}, {"id": "7", "text": "x"}], "place 1: duplicate id"),
        ([{"id": True, "text": "x"}], "place 0: field that is no string: id 'id' is True"),
        ([{"id": "a", "text": None}], "'text' of 'a' is null"),
        ([], "no documents"),
        (
            pa.table({"id": ["a"], "body text": ["x"]}),
            "no column 'text' .* found 'id', 'body text'",
        ),
        (pa.table({"id": ["a"], "text": [7]}), "place 0: field that is no string: 'text' of 'a'"),
    ],
)
def test_what_holds_no_documents_is_refused_before_a_model_is_loaded(
    tmp_path: Path, held: Any, said: str
) -> None:
    with pytest.raises(HybridError, match=said):
        build_index(held, tmp_path / "idx", BuildOptions(sparse="no-model", dense="no-model"))
    assert not list(tmp_path.iterdir())


def test_a_missing_field_of_dictionaries_is_named(tmp_path: Path) -> None:
    reading = SourceOptions(fields=("yaer",))
    records = [{"id": "a", "text": "x", "year": 1}]
    for held in (records, pa.Table.from_pylist(records)):
        with pytest.raises(CorpusError, match="no column 'yaer' to store as a field, found "):
            build_index(held, tmp_path / "idx", reading=reading, encoders=ENCODERS)
    with pytest.raises(UsageError, match="a source is read as it was opened"):
        build_index(as_source(records), tmp_path / "idx", reading=reading, encoders=ENCODERS)


def test_mixed_columns_of_a_frame_are_named(tmp_path: Path) -> None:
    frame = pytest.importorskip("pandas").DataFrame({"id": ["a", 1], "text": ["x", "y"]})
    with pytest.raises(UsageError, match=r"DataFrame cannot be read as a table: .*column id"):
        build_index(frame, tmp_path / "idx", encoders=ENCODERS)


@pytest.mark.parametrize("kind", ["frame", "csv", "parquet"])
def test_an_added_table_may_lack_fields_of_the_index(tmp_path: Path, kind: str) -> None:
    pandas = pytest.importorskip("pandas")
    options = hybrid.BuildOptions(sparse=None, dense=None)
    rows = [{"id": "a", "text": "merge lists", "year": 2019, "tags": ["red"]}]
    reading = hybrid.SourceOptions(fields="*")
    hybrid.build_index(rows, tmp_path / "index", options, reading=reading)
    frame = pandas.DataFrame({"id": ["b"], "text": ["sort lists"], "year": [2020]})
    given = {"frame": frame, "csv": tmp_path / "new.csv", "parquet": tmp_path / "new.parquet"}[kind]
    if kind == "csv":
        frame.to_csv(given, index=False)
    elif kind == "parquet":
        frame.to_parquet(given, index=False)
    with hybrid.open(tmp_path / "index") as index:
        report = index.add(given)
        assert any("no new document has a value in field 'tags'" in note for note in report.notes)
        assert dict(index.document("b").fields) == {"year": 2020}
        with pytest.raises(CorpusError, match="no column 'price' to store as a field"):
            index.update(given, reading=hybrid.SourceOptions(fields="price"))
