"""MTEB: a local task made of the bundled collection gives our own figures."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mteb")

import ir_measures
import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from hybrid.build.create import build_index
from hybrid.corpus import open_source
from hybrid.errors import UsageError
from hybrid.integrations.frameworks.mteb import HybridSearch
from hybrid.search.index import open_index
from tests.doors.conftest import FUSION, GIVEN, MADE

pytestmark = pytest.mark.doors


class Bundled(AbsTaskRetrieval):
    metadata = TaskMetadata(
        name="Bundled",
        description="The bundled collection.",
        dataset={"path": "local/bundled", "revision": "1"},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
    )

    def load_data(self, *args: object, **kwargs: object) -> None:
        source = open_source("stdlib-hard")
        corpus = [
            {"id": each.doc_id, "text": each.text, "title": each.title}
            for each in source.documents()
        ]
        queries = [{"id": each.query_id, "text": each.text} for each in source.queries("test")]
        records = {
            "corpus": Dataset.from_list(corpus),
            "queries": Dataset.from_list(queries),
            "relevant_docs": source.qrels("test"),
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": records}}
        self.data_loaded = True


def test_a_task_gives_our_figures(tmp_path: Path) -> None:
    search = HybridSearch(encoders=MADE, fusion=FUSION)
    results = mteb.evaluate(search, tasks=[Bundled()], cache=None)
    scores = results.task_results[0].scores["test"][0]
    source = open_source("stdlib-hard")
    build_index(source, tmp_path / "index", encoders=MADE)
    index = open_index(tmp_path / "index", encoders=GIVEN)
    texts = {query.query_id: query.text for query in source.queries("test")}
    run = index.search(texts, 1000, fusion=FUSION).to_dict()
    measures = [ir_measures.nDCG @ 10, ir_measures.R @ 100]
    ours = ir_measures.calc_aggregate(measures, source.qrels("test"), run)
    assert scores["ndcg_at_10"] == pytest.approx(ours[measures[0]], abs=1e-5)
    assert scores["recall_at_100"] == pytest.approx(ours[measures[1]], abs=1e-5)
    assert scores["ndcg_at_10"] > 0.05


def test_a_search_before_an_index_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing is indexed"):
        HybridSearch().search([], top_k=10)
