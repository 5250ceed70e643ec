"""The bundled collections as sources, on a stand-in for their module."""

from __future__ import annotations

from types import ModuleType

import pytest

import hybrid.corpus.stdlib.source
from hybrid.corpus import Document, Query, SourceOptions, open_source
from hybrid.corpus.stdlib.small import MODULES
from hybrid.errors import CorpusError


@pytest.fixture
def stdlib(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("hybrid.corpus.stdlib.source")
    documents = [
        ("heapq.merge", "heapq.merge(*iterables)", "Merge inputs."),
        ("sorted", "", "Sort."),
    ]
    qrels = {"train": {"q1": {"sorted": 1}}, "test": {"q2": {"heapq.merge": 2, "sorted": 0}}}
    module.documents = lambda name: iter(documents)  # type: ignore[attr-defined]
    module.queries = lambda name: iter([("q1", "order a list"), ("q2", "join")])  # type: ignore[attr-defined]
    module.qrels = lambda split, name: qrels[split]  # type: ignore[attr-defined]
    module.splits = lambda: ("train", "test")  # type: ignore[attr-defined]
    for name in ("documents", "queries", "qrels", "splits"):
        monkeypatch.setattr(hybrid.corpus.stdlib.source, name, getattr(module, name))
    return module


def test_stdlib_source(stdlib: ModuleType) -> None:
    source = open_source("stdlib")
    assert list(source.documents()) == [
        Document("heapq.merge", "Merge inputs.", "heapq.merge(*iterables)"),
        Document("sorted", "Sort."),
    ]
    assert source.splits() == ("train", "test")
    assert list(source.queries()) == [Query("q1", "order a list"), Query("q2", "join")]
    assert list(source.queries("test")) == [Query("q2", "join")]
    assert source.qrels("test") == {"q2": {"heapq.merge": 2, "sorted": 0}}
    assert (source.name, source.document_count()) == ("stdlib", 2)


def test_the_documents_are_gathered_once(
    stdlib: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gathered = stdlib.documents, []
    monkeypatch.setattr(
        hybrid.corpus.stdlib.source, "documents", lambda name: gathered.append(1) or real(name)
    )
    source = open_source("stdlib")
    assert gathered == []
    assert source.document_count() == len(list(source.documents())) == 2
    assert list(source.documents()) == list(source.documents())
    assert gathered == [1]


def test_columns_are_not_taken_for_the_bundled_collection(stdlib: ModuleType) -> None:
    options = SourceOptions(id_column="key", text_column="body")
    assert len(list(open_source("stdlib", options=options).documents())) == 2


@pytest.mark.parametrize("name", ["stdlib", "stdlib-hard", "stdlib-small", "scientific"])
def test_each_collection_has_its_name_and_its_splits(name: str) -> None:
    source = open_source(name)
    assert (source.name, source.splits()) == (name, ("train", "test"))
    assert {query.query_id for query in source.queries("test")} == set(source.qrels("test"))
    with pytest.raises(CorpusError, match=f"{name} has no split 'dev'; it has train, test"):
        source.qrels("dev")
    with pytest.raises(CorpusError, match=f"{name} has no split 'dev'"):
        list(source.queries("dev"))


def test_the_small_collection_keeps_queries_whose_best_document_is_inside() -> None:
    source, whole = open_source("stdlib-small"), open_source("stdlib")
    documents = {document.doc_id for document in source.documents()}
    assert source.document_count() == len(documents) < 300
    assert documents < {document.doc_id for document in whole.documents()}
    assert {doc_id.split(".")[0] for doc_id in documents} == MODULES
    for split in source.splits():
        both = whole.qrels(split) | open_source("stdlib-hard").qrels(split)
        qrels = source.qrels(split)
        assert len(qrels) > 30
        assert all(set(judged) <= documents for judged in qrels.values())
        assert all(max(qrels[each].values()) == max(both[each].values()) for each in qrels)
    assert {query.query_id for query in source.queries()} == {
        query_id for split in source.splits() for query_id in source.qrels(split)
    }
