"""Measures at the door: names in any case, numbers in range, and one order of ties for all."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybrid.errors import MissingPackageError, UsageError
from hybrid.evaluate import Judging, compare_runs, evaluate, parse_measures
from hybrid.evaluate.evaluation import check_measures
from hybrid.evaluate.names import GRADE, MOST, RANGES, array_measure, parse_measure
from hybrid.fusion.run import Run

EVERY = (
    *("AP", "AP@3", "AP(rel=2)", "AP(judged_only=True)@4", "Accuracy", "Accuracy(rel=2)@3"),
    *("Bpref", "Bpref(rel=2)", "Compat", "Compat(p=0.5,normalize=False)", "ERR@3", "infAP"),
    *("IPrec@0.5", "IPrec(rel=2)@0.25", "Judged", "Judged@2", "NumQ", "NumRel", "NumRet"),
    *("NumRelRet", "P@1", "P(rel=2)@3", "P(judged_only=True)@2", "R@1", "R(rel=2)@3", "RR"),
    *("RR@2", "RR(rel=2)@4", "RR(judged_only=True)", "Rprec", "Rprec(rel=2)", "SetAP", "SetF"),
    *("SetF(beta=2)", "SetP", "SetRelP", "SetR", "Success@1", "Success(rel=2)@2", "nDCG"),
    *("nDCG@3", "nDCG(judged_only=True)@2", "nDCG(gains={1:5,2:1})@3", "nDCG(dcg='exp-log2')@3"),
    *("RBP(rel=1)", "BPM(max_rel=3)@5", "SDCG(max_rel=3)@5", "INST(max_rel=3)", "alpha_nDCG@5"),
    *("INSQ(max_rel=3)", "NERR8(max_rel=3)@5", "NERR9(max_rel=3)@5", "NERR10(max_rel=3)"),
    *("NERR11(max_rel=3)", "alpha_DCG@5", "ERR_IA@5", "nERR_IA@5", "NRBP", "nNRBP", "AP_IA"),
    *("P_IA@5", "StRecall@5"),
)
"""Every measure of ir_measures at least once, and each parameter that changes what is counted."""
IDS = st.sampled_from(["a", "b", "c d", "D", "é", "10", "9", "x\ty"])
RUNS = st.dictionaries(
    st.sampled_from(["q1", "q 2"]),
    st.dictionaries(IDS, st.sampled_from([-1.0, 0.0, 1.0])),
    min_size=2,
)
QRELS = st.dictionaries(IDS, st.integers(-1, 3), min_size=1)


def test_every_measure_is_among_those_that_are_tried() -> None:
    import ir_measures

    registered = {each.NAME for each in ir_measures.measures.registry.values()}
    assert registered == {parse_measure(name).NAME for name in EVERY}


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25, deadline=None)
@given(run=RUNS, one=QRELS, other=QRELS)
def test_a_tied_run_measures_as_the_same_order_without_ties(
    name: str, run: dict, one: dict, other: dict
) -> None:
    tied, qrels = Run.from_dict(run), {"q1": one, "q 2": other}
    orders = {q: tied.doc_ids(q) for q in tied}
    strict = Run.from_dict(
        {q: {d: 1.0 - i for i, d in enumerate(ids)} for q, ids in orders.items()}
    )
    assert {q: strict.doc_ids(q) for q in strict} == orders
    found = []
    for each in (tied, strict):
        try:
            found.append(evaluate(each, qrels, name).values.tolist())
        except (UsageError, MissingPackageError) as error:
            found.append(str(error))
    assert found[0] == found[1]


def test_documents_tied_fall_by_id_for_every_provider() -> None:
    # 'b' stands before 'a', the relevant one.
    run, qrels = Run.from_dict({"q1": {"a": 1.0, "b": 1.0}}), {"q1": {"a": 1}}
    found = evaluate(run, qrels, "RR,RR@10,RR(rel=1)@5,R@1,P@1,Judged@1,Judged@2,SetP")
    assert found.values[:, 0].tolist() == [0.5, 0.5, 0.5, 0, 0, 0, 0.5, 0.5]
    compared = compare_runs({"one": run, "two": run}, qrels, "RR,RR@10")
    assert [each.means["one"] for each in compared] == [0.5, 0.5]


NEGATIVE = """
import sys
from hybrid.evaluate import evaluate
from hybrid.fusion.run import Run

qrels = {"q": {"x": -1}, "r": {"9": 10_000, "10": -1}}
for names in sys.argv[1:]:
    for _ in range(500):
        run = Run.from_dict({"q": {"a": 1.0, "b": 0.0, "x": 0.5}, "r": {"9": 1.0}})
        first = evaluate(run, {"q": qrels["q"]}, names).values[0]
        assert not first.any(), (names, first)
        evaluate(run, qrels, names)
"""


def test_a_query_whose_grades_are_all_negative_ends() -> None:
    # In a process of its own: a provider that does not return cannot be stopped from Python.
    names = ["nDCG", "nDCG@3", "AP,nDCG,Rprec,Bpref,RR(rel=2)@4,R@5"]
    run = [sys.executable, "-c", NEGATIVE, *names]
    done = subprocess.run(run, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_ids_that_hold_spaces_are_measured_by_those_that_read_files() -> None:
    run, qrels = Run.from_dict({"q 1": {"a b": 2.0, "a c": 1.0}}), {"q 1": {"a c": 4}}
    try:
        found = evaluate(run, qrels, "ERR@10")
    except UsageError as error:
        pytest.skip(f"gdeval does not run here: {error}")
    assert found["ERR@10"] == pytest.approx((2**4 - 1) / 2**4 / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("given_name", "printed"),
    [
        *(("ndcg@10", "nDCG@10"), ("NDCG@10", "nDCG@10"), ("map", "AP"), ("mrr@10", "RR@10")),
        *(("recall@100", "R@100"), ("P@5", "P@5"), ("p@5", "P@5"), ("judged@10", "Judged@10")),
        *(("SETF(beta=2)", "SetF(beta=2.0)"), ("iprec@1", "IPrec@1.0"), ("Bpref", "Bpref")),
    ],
)
def test_names_go_in_any_case(given_name: str, printed: str) -> None:
    assert str(parse_measure(given_name)) == printed
    found = evaluate(Run.from_dict({"q1": {"a": 2.0}}), {"q1": {"a": 1}}, given_name)
    assert found[given_name] == found[printed] > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((f"{kind}@0", f"cutoff of measure {kind} is 0") for kind in ("nDCG", "P", "R", "RR")),
        *((f"{kind}@0", f"cutoff of measure {kind} is 0") for kind in ("AP", "Success", "Judged")),
        ("nDCG@True", "cutoff of measure nDCG is True (bool); give a whole number from 1"),
        ("nDCG@10.5", "cutoff of measure nDCG is 10.5 (float); give a whole number from 1"),
        (f"P@{MOST + 1}", f"give a whole number from 1 to {MOST}"),
        ("AP(rel=0)", "rel of measure AP is 0"),
        ("RBP(p=1)", "p of measure RBP is 1 (int); give a number from 0.001 to 0.999"),
        ("SetF(beta=1e-5)", "beta of measure SetF is 1e-05"),
        ("IPrec@1.5", "recall of measure IPrec is 1.5"),
        ("IPrec@0.001", "recall of measure IPrec is 0.001; give two decimals at most"),
        ("nDCG(gains=3)@5", "gains of measure nDCG is 3 (int); give grades and gains"),
        ("nDCG(gains={1:1.5})@5", "gains of measure nDCG is 1.5 (float)"),
        ("nDCG(gains={1:99999999999})", "gains of measure nDCG is 99999999999"),
        ("nDCG(dcg='sqrt')", "dcg of measure nDCG is 'sqrt' (str); give 'log2' or 'exp-log2'"),
        ("AP(judged_only=1)", "judged_only of measure AP is 1 (int); give True or False"),
        ("AP(depth=3)", "measure AP takes no 'depth'; it takes cutoff, rel, judged_only"),
        ("BPM(min_rel=3, max_rel=3)@5", "min_rel of measure BPM is not below its max_rel"),
        ("P", "measure P needs cutoff; give it, as in P@10"),
        ("nDCG@-1", "the form is NAME, NAME@number or NAME(parameter=value, ...)@number"),
        ("AP(rel=" + "-" * 100_000 + "1)", "is unknown"),
    ],
)
def test_a_number_out_of_range_is_refused_at_the_door(name: str, message: str) -> None:
    for door in (parse_measure, array_measure, parse_measures, check_measures):
        with pytest.raises(UsageError) as caught:
            door(name)
        assert message in str(caught.value)


def test_what_is_no_list_of_names_is_refused() -> None:
    for names in (5, None, [None], [3], {"RR": 1}.values()):
        with pytest.raises(UsageError, match=r"for measures, .* (was|is) "):
            parse_measures(names)  # type: ignore[arg-type]


NUMBERS = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.sampled_from([0, 1, MOST, -MOST, 2**63, 1e300])
)
NAMES = st.one_of(
    st.text(max_size=12),
    st.builds(
        lambda name, parameter, value, at: f"{name}({parameter}={value!r})@{at!r}",
        st.sampled_from([name.split("(")[0].split("@")[0] for name in EVERY]),
        st.sampled_from([*RANGES, "dcg", "judged_only", "normalize", "relative"]),
        st.one_of(NUMBERS, st.dictionaries(NUMBERS, NUMBERS, max_size=2), st.text(max_size=3)),
        NUMBERS,
    ),
    st.builds(lambda name, at: f"{name}@{at}", st.sampled_from(EVERY), NUMBERS),
    st.sampled_from(EVERY),
)


@settings(max_examples=300, deadline=None)
@given(name=NAMES, grade=st.one_of(st.integers(-2, 5), st.integers()))
@example(name="nDCG@0", grade=1)
@example(name="P@0", grade=1)
@example(name="nDCG@10", grade=10**30)
def test_any_name_and_grade_ends_in_a_number_or_a_documented_error(name: str, grade: int) -> None:
    run = Run.from_dict({"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 1.0}})
    try:
        found = evaluate(run, {"q1": {"a": grade, "b": 1}, "q2": {"c": 1}}, [name])
    except (UsageError, MissingPackageError):
        return
    assert np.isfinite(found.values).all()
    assert str(parse_measure(found.measures[0])) == found.measures[0]


@pytest.mark.parametrize("grade", [GRADE + 1, 1_000_000, MOST])
def test_a_grade_that_providers_never_finish_is_refused(grade: int) -> None:
    run = Run.from_dict({"q": {"a": 2.0, "b": 1.0}})
    for name in ("nDCG", "AP", "Judged@2"):
        with pytest.raises(
            UsageError, match=rf"grade of document 'b' .* is {grade}.*up to {GRADE}"
        ):
            evaluate(run, {"q": {"a": 1, "b": grade}}, name)
    with pytest.raises(UsageError, match=rf"gains of measure nDCG is {grade}.* to {GRADE}"):
        evaluate(run, {"q": {"a": 1}}, f"nDCG(gains={{1:{grade}}})")


def test_gains_and_grades_out_of_range_are_refused() -> None:
    qrels = {"q": {"a": 40, "b": 1}}
    with pytest.raises(UsageError, match="gains 'exponential' give 1099511627775; give gains"):
        Judging(gains="exponential").qrels(qrels)
    for text in ("1=-1", f"1={MOST + 1}"):
        with pytest.raises(UsageError, match="give gains from 0 to"):
            Judging(gains=text)
    with pytest.raises(UsageError, match=r"grade of document 'a' for query 'q' is 4611686"):
        evaluate(Run.from_dict({"q": {"a": 1.0}}), {"q": {"a": 2**62}}, "RR")
