"""LangChain: its own suites for retrievers and vector stores, and what they do not ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_tests")

from langchain_core.documents import Document
from langchain_tests.integration_tests import (
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)

from hybrid.integrations.frameworks.langchain import HybridRetriever, HybridVectorStore
from hybrid.integrations.frameworks.store import Store
from hybrid.search.index import Index
from tests.doors.conftest import FUSION, MADE

pytestmark = pytest.mark.doors


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _index(self, made_index: Index) -> None:
        self.made = made_index

    @property
    def retriever_constructor(self) -> type[HybridRetriever]:
        return HybridRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"index": self.made}

    @property
    def retriever_query_example(self) -> str:
        return "merge sorted lists"

    @pytest.fixture
    def retriever(self, _index: None) -> HybridRetriever:
        return HybridRetriever(index=self.made)


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> HybridVectorStore:
        return HybridVectorStore(Store(tmp_path / "store", encoders=MADE))


def test_retrieved_documents_are_the_hits_of_the_index(made_index: Index) -> None:
    retriever = HybridRetriever(
        index=made_index, k=3, search_options={"fusion": FUSION, "filter": {"words": {"$gt": 5}}}
    )
    documents = retriever.invoke("merge sorted lists")
    hits = made_index.search("merge sorted lists", 3, fusion=FUSION, filter="words > 5")
    assert [each.id for each in documents] == [hit.doc_id for hit in hits]
    assert [each.metadata["score"] for each in documents] == [hit.score for hit in hits]
    pool = made_index.pool(["merge sorted lists"])
    for each in documents:
        (place,) = [i for i, num in enumerate(pool.doc_nums) if pool.doc_ids[num] == each.id]
        assert each.metadata["branch_scores"] == dict(
            zip(pool.branches, pool.scores[:, place].tolist(), strict=True)
        )
        assert each.metadata["words"] > 5


def test_a_store_that_grows_knows_new_words_and_is_kept(tmp_path: Path) -> None:
    store = HybridVectorStore(Store(tmp_path / "store", encoders=MADE))
    for number, word in enumerate(("apple", "banana", "cherry", "damson")):
        store.add_documents([Document(f"one {word}", id=str(number), metadata={"number": number})])
    reopened = HybridVectorStore(Store(tmp_path / "store", encoders=MADE))
    assert len(reopened.store) == 4
    hits = reopened.similarity_search_with_score("cherry", k=10, fusion="bm25")
    assert (hits[0][0].id, hits[0][1] > 0) == ("2", True)
    filtered = reopened.similarity_search("one", k=10, filter={"number": {"$gte": 2}})
    assert {each.id for each in filtered} == {"2", "3"}


def test_a_store_emptied_and_filled_again_knows_the_new_words(tmp_path: Path) -> None:
    store = HybridVectorStore.from_texts(
        ["old word"], ids=["a"], store=Store(tmp_path / "s", encoders=MADE)
    )
    store.delete(["a", "never there"])
    assert store.similarity_search("old") == []
    store.add_texts(["fresh term", "other thing"], ids=["b", "b"])
    assert [each.page_content for each in store.similarity_search("other", fusion="bm25")] == [
        "other thing"
    ]
