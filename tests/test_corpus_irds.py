"""ir-datasets ids, on a tiny data set that is registered here and needs no download."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from hybrid.corpus import Document, Query, SourceOptions, open_source
from hybrid.errors import CorpusError

ir_datasets = pytest.importorskip("ir_datasets")
formats = pytest.importorskip("ir_datasets.formats")


class TitledDoc(NamedTuple):
    doc_id: str
    text: str
    title: str

    def default_text(self) -> str:
        return f"{self.title} {self.text}"


class FieldedQuery(NamedTuple):
    query_id: str
    title: str
    narrative: str

    def default_text(self) -> str:
        return self.title


class Docs(formats.BaseDocs):  # type: ignore[misc]
    def __init__(self, documents: list[Any]) -> None:
        self.documents = documents

    def docs_iter(self) -> Iterator[Any]:
        for document in self.documents:
            if isinstance(document, Exception):
                raise document
            yield document


class Queries(formats.BaseQueries):  # type: ignore[misc]
    def queries_iter(self) -> Iterator[FieldedQuery]:
        yield FieldedQuery("1", "join lists", "about joining")
        yield FieldedQuery("2", "order", "about ordering")


class Qrels(formats.BaseQrels):  # type: ignore[misc]
    def __init__(self, *judged: tuple[str, str, int]) -> None:
        self.judged = judged

    def qrels_iter(self) -> Iterator[Any]:
        for judgment in self.judged:
            yield (
                formats.GenericQrel(*judgment)
                if hasattr(formats, "GenericQrel")
                else (formats.TrecQrel(*judgment, "0"))
            )


@pytest.fixture
def register() -> Iterator[Any]:
    names: list[str] = []

    def add(name: str, *parts: object) -> None:
        ir_datasets.registry.register(name, ir_datasets.Dataset(*parts))
        names.append(name)

    yield add
    for name in names:
        del ir_datasets.registry._registered[name]


def tiny(register: Any) -> None:
    docs = Docs([TitledDoc("a", "merge inputs", "heapq"), TitledDoc("b", "sort", "")])
    register("hybrid-tiny", docs, Queries())
    register("hybrid-tiny/train", docs, Queries(), Qrels(("1", "a", 1), ("1", "b", 0)))
    register("hybrid-tiny/test", docs, Queries(), Qrels(("2", "b", 1), ("2", "b", 2)))


def test_documents_queries_and_splits(register: Any) -> None:
    tiny(register)
    source = open_source("hybrid-tiny")
    assert list(source.documents()) == [
        Document("a", "merge inputs", "heapq"),
        Document("b", "sort"),
    ]
    assert source.splits() == ("test", "train")
    assert [query.query_id for query in source.queries()] == ["1", "2"]
    assert list(source.queries("train")) == [Query("1", "join lists")]
    assert source.qrels("train") == {"1": {"a": 1, "b": 0}}
    assert source.qrels("test") == {"2": {"b": 2}}  # the highest grade of a pair judged twice
    assert source.document_count() is None
    with pytest.raises(CorpusError, match="no split 'dev'; it has test, train"):
        source.qrels("dev")


def test_an_id_that_is_a_split_goes_by_its_last_part(register: Any) -> None:
    tiny(register)
    source = open_source("hybrid-tiny/train")
    assert source.splits() == ("train",)
    assert list(source.queries("train")) == [Query("1", "join lists")]


def test_chosen_fields(register: Any) -> None:
    tiny(register)
    options = SourceOptions(text_column="title", query_text_column="narrative", skip_bad=True)
    source = open_source("hybrid-tiny", options=options)
    assert list(source.documents()) == [Document("a", "heapq", "heapq")]
    assert source.skipped.counts == {"empty document": 1}
    assert list(source.queries("test")) == [Query("2", "about ordering")]


def test_fields_are_stored_with_or_without_chosen_columns(register: Any) -> None:
    tiny(register)
    for options in (
        SourceOptions(fields=("title",)),
        SourceOptions(text_column="text", fields=("title",)),
    ):
        found = list(open_source("hybrid-tiny", options=options).documents())
        assert [each.fields for each in found] == [{"title": "heapq"}, {"title": ""}]
    source = open_source("hybrid-tiny", options=SourceOptions(fields=("year",)))
    with pytest.raises(CorpusError, match=r"no column 'year' to store as a field, found 'doc_id'"):
        list(source.documents())


def test_a_bad_document_names_the_data_set_and_its_place(register: Any) -> None:
    register("hybrid-bad", Docs([TitledDoc("a", "x", ""), TitledDoc("a", "y", "")]))
    with pytest.raises(CorpusError, match="hybrid-bad, document 2: duplicate id"):
        list(open_source("hybrid-bad").documents())


def test_unknown_id_names_the_nearest(register: Any) -> None:
    tiny(register)
    with pytest.raises(CorpusError, match="nearest ids: hybrid-tiny"):
        open_source("hybrid-tiny/trian")
    with pytest.raises(CorpusError, match="neither a file"):
        open_source("qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq")


@pytest.mark.parametrize(
    "failure",
    [ConnectionError("host unreachable"), RuntimeError("All download sources failed", [])],
)
def test_failed_download_says_how(register: Any, failure: Exception) -> None:
    register("hybrid-offline", Docs([failure]))
    with pytest.raises(CorpusError, match=r"could not read 'hybrid-offline'.*IR_DATASETS_HOME"):
        list(open_source("hybrid-offline").documents())


def test_ids_without_documents_or_queries(register: Any) -> None:
    register("hybrid-part", Qrels(("1", "a", 1)))
    source = open_source("hybrid-part")
    with pytest.raises(CorpusError, match="no documents of its own"):
        list(source.documents())
    with pytest.raises(CorpusError, match="no queries"):
        list(source.queries())
    assert source.splits() == ("test",)
    assert source.document_count() is None


class Author(NamedTuple):
    name: str
    born: int


class NestedDoc(NamedTuple):
    doc_id: str
    body: dict[str, str]
    author: Author

    def default_text(self) -> str:
        return self.body["text"]


def test_nested_fields_are_named_by_dots(register: Any) -> None:
    docs = [NestedDoc("a", {"text": "x", "lead": "y"}, Author("Ann", 1950))]
    register("hybrid-nested", Docs(docs), Queries())
    options = SourceOptions(fields="author.name,author.born")
    (found,) = open_source("hybrid-nested", options=options).documents()
    assert (found.text, dict(found.fields)) == ("x", {"author.name": "Ann", "author.born": 1950})
    options = SourceOptions(text_column="body.lead", fields="*")
    (found,) = open_source("hybrid-nested", options=options).documents()
    assert found.text == "y"
    assert found.fields == {"body.text": "x", "author.name": "Ann", "author.born": 1950}
    for wrong in (SourceOptions(fields="author.nam"), SourceOptions(text_column="body.nam")):
        with pytest.raises(CorpusError, match=r"'body.text', 'body.lead', 'author.name'"):
            list(open_source("hybrid-nested", options=wrong).documents())
    with pytest.raises(CorpusError, match=r"name a part of it: body\.text, body\.lead"):
        list(open_source("hybrid-nested", options=SourceOptions(text_column="body")).documents())
