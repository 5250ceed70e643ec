from __future__ import annotations

import gzip
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import CorpusError, OutputExistsError, UsageError
from hybrid.fusion.apply import ranked_positions
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


FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45]),
    st.floats(width=32),
)


@given(st.lists(st.lists(FLOATS, max_size=12), max_size=5))
@settings(deadline=None)
def test_positions_are_those_of_a_stable_sort_by_query_and_score(lists: list[list[float]]) -> None:
    scores = np.array([each for row in lists for each in row], dtype=np.float32)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    query = np.repeat(np.arange(len(lists)), np.diff(offsets))
    expected = np.lexsort((-scores, query))
    expected = expected[scores[expected] > -np.inf]
    order, starts = ranked_positions(scores, offsets)
    assert (order.dtype, starts.dtype) == (np.int64, np.int64)
    assert order.tolist() == expected.tolist()
    assert np.diff(starts).tolist() == np.bincount(query[expected], minlength=len(lists)).tolist()


def test_a_run_that_is_known_to_be_in_order_is_the_checked_one() -> None:
    lists = (
        ["q1", "q2"],
        [["a", "b"], []],
        [np.array([2, 1], np.float32), np.empty(0, np.float32)],
    )
    made = Run.ordered(*lists)
    assert made == Run(*lists)
    with pytest.raises(ValueError, match="read-only"):
        made.scores("q1")[0] = 3
    with pytest.raises(UsageError, match="occurs twice"):
        Run.ordered(["q", "q"], [[], []], [np.empty(0, np.float32)] * 2)
