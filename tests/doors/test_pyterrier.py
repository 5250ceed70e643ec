"""PyTerrier: an experiment gives our figures, and fused frames are our fused runs."""

from __future__ import annotations

import pytest

pytest.importorskip("pyterrier")

import ir_measures
import pandas as pd
import pyterrier as pt

from hybrid.fusion import fuse_runs, parse_fusion
from hybrid.integrations.frameworks.pyterrier import HybridFuse, HybridRetrieve
from hybrid.integrations.frameworks.tables import qrels_to_frame, run_from_frame
from hybrid.search.index import Index
from tests.conftest import QUERIES
from tests.doors.conftest import FUSION

pytestmark = pytest.mark.doors
TEXTS = {query_id: text for query_id, (text, _) in QUERIES.items()}
JUDGED = {query_id: judged for query_id, (_, judged) in QUERIES.items()}
TOPICS = pd.DataFrame(list(TEXTS.items()), columns=["qid", "query"])


def test_an_experiment_gives_our_figures(made_index: Index) -> None:
    measures = [ir_measures.nDCG @ 10, ir_measures.R @ 5, ir_measures.RR @ 10]
    qrels = qrels_to_frame(JUDGED).rename(
        columns={"query_id": "qid", "doc_id": "docno", "relevance": "label"}
    )
    systems = {name: HybridRetrieve(made_index, 10, fusion=name) for name in ("bm25", FUSION)}
    table = pt.Experiment(
        list(systems.values()), TOPICS, qrels, measures, names=list(systems)
    ).set_index("name")
    for name in systems:
        run = made_index.search(TEXTS, 10, fusion=name)
        ours = ir_measures.calc_aggregate(measures, JUDGED, run.to_dict())
        for measure, value in ours.items():
            assert table.loc[name, str(measure)] == pytest.approx(value, abs=1e-6)
            assert value > 0


def test_rows_keep_the_columns_of_their_query(made_index: Index) -> None:
    frame = HybridRetrieve(made_index, 3)(TOPICS.assign(extra="e"))
    assert set(frame.columns) == {"qid", "query", "extra", "docno", "score", "rank"}
    assert (frame.groupby("qid")["rank"].min() == 0).all()
    assert run_from_frame(frame, query="qid", doc="docno") == made_index.search(TEXTS, 3)


def test_fused_frames_are_fused_runs(made_index: Index) -> None:
    two = {name: HybridRetrieve(made_index, 10, fusion=name) for name in ("bm25", "dense")}
    fusion = "cc(alpha=0.4, norm=minmax)"
    frame = HybridFuse(two, fusion, 5)(TOPICS)
    runs = {name: made_index.search(TEXTS, 10, fusion=name) for name in two}
    expected = fuse_runs(runs, parse_fusion(fusion), 5)
    assert run_from_frame(frame, query="qid", doc="docno") == expected
