"""LlamaIndex and Haystack: the hits of the index, in a fusion retriever and in a pipeline."""

from __future__ import annotations

import pytest

pytest.importorskip("llama_index.core")
pytest.importorskip("haystack")

from haystack import Pipeline
from llama_index.core.llms.mock import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever

from hybrid.integrations.frameworks import haystack, llamaindex
from hybrid.search.index import Index
from tests.doors.conftest import FUSION

pytestmark = pytest.mark.doors
QUERY = "open a file path"


def test_nodes_are_the_hits(made_index: Index) -> None:
    nodes = llamaindex.HybridRetriever(made_index, k=4, fusion=FUSION).retrieve(QUERY)
    hits = made_index.search(QUERY, 4, fusion=FUSION)
    assert [(node.node.node_id, node.score) for node in nodes] == [
        (hit.doc_id, hit.score) for hit in hits
    ]
    assert all(set(node.branch_scores) == {"bm25", "sparse", "dense"} for node in nodes)


def test_fusion_retriever_of_llamaindex_counts_ranks_from_0(made_index: Index) -> None:
    parts = [llamaindex.HybridRetriever(made_index, 10, fusion=name) for name in ("bm25", "dense")]
    fused = QueryFusionRetriever(
        parts,
        llm=MockLLM(),
        mode="reciprocal_rerank",
        num_queries=1,
        similarity_top_k=5,
        use_async=False,
    ).retrieve(QUERY)
    ours = made_index.search(QUERY, 10, fusion="rrf(k=59, branches=(bm25, dense))", depth=10)
    expected = {hit.doc_id: hit.score for hit in ours}
    for node in fused:
        assert node.score == pytest.approx(expected[node.node.node_id], abs=1e-6)


def test_query_engine_of_llamaindex_reads_the_nodes(made_index: Index) -> None:
    retriever = llamaindex.HybridRetriever(made_index, k=2)
    answer = RetrieverQueryEngine.from_args(retriever, llm=MockLLM()).query(QUERY)
    assert [node.node.node_id for node in answer.source_nodes] == [
        hit.doc_id for hit in made_index.search(QUERY, 2)
    ]


def test_component_in_a_pipeline_of_haystack(made_index: Index) -> None:
    pipeline = Pipeline()
    pipeline.add_component("retriever", haystack.HybridRetriever(made_index, fusion=FUSION))
    documents = pipeline.run({"retriever": {"query": QUERY, "top_k": 3}})["retriever"]["documents"]
    hits = made_index.search(QUERY, 3, fusion=FUSION)
    assert [(each.id, each.score) for each in documents] == [
        (hit.doc_id, hit.score) for hit in hits
    ]
    assert all(each.meta["title"] and each.meta["words"] for each in documents)
