"""Frames, ranx and ir_measures: runs and qrels come back as they went."""

from __future__ import annotations

from itertools import product

import pytest

pytest.importorskip("ranx")

import ir_measures
import ranx

from hybrid.errors import UsageError
from hybrid.evaluate import compare_runs
from hybrid.fusion.run import Run
from hybrid.integrations.frameworks import tables
from hybrid.search.index import Index
from tests.conftest import QUERIES

pytestmark = pytest.mark.doors
TEXTS = {query_id: text for query_id, (text, _) in QUERIES.items()}
JUDGED = {query_id: judged for query_id, (_, judged) in QUERIES.items()}
POSITIVE = {q: {d: g for d, g in judged.items() if g > 0} for q, judged in JUDGED.items()}


@pytest.fixture
def run(made_index: Index) -> Run:
    return made_index.search(TEXTS, 5)


def test_runs_come_back_equal(run: Run) -> None:
    assert tables.run_from_frame(tables.run_to_frame(run)) == run
    assert tables.run_from_ir_measures(tables.run_to_ir_measures(run)) == run
    assert tables.run_from_ranx(tables.run_to_ranx(run)).to_dict() == run.to_dict()


def test_qrels_come_back_equal() -> None:
    assert tables.qrels_from_frame(tables.qrels_to_frame(JUDGED)) == JUDGED
    assert tables.qrels_from_ranx(tables.qrels_to_ranx(JUDGED)) == POSITIVE


def test_ranx_and_ir_measures_give_one_figure(run: Run) -> None:
    theirs = ranx.evaluate(tables.qrels_to_ranx(JUDGED), tables.run_to_ranx(run), "mrr@10")
    measure = ir_measures.RR @ 10
    scored = tables.run_to_ir_measures(run)
    assert ir_measures.calc_aggregate([measure], JUDGED, scored)[measure] == pytest.approx(theirs)


def test_compare_says_what_the_report_of_ranx_says(made_index: Index) -> None:
    runs = {name: made_index.search(TEXTS, 5, fusion=name) for name in ("bm25", "sparse", "dense")}
    ours = {each.measure: each for each in compare_runs(runs, JUDGED, ["nDCG@5", "RR@5"])}
    theirs = ranx.compare(
        tables.qrels_to_ranx(JUDGED),
        [tables.run_to_ranx(run) for run in runs.values()],
        ["ndcg@5", "mrr@5"],
        stat_test="fisher",
        n_permutations=10_000,
    )
    for (measure, name), run in product((("nDCG@5", "ndcg@5"), ("RR@5", "mrr@5")), theirs.results):
        system = list(runs)[theirs.model_names.index(run)]
        assert theirs.results[run][name] == pytest.approx(ours[measure].means[system])
        if system == "bm25":
            continue
        found = ours[measure].difference[system]
        counts = theirs.win_tie_loss[run, theirs.model_names[0]][name]
        assert (counts["W"], counts["T"], counts["L"]) == (found.wins, found.ties, found.losses)
        p = theirs.comparisons[theirs.model_names[0], run][name]["p_value"]
        assert p == pytest.approx(found.p, abs=0.03)  # both draw 10,000 permutations


def test_a_frame_without_scores_or_with_a_document_twice_is_refused(run: Run) -> None:
    frame = tables.run_to_frame(run)
    with pytest.raises(UsageError, match="no column 'score'"):
        tables.run_from_frame(frame.drop(columns="score"))
    with pytest.raises(UsageError, match="occurs twice"):
        tables.run_from_frame(frame.iloc[[0, 0]])


def test_an_empty_run_is_an_empty_frame() -> None:
    frame = tables.run_to_frame(Run.from_dict({}))
    assert list(frame.columns) == ["query_id", "doc_id", "score", "rank"]
    assert tables.run_from_frame(frame) == Run.from_dict({})
