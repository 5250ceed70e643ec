"""Haystack: its own suite for document stores, and the store behind a retriever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("haystack")

from haystack import Document, Pipeline
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.testing.document_store import DocumentStoreBaseTests
from haystack.utils.filters import document_matches_filter

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.errors import UsageError
from hybrid.integrations.frameworks.haystack import HybridDocumentStore, HybridRetriever
from hybrid.integrations.frameworks.store import Store
from hybrid.search.index import open_index
from tests.doors.conftest import MADE

pytestmark = pytest.mark.doors


def plain(documents: list[Document]) -> list[Document]:
    """Return documents without embeddings, which the index does not keep, by descending id."""
    return sorted((replace(each, embedding=None) for each in documents), key=lambda each: each.id)


@pytest.fixture
def document_store(tmp_path: Path) -> HybridDocumentStore:
    return HybridDocumentStore(Store(tmp_path / "store", encoders=MADE))


class TestDocumentStore(DocumentStoreBaseTests):
    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        assert plain(received) == plain(expected)

    @pytest.fixture
    def document_store(self, tmp_path: Path) -> HybridDocumentStore:
        return HybridDocumentStore(Store(tmp_path / "store", encoders=MADE))

    def test_write_documents(self, document_store: HybridDocumentStore) -> None:
        first = Document(id="1", content="test doc", meta={"n": 1})
        assert document_store.write_documents([first]) == 1
        with pytest.raises(DuplicateDocumentError, match="1 of 2 ids"):
            document_store.write_documents([first, Document(id="2", content="other")])
        assert document_store.filter_documents() == [first]


def test_the_suite_is_run_whole() -> None:
    names = [name for name in dir(DocumentStoreBaseTests) if name.startswith("test_")]
    assert len(names) >= 49
    ours = vars(TestDocumentStore).keys() & set(names)
    assert ours == {"test_write_documents"}  # which the suite leaves to each store


def test_ids_twice_in_one_batch(document_store: HybridDocumentStore) -> None:
    twice = [Document(id="a", content=text) for text in ("first", "second")]
    with pytest.raises(DuplicateDocumentError):
        document_store.write_documents(twice, DuplicatePolicy.FAIL)
    assert document_store.count_documents() == 0
    assert document_store.write_documents(twice, DuplicatePolicy.SKIP) == 1
    assert [each.content for each in document_store.filter_documents()] == ["first"]
    assert document_store.write_documents(twice, DuplicatePolicy.OVERWRITE) == 2
    assert [each.content for each in document_store.filter_documents()] == ["second"]


def test_retriever_of_a_store(document_store: HybridDocumentStore) -> None:
    retriever = HybridRetriever(document_store, fusion="bm25")
    assert retriever.run("cherry")["documents"] == []
    document_store.write_documents(
        [
            Document(id=str(n), content=f"one {word}", meta={"n": n} if n else {})
            for n, word in enumerate(("cherry tree", "cherry", "damson"))
        ]
    )
    found = retriever.run("cherry")["documents"]
    assert found[0].id == "1"
    assert found[0].score == found[0].meta["branch_scores"]["bm25"] > 0
    filters = {"field": "meta.n", "operator": "!=", "value": 1}
    assert "0" in {each.id for each in retriever.run("cherry", filters=filters)["documents"]}
    filters["operator"] = ">="
    assert {each.id for each in retriever.run("one", filters=filters)["documents"]} == {"1", "2"}


def test_filters_say_what_they_say_in_haystack(document_store: HybridDocumentStore) -> None:
    documents = [
        Document(id=f"{n}{tag}", content="text", meta={"n": n, "tag": tag} if n else {"tag": tag})
        for n in range(3)
        for tag in "ab"
    ] + [Document(id="none", content="text")]
    document_store.write_documents(documents)
    comparisons: list[dict[str, Any]] = [
        {"field": "meta.n", "operator": sign, "value": value}
        for sign in ("==", "!=", ">", ">=", "<", "<=")
        for value in (None, 1, 1.5)
    ]
    comparisons += [
        {"field": "tag" if word == "in" else "meta.tag", "operator": word, "value": value}
        for word in ("in", "not in")
        for value in (["a"], ["a", None])
    ]
    several = [
        {"operator": word, "conditions": [left, right]}
        for word in ("AND", "OR", "NOT")
        for left in comparisons[::3]
        for right in comparisons[-4:]
    ]
    for filters in [*comparisons, *several, {"operator": "NOT", "conditions": several[:1]}]:
        expected = {each.id for each in documents if document_matches_filter(filters, each)}
        assert {each.id for each in document_store.filter_documents(filters)} == expected, filters


def test_what_is_no_filter_is_refused(document_store: HybridDocumentStore) -> None:
    document_store.write_documents([Document(content="text", meta={"n": 1})])
    for filters, message in (
        ({"field": "meta.m", "operator": "==", "value": 1}, "no field 'm'"),
        ({"field": "meta.n", "operator": "~", "value": 1}, "by '~'"),
        ({"operator": "XOR", "conditions": []}, "joins by 'XOR'"),
        ({"field": "id", "operator": "==", "value": "a"}, "'id' .str. is no field of meta"),
        ({"field": "content", "operator": "==", "value": "text"}, "'content' .str. is no field"),
        ({"field": 3, "operator": "==", "value": "text"}, "3 .int. is no field of meta"),
    ):
        with pytest.raises(FilterError, match=message):
            document_store.filter_documents(filters)


def test_a_store_as_plain_values(tmp_path: Path, document_store: HybridDocumentStore) -> None:
    data = HybridDocumentStore(tmp_path / "other").to_dict()
    assert HybridDocumentStore.from_dict(data).store.directory == tmp_path / "other"
    with pytest.raises(UsageError, match="give a path"):
        document_store.to_dict()


def test_a_pipeline_is_saved_and_loaded(tmp_path: Path) -> None:
    built = Store(tmp_path / "store", BuildOptions(sparse=None, dense=None, weights="float32"))
    HybridDocumentStore(built).write_documents(
        [Document(id=str(n), content=f"cherry {n}", meta={"n": n}) for n in range(3)]
    )
    pipeline = Pipeline()
    store = HybridDocumentStore(tmp_path / "store")
    retriever = HybridRetriever(store, top_k=1, fusion="bm25", filter={"n": {"$lt": 2}})
    pipeline.add_component("found", retriever)
    loaded = Pipeline.loads(
        pipeline.dumps(), allowed_modules=["hybrid.integrations.frameworks.haystack"]
    )
    assert loaded.get_component("found").options == retriever.options
    asked = {"found": {"query": "cherry"}}
    assert loaded.run(asked) == pipeline.run(asked)
    assert [each.id for each in loaded.run(asked)["found"]["documents"]] == ["1"]


def test_a_retriever_of_an_opened_index_is_no_plain_value(tmp_path: Path) -> None:
    build_index(["cherry"], tmp_path / "index", BuildOptions(sparse=None, dense=None))
    with open_index(tmp_path / "index") as index, pytest.raises(UsageError, match="opened index"):
        HybridRetriever(index).to_dict()
