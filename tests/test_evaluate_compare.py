from __future__ import annotations

import numpy as np
import pytest

from hybrid.errors import UsageError
from hybrid.evaluate import evaluate, judge
from hybrid.evaluate.bench import Bench, headroom
from hybrid.evaluate.comparison import compare, compare_runs, unmet_expectations
from hybrid.evaluate.judging import judged_documents, without_own_documents
from hybrid.evaluate.significance import compare_paired
from hybrid.evaluate.slices import lexical_overlap, query_lengths, slice_queries
from hybrid.fusion import Fusion, fuse, rank
from hybrid.fusion.run import Run
from tests.made_pools import random_pool, random_qrels

POOL = random_pool(21, queries=30)
QRELS = random_qrels(POOL, 21, relevant=12)
RUNS = {t: rank(POOL, fuse(POOL, Fusion.parse(t)), 20) for t in ("sparse", "dense", "rrf")}


def test_each_system_is_held_against_the_baseline_over_the_same_queries() -> None:
    ndcg, recall = compare_runs(RUNS, QRELS, "nDCG@10,R@10", baseline="dense", seed=4)
    found = {name: evaluate(run, QRELS, "nDCG@10") for name, run in RUNS.items()}
    rows = {name: e.per_query("nDCG@10") for name, e in found.items()}
    assert (ndcg.measure, recall.measure) == ("nDCG@10", "R@10")
    assert ndcg.baseline == "dense"
    assert list(ndcg.difference) == ["sparse", "rrf"]
    for name, difference in ndcg.difference.items():
        assert difference.mean == pytest.approx(rows[name].mean() - rows["dense"].mean())
        assert difference.wins == (rows[name] > rows["dense"]).sum()
        (alone,) = compare_paired(rows[name], [rows["dense"]], seed=4)
        assert (difference.p, difference.low) == pytest.approx((alone.p, alone.low))
        assert difference.p_holm >= difference.p
    assert ndcg.to_dict()["systems"]["rrf"]["mean"] == pytest.approx(rows["rrf"].mean())


def test_a_slice_is_the_comparison_of_its_queries() -> None:
    found = {name: evaluate(run, QRELS, "nDCG@10") for name, run in RUNS.items()}
    part = ["q3", "q7", "q9", "q20"]
    sliced = compare(found, queries=part)
    smaller = compare_runs(RUNS, {q: QRELS[q] for q in part})[0]
    assert sliced.queries == 4
    assert sliced.means == pytest.approx(smaller.means)


def test_own_documents_and_unjudged_ones_can_be_left_out() -> None:
    run = Run.from_dict({"a": {"a": 3.0, "b": 2.0, "c": 1.0}, "z": {}})
    assert without_own_documents(run).doc_ids("a") == ("b", "c")
    kept = judged_documents(run, {"a": {"c": 0, "a": 1}})
    assert kept.doc_ids("a") == ("a", "c")
    assert kept.scores("a").tolist() == [3, 1]
    assert kept.doc_ids("z") == ()


def test_expectations_fail_beyond_the_tolerance_only() -> None:
    found = {"nDCG@10": 0.6451, "AP(rel=2)": 0.3}
    assert unmet_expectations(found, ["nDCG@10=0.6456", "AP(rel=2)=0.3"]) == []
    assert unmet_expectations(found, ["nDCG@10=0.6457"]) != []
    assert unmet_expectations(found, ["nDCG@10=0.6"], tolerance=0.05) == []
    for text in ("nDCG@10", "nDCG@10=high", "0.5"):
        with pytest.raises(UsageError, match="give measure=value"):
            unmet_expectations(found, [text])
    with pytest.raises(UsageError, match="RR was not computed; computed: nDCG@10"):
        unmet_expectations(found, ["RR=0.5"])


def test_slices_by_length_and_overlap() -> None:
    queries = {"a": "merge sorted lists", "b": "heap", "c": "how do I sort, quickly, a list?"}
    assert query_lengths(queries) == {"a": 3, "b": 1, "c": 7}
    texts = {"d1": "Sorted lists are merged.", "d2": "nothing"}
    overlap = lexical_overlap(queries, {"a": {"d1": 2, "d2": 1}, "b": {"d2": 0}}, texts)
    assert overlap == {"a": pytest.approx(2 / 3)}
    assert slice_queries(query_lengths(queries), 3) == {
        "1 to 1": ["b"],
        "3 to 3": ["a"],
        "7 to 7": ["c"],
    }
    assert slice_queries({"a": 1.0, "b": 1.0}) == {"1 to 1": ["a", "b"]}


def test_what_is_refused() -> None:
    found = {name: evaluate(run, QRELS, "nDCG@10") for name, run in RUNS.items()}
    with pytest.raises(UsageError, match="1 systems were given"):
        compare({"rrf": found["rrf"]})
    with pytest.raises(UsageError, match="baseline 'bm25' is not among"):
        compare(found, baseline="bm25")
    with pytest.raises(UsageError, match="measure 'RR' was not computed"):
        compare(found, "RR")
    other = evaluate(RUNS["rrf"], {"q1": {"d00000": 1}}, "nDCG@10")
    with pytest.raises(UsageError, match="other queries"):
        compare({"rrf": found["rrf"], "other": other})
    with pytest.raises(UsageError, match="0 queries"):
        slice_queries({})


def test_headroom_rises_from_branch_to_pool() -> None:
    bench = Bench(judge(POOL, QRELS), "nDCG@10")
    found = headroom(bench)
    sparse, dense = bench.values(Fusion.parse("sparse")), bench.values(Fusion.parse("dense"))
    assert found["best branch"] == max(sparse.mean(), dense.mean())
    assert found["branch oracle"] == np.maximum(sparse, dense).mean()
    assert list(found.values()) == sorted(found.values())
    ideal = {q: {d: float(g) for d, g in judged.items()} for q, judged in QRELS.items()}
    inside = {
        q: {d: ideal[q].get(d, 0.0) for d in (POOL.doc_ids[int(n)] for n in nums)}
        for q, nums in zip(POOL.query_ids, np.split(POOL.doc_nums, POOL.offsets[1:-1]), strict=True)
    }
    best = evaluate(Run.from_dict(inside), QRELS, "nDCG@10")["nDCG@10"]
    assert found["pool oracle"] == pytest.approx(best, abs=1e-9)
