from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import hybrid
from hybrid.corpus import open_source
from hybrid.errors import MissingPackageError, UsageError
from hybrid.evaluate import Judging, evaluate, parse_measures
from hybrid.evaluate.judging import parse_gains
from hybrid.evaluate.options import EvaluateOptions
from hybrid.evaluate.systems import evaluate_systems
from hybrid.fusion import Fusion, fuse, rank, single
from hybrid.fusion.run import Run
from tests.made_pools import pool_of

RUN = Run.from_dict({"q1": {"q1": 9.0, "a": 3.0, "b": 2.0, "c": 1.0}})
QRELS = {"q1": {"b": 2, "c": 1, "q1": 1}}


def test_measures_are_split_outside_parentheses_only() -> None:
    found = parse_measures(" nDCG@10,  P(rel=2, judged_only=True)@5 RR,")
    assert [str(measure) for measure in found] == ["nDCG@10", "P(rel=2,judged_only=True)@5", "RR"]
    with pytest.raises(UsageError, match="no measure given"):
        parse_measures(" , ")


@pytest.mark.parametrize("name", ["alpha_nDCG@10", "P_IA@5"])
def test_a_measure_of_another_package_says_which(name: str) -> None:
    pytest.importorskip("ir_measures")
    try:
        __import__("pyndeval")
    except ImportError:
        with pytest.raises(MissingPackageError, match=r"pip install 'ir-measures\[pyndeval\]'"):
            evaluate(RUN, QRELS, name)
    else:
        assert 0 <= evaluate(RUN, QRELS, name)[name] <= 1


def test_a_measure_that_lacks_a_parameter_says_which() -> None:
    with pytest.raises(UsageError, match=r"SDCG@10 needs max_rel; give it, as in SDCG\(max_rel=3"):
        evaluate(RUN, QRELS, "SDCG@10")


def test_measures_that_take_numbers_for_queries_get_them() -> None:
    # gdeval, a Perl script, reads no other query ids.
    try:
        found = evaluate(RUN, {"q1": {"a": 1}, "q2": {"a": 1}}, "ERR@10, nDCG@10")
    except UsageError as error:
        pytest.skip(f"gdeval does not run here: {error}")
    # The document of grade 1 at rank 2, and a query without results.
    assert found["ERR@10"] == pytest.approx((2**1 - 1) / 2**4 / 2 / 2, abs=1e-5)
    assert found.per_query("nDCG@10").tolist() == [pytest.approx(1 / math.log2(3)), 0.0]


def test_own_unjudged_and_graded_documents_count_as_asked() -> None:
    judging = Judging(drop_own=True, judged_only=True, gains="exponential")
    qrels = judging.qrels(QRELS)
    assert qrels == {"q1": {"b": 3, "c": 1}}
    assert judging.run(RUN, QRELS).doc_ids("q1") == ("b", "c")
    assert evaluate(judging.run(RUN, qrels), qrels)["nDCG@10"] == 1.0
    # As they are: own document first, then an unjudged one.
    ideal = 2 + 1 / math.log2(3) + 1 / 2
    gained = 1 + 2 / 2 + 1 / math.log2(5)
    assert evaluate(RUN, QRELS)["nDCG@10"] == pytest.approx(gained / ideal)


def test_a_pool_without_own_documents_is_that_of_a_search_that_lacks_them() -> None:
    rng = np.random.default_rng(0)
    matrices = {"sparse": rng.random((4, 12)) + 0.1, "dense": rng.random((4, 12))}
    deep = pool_of(matrices, 12)
    named = {f"q{i}": deep.doc_ids[i] for i in range(4)}
    own = pool_of(matrices, 12)
    object.__setattr__(own, "query_ids", tuple(named.values()))
    found = Judging(drop_own=True).pool(own)
    for branch in ("sparse", "dense"):
        run = rank(found, fuse(found, single(branch)), 12)
        whole = rank(deep, fuse(deep, single(branch)), 12)
        for query_id, doc_id in named.items():
            expected = tuple(d for d in whole.doc_ids(query_id) if d != doc_id)
            assert run.doc_ids(doc_id) == expected
            row = found.branch(branch)
            i = list(named).index(query_id)
            segment = found.ranks[row, found.offsets[i] : found.offsets[i + 1]]
            assert sorted(segment.tolist()) == list(range(1, 12))
    assert np.isfinite(fuse(found, Fusion.parse("rrf"))).all()


def test_gains_that_cannot_be_read() -> None:
    assert [parse_gains("1=1,3=9")(grade) for grade in (0, 1, 2, 3)] == [0, 1, 2, 9]
    for text in ("linear", "1=", "1:2", "a=b"):
        with pytest.raises(UsageError, match="give exponential, or grade=gain"):
            Judging(gains=text)


def test_headroom_is_refused_where_candidates_were_left_out(
    tiny_index: Path, beir_folder: Path
) -> None:
    with hybrid.open(tiny_index) as index:
        report = evaluate_systems(
            index,
            open_source(str(beir_folder)),
            EvaluateOptions(judging=Judging(judged_only=True)),
        )
        with pytest.raises(UsageError, match=r"headroom .* counts every candidate"):
            report.headroom()
        whole = evaluate_systems(index, open_source(str(beir_folder)))
    assert set(whole.headroom()) >= {"best branch", "pool oracle"}
