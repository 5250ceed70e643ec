from __future__ import annotations

import ir_measures
import numpy as np
import pytest
import pytrec_eval

from hybrid.errors import UsageError
from hybrid.evaluate import ArrayScorer, evaluate, judge, measure_scores, parse_measures
from hybrid.evaluate.evaluation import BLIND_BEHIND_CUTOFF
from hybrid.fusion import Fusion, fuse, rank
from hybrid.fusion.run import Run
from tests.made_pools import pool_of, random_pool, random_qrels

ORACLE = {
    "nDCG@10": "ndcg_cut_10",
    "nDCG": "ndcg",
    "AP": "map",
    "AP@5": "map_cut_5",
    "RR": "recip_rank",
    "R@5": "recall_5",
    "P@5": "P_5",
    "Success@1": "success_1",
}
QRELS = {"q1": {"a": 2, "b": 0, "c": 1}, "q2": {"a": 1}, "q3": {"z": 1}}
RUN = Run.from_dict({"q1": {"a": 1.0, "b": 3.0, "c": 2.0}, "q2": {"b": 1.0}, "extra": {"a": 1.0}})


def by_pytrec_eval(run: Run, qrels: dict, measure: str, relevance: int = 1) -> dict[str, float]:
    name = ORACLE[measure]
    found = pytrec_eval.RelevanceEvaluator(qrels, {name}, relevance).evaluate(run.to_dict())
    return {query: found.get(query, {}).get(name, 0.0) for query in qrels}


def test_ndcg_by_hand() -> None:
    log = np.log2
    expected = (1 / log(3) + 2 / log(4)) / (2 / log(2) + 1 / log(3))
    result = evaluate(RUN, QRELS, ["nDCG@10", "RR"])
    assert result.per_query("nDCG@10").tolist() == pytest.approx([expected, 0, 0])
    assert result["RR"] == pytest.approx((1 / 2 + 0 + 0) / 3)


def test_queries_without_results_count_zero_and_others_are_left_out() -> None:
    result = evaluate(RUN, QRELS, "nDCG@10,RR")
    assert result.query_ids == ("q1", "q2", "q3")
    assert result.absent == ("q3",)
    assert result.unjudged == ("extra",)
    assert result.to_dict()["queries_without_results"] == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("measure", ORACLE)
def test_run_evaluation_equals_pytrec_eval_with_many_ties(measure: str, seed: int) -> None:
    pool = random_pool(seed, levels=4)
    qrels = random_qrels(pool, seed, relevant=10)
    run = rank(pool, fuse(pool, Fusion.parse("cc(alpha=0.5, norm=minmax)")), 100)
    result = evaluate(run, qrels, [measure])
    expected = by_pytrec_eval(run, qrels, measure)
    assert dict(zip(result.query_ids, result.per_query(measure), strict=True)) == pytest.approx(
        expected, abs=1e-6
    )
    assert result[measure] == pytest.approx(np.mean(list(expected.values())), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("measure", ORACLE)
@pytest.mark.parametrize("text", ["rrf(k=60)", "sparse", "cc(alpha=0.5, norm=minmax)"])
def test_array_measures_equal_pytrec_eval(measure: str, text: str, seed: int) -> None:
    pool = random_pool(seed, levels=4)
    qrels = random_qrels(pool, seed, relevant=10)
    qrels["never searched"] = {"d00000": 1}
    judged, fused = judge(pool, qrels), fuse(pool, Fusion.parse(text))
    values = measure_scores(judged, fused, measure)
    expected = by_pytrec_eval(rank(pool, fused, 1000), qrels, measure)
    assert dict(zip(judged.pool.query_ids, values, strict=True)) == pytest.approx(
        expected, abs=1e-6
    )


def test_relevance_level_of_binary_measures() -> None:
    pool = random_pool(2)
    qrels = random_qrels(pool, 2, relevant=12)
    fused = fuse(pool, Fusion.parse("dense"))
    values = measure_scores(judge(pool, qrels), fused, "AP(rel=2)")
    expected = by_pytrec_eval(rank(pool, fused, 1000), qrels, "AP", relevance=2)
    assert values.tolist() == pytest.approx(list(expected.values()), abs=1e-6)


def test_rr_with_a_cutoff() -> None:
    pool = pool_of({"dense": np.array([[0.9, 0.8, 0.7]])}, depth=3)
    judged = judge(pool, {"q0": {"d00000": 1}})
    fused = fuse(pool, Fusion.parse("dense"))
    assert measure_scores(judged, fused, "RR@3").tolist() == [1 / 3]
    assert measure_scores(judged, fused, "RR@2").tolist() == [0]


def test_selected_queries_keep_their_measures() -> None:
    pool = random_pool(4)
    judged = judge(pool, random_qrels(pool, 4))
    fused = fuse(judged.pool, Fusion.parse("rrf"))
    whole = measure_scores(judged, fused, "nDCG@10")
    part = judged.select([5, 0, 3])
    again = measure_scores(part, fuse(part.pool, Fusion.parse("rrf")), "nDCG@10")
    assert np.array_equal(again, whole[[5, 0, 3]])


def test_a_query_whose_judgments_are_all_zero_counts_zero() -> None:
    pool = pool_of({"dense": np.array([[0.9, 0.8]])}, depth=2)
    judged = judge(pool, {"q0": {"d00000": 0}})
    for measure in ("nDCG@10", "AP", "R@5"):
        assert measure_scores(judged, fuse(pool, Fusion.parse("dense")), measure).tolist() == [0]


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="measure 'nDCG_10' is unknown"):
        evaluate(RUN, QRELS, "nDCG_10")
    with pytest.raises(UsageError, match="share no query"):
        evaluate(RUN, {"other": {"a": 1}}, "RR")
    with pytest.raises(UsageError, match="no judgment"):
        evaluate(RUN, {}, "RR")
    with pytest.raises(UsageError, match="occurs twice"):
        evaluate(RUN, QRELS, "RR,RR")
    with pytest.raises(UsageError, match="no measure given"):
        parse_measures("")
    with pytest.raises(UsageError, match="was not computed; this evaluation has RR"):
        evaluate(RUN, QRELS, "RR")["AP"]
    pool = random_pool(1)
    with pytest.raises(UsageError, match="none of the 8 queries is judged"):
        judge(pool, {"other": {"a": 1}})
    with pytest.raises(UsageError, match="cannot be tuned; give one of nDCG@k"):
        ArrayScorer(judge(pool, random_qrels(pool)), "Judged@10")


def test_per_query_table(tmp_path) -> None:
    path = tmp_path / "values.tsv"
    evaluate(RUN, QRELS, "RR").write_per_query(path)
    assert path.read_text().splitlines() == ["query_id\tRR", "q1\t0.5", "q2\t0.0", "q3\t0.0"]


def test_measures_together_are_those_one_by_one_over_whole_lists() -> None:
    """Cut lists and several measures at once change no bit."""
    rng = np.random.default_rng(4)
    documents = [f"d{at:03}" for at in range(300)]
    lists = {f"q{at}": rng.permutation(documents)[: rng.integers(1, 200)] for at in range(30)}
    run = Run.from_dict(
        {name: dict(zip(ids, range(len(ids), 0, -1), strict=True)) for name, ids in lists.items()}
    )
    qrels = {
        name: {str(doc): int(rng.integers(-1, 4)) for doc in rng.choice(documents, 20, False)}
        for name in [*lists, "without results"]
    }
    for judged in qrels.values():
        judged["d000"] = 0
    names = [
        "nDCG@10",
        "AP",
        "RR@10",
        "P@5",
        "R@100",
        "nDCG",
        "AP@20",
        "RR",
        "Success@1",
        "Judged@7",
        *(f"{name}(judged_only=True)@3" for name in BLIND_BEHIND_CUTOFF if name != "RR"),
    ]
    found = evaluate(run, qrels, names)
    scored = {name: run.to_dict()[name] for name in lists}
    for name in names:
        measure = ir_measures.parse_measure(name)
        expected = {
            each.query_id: each.value for each in ir_measures.iter_calc([measure], qrels, scored)
        }
        for query_id, value in zip(found.query_ids, found.per_query(name).tolist(), strict=True):
            assert value == expected.get(query_id, 0.0), (name, query_id)
