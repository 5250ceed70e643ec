from __future__ import annotations

import gzip
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.errors import CorpusError, OutputExistsError, UsageError
from hybrid.fusion.run import Hit, Run, ranking_order

SCORES = st.floats(-4, 4, width=32).map(lambda x: round(x, 1))
RANKED = st.dictionaries(
    st.sampled_from(["q1", "q2"]),
    st.dictionaries(st.text("abZé09", min_size=1, max_size=3), SCORES, max_size=8),
    max_size=2,
)


def test_order_is_score_then_doc_id_both_descending() -> None:
    run = Run.from_dict({"q": {"a": 1.0, "b": 2.0, "c": 1.0}})
    assert run["q"] == [Hit("b", 2.0, 1), Hit("c", 1.0, 2), Hit("a", 1.0, 3)]


def test_scores_equal_in_float32_are_ties() -> None:
    run = Run.from_dict({"q": {"a": 1.0 + 1e-12, "b": 1.0}})
    assert run.doc_ids("q") == ("b", "a")


@given(RANKED)
def test_written_file_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, ranked: dict[str, dict[str, float]]
) -> None:
    run = Run.from_dict({q: d for q, d in ranked.items() if d})
    path = tmp_path_factory.mktemp("run") / "run.trec"
    run.write_trec(path)
    assert Run.read_trec(path) == run


def test_third_of_one_survives_the_file(tmp_path: Path) -> None:
    run = Run.from_dict({"q": {"a": 1 / 3}})
    run.write_trec(tmp_path / "r")
    assert Run.read_trec(tmp_path / "r").scores("q")[0] == np.float32(1 / 3)


def test_top_of_ties_gives_trec_evals_measure() -> None:
    qrels = {"q": {"a": 1}}
    run = Run.from_dict({"q": dict.fromkeys("abc", 1.0)})
    measure = ir_measures.parse_measure("RR")
    full = ir_measures.calc_aggregate([measure], qrels, run.to_dict())[measure]
    assert full == pytest.approx(1 / (run.doc_ids("q").index("a") + 1))


def test_ranking_order_of_nothing() -> None:
    assert ranking_order([], np.zeros(0, np.float32)).tolist() == []


@pytest.mark.parametrize(
    ("ids", "scores", "said"),
    [
        (["a", "b"], [1.0, 2.0], "not in order"),
        (["a", "b"], [1.0, 1.0], "not in order"),
        (["a", "a"], [2.0, 1.0], "twice"),
        (["a"], [float("nan")], "not finite"),
        (["a"], [1.0, 0.5], "shape"),
    ],
)
def test_constructor_refuses(ids: list[str], scores: list[float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Run(["q"], [ids], [np.array(scores, np.float32)])


def test_run_is_immutable() -> None:
    run = Run.from_dict({"q": {"a": 1.0}})
    with pytest.raises(ValueError, match="read-only"):
        run.scores("q")[0] = 2.0


def test_top_cuts_and_refuses_zero() -> None:
    run = Run.from_dict({"q": {"a": 1.0, "b": 2.0}})
    assert run.top(1).doc_ids("q") == ("b",)
    assert run.top(9) == run
    with pytest.raises(UsageError, match="k is 0"):
        run.top(0)


def test_unknown_query_is_named() -> None:
    with pytest.raises(UsageError, match="'x' is not among"):
        Run.from_dict({})["x"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q Q0 d 1 0.5", "line 2: 5 columns"),
        ("q Q0 d 1 high t", "line 2: score 'high'"),
        ("q Q0 d 1 inf t", "line 2: score 'inf'"),
        ("q Q0 a 1 0.5 t", "line 2: document 'a' occurs twice"),
    ],
)
def test_broken_run_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "run"
    path.write_text(f"q Q0 a 1 1.0 t\n{line}\n")
    with pytest.raises(CorpusError, match=said):
        Run.read_trec(path)


def test_gzip_run_reads(tmp_path: Path) -> None:
    path = tmp_path / "run.gz"
    path.write_bytes(gzip.compress(b"q Q0 a 1 1.0 t\n"))
    assert Run.read_trec(path).doc_ids("q") == ("a",)


def test_write_refuses_existing_file_and_white_space(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="exists"):
        Run.from_dict({"q": {"a": 1.0}}).write_trec(path)
    assert path.read_text() == "mine"
    with pytest.raises(UsageError, match="white space"):
        Run.from_dict({"q": {"a b": 1.0}}).write_trec(tmp_path / "new")
    assert not (tmp_path / "new").exists()
