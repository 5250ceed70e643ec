from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hybrid
from hybrid.errors import UsageError
from hybrid.fusion import METHODS, NORMS, Fusion, cc, contributions, fuse, normalise, rank, rrf
from hybrid.fusion.apply import pool_table
from hybrid.fusion.methods import COMBINERS, FEATURES
from hybrid.fusion.pool import Pool
from hybrid.fusion.run import Run
from hybrid.fusion.runs import RunTable, fuse_runs
from hybrid.fusion.table import CandidateTable
from tests.made_pools import pool_of, random_pool

S = np.array([[4, 2, 0, 0, 1]], np.float32)
D = np.array([[0.1, 0.8, 0.6, -0.2, 0.0]], np.float32)
ALL = [
    m if not s.norm else f"{m}(norm={n})"
    for m, s in METHODS.items()
    for n in (NORMS if s.norm else [""])
]


def small() -> Pool:
    """Return a pool of candidates 0, 1, 2: sparse retrieves 0, 1 and dense 1, 2."""
    return pool_of({"sparse": S, "dense": D}, depth=2)


def test_rrf_by_hand_and_a_document_not_retrieved_gets_nothing() -> None:
    expected = [1 / 61, 1 / 62 + 1 / 61, 1 / 62]
    assert fuse(small(), rrf(60)) == pytest.approx(expected, abs=1e-15)


def test_convex_combination_by_hand() -> None:
    x, y = small().scores.astype(float)
    sparse, dense = x / 4, (y + 1) / (y[1] + 1)
    fused = fuse(small(), cc(0.3, norm="tmm"))
    assert fused == pytest.approx(0.7 * sparse + 0.3 * dense, abs=1e-12)
    low = (y - y[0]) / (y[1] - y[0])
    assert fuse(small(), cc(norm="minmax")) == pytest.approx((x / 4 + low) / 2, abs=1e-12)


@pytest.mark.parametrize(
    ("ids", "said"), [("abcde", "is not in order"), ("eddba", "a document twice")]
)
def test_a_pool_made_by_hand_has_distinct_ids_that_fall(ids: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        rank(replace(small(), doc_ids=list(ids)), np.ones(3), 3)


def test_single_branch_holds_only_what_the_branch_retrieved() -> None:
    fused = fuse(small(), Fusion.parse("sparse"))
    assert fused.tolist() == [4, 2, -np.inf]
    run = rank(small(), fused, 10)
    assert [hit.score for hit in run["q0"]] == [4, 2]


@pytest.mark.parametrize("text", [*ALL, "sparse", "dense", "rrf(k=1, norm=tmm)"])
def test_contributions_sum_to_the_fused_score(text: str) -> None:
    pool, fusion = random_pool(3, names=("bm25", "sparse", "dense")), Fusion.parse(text)
    fused, parts = fuse(pool, fusion), contributions(pool, fusion)
    taken = fused > -np.inf
    # The tie-break moves a score by float32 steps, which no branch causes.
    assert parts.sum(axis=0)[taken] == pytest.approx(fused[taken], rel=1e-5)
    assert not parts[:, ~taken].any()


@pytest.mark.parametrize("text", ALL)
def test_a_branch_that_takes_no_part_changes_nothing(text: str) -> None:
    three = random_pool(5, names=("bm25", "sparse", "dense"))
    two = random_pool(5, names=("bm25", "sparse", "dense"))
    fusion = Fusion.parse(text)
    only = Fusion(fusion.method, fusion.parameters, None, None, fusion.norm, ("sparse", "dense"))
    rows = np.array([1, 2])
    taken, _ = pool_table(two, rows)
    owner = np.repeat(np.arange(len(two)), np.diff(two.offsets))[taken]
    smaller = Pool(
        two.query_ids,
        ("sparse", "dense"),
        np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(two)))]).astype(np.int64),
        two.doc_nums[taken],
        two.scores[1:, taken],
        two.ranks[1:, taken],
        two.minimum[1:],
        two.depth,
        two.doc_ids,
    )
    fused = fuse(three, only)
    assert np.array_equal(fused[taken], fuse(smaller, only))
    assert np.isneginf(np.delete(fused, taken)).all()


@pytest.mark.parametrize("text", ALL)
def test_queries_do_not_see_each_other(text: str) -> None:
    pool, fusion = random_pool(7), Fusion.parse(text)
    whole = fuse(pool, fusion)
    for i in range(len(pool)):
        alone = fuse(pool.select([i]), fusion)
        assert alone == pytest.approx(whole[pool.offsets[i] : pool.offsets[i + 1]], rel=1e-12)


@pytest.mark.parametrize("text", [*ALL, "dense"])
def test_empty_queries_one_document_and_no_query(text: str) -> None:
    fusion = Fusion.parse(text)
    nothing = pool_of({"sparse": np.zeros((2, 3)), "dense": np.zeros((2, 3))}, depth=0)
    assert fuse(nothing, fusion).shape == (0,)
    assert len(rank(nothing, fuse(nothing, fusion), 5)["q1"]) == 0
    assert fuse(nothing.select([]), fusion).shape == (0,)
    one = pool_of({"sparse": np.ones((1, 1)), "dense": np.ones((1, 1))}, depth=3)
    assert len(rank(one, fuse(one, fusion), 5)["q0"]) == 1
    assert np.isfinite(fuse(one, fusion)).all()


GIVEN = {
    "one hit": {"a": 3.0},
    "equal scores": {"a": 3.0, "b": 3.0},
    "negative scores": {"a": -1.0, "b": -3.0},
}
"""What a run retrieved of documents a, b and c, where another run, b: 2 and c: 1, has a and c."""


def printed_values(norm: str, documents: dict[str, float]) -> list[str]:
    """Return what ``norm`` makes of a run's documents and of a missing one, as docs print it."""
    runs = {"x": Run.from_dict({"q": documents}), "y": Run.from_dict({"q": {"a": 2.0, "c": 1.0}})}
    united = RunTable.from_runs(runs)
    try:
        values = dict(zip(united.doc_ids, normalise(united.table, norm)[0].tolist(), strict=True))
    except UsageError:
        return ["refused", "refused"]
    found = ", ".join(f"{values[name]:.3g}" for name in documents)
    return [found, f"{values['c']:.3g}"]


@pytest.mark.parametrize("norm", NORMS)
def test_the_table_of_the_docs_says_what_each_norm_gives(norm: str) -> None:
    text = (Path(__file__).parent.parent / "docs" / "tuning.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(f"| `{norm}` |"))
    *shown, _ = [cell.strip() for cell in row.split("|")[2:]]
    expected = [printed_values(norm, documents) for documents in GIVEN.values()]
    assert shown == [cell for pair in expected for cell in pair]


@pytest.mark.parametrize("norm", ["minmax", "max", "sum"])
def test_where_there_is_nothing_to_normalise_retrieved_documents_get_1(norm: str) -> None:
    # The first query: three tied of which two are retrieved. The second: one candidate. The
    # third: the branch retrieved nothing, and the other one two documents.
    scores, ranks = np.array([[3.0, 3, 3, -2, 0, 0]]), np.array([[1, 0, 2, 1, 0, 0]], np.int32)
    offsets, known = np.array([0, 3, 4, 6]), np.ones((1, 6), dtype=bool)
    for complete in (True, False):
        table = CandidateTable(
            offsets, scores, known if complete else ranks > 0, ranks, np.zeros(1)
        )
        assert normalise(table, norm).tolist() == [[1, 0, 1, 1, 0, 0]]
    assert (
        normalise(CandidateTable(offsets, scores, known, ranks, np.array([-9.0])), "zscore").any()
        == 0
    )
    assert set(
        normalise(CandidateTable(offsets, scores, known, ranks, np.zeros(1)), "dbsf")[0]
    ) == {0.5}


def test_a_search_that_finds_one_document_gives_it_a_score() -> None:
    one = pool_of({"sparse": np.array([[2.0]]), "dense": np.array([[-0.5]])}, depth=3)
    assert fuse(one, cc(norm="minmax")).tolist() == [1.0]
    # The sparse branch finds nothing: it adds 0 to all.
    none = pool_of({"sparse": np.zeros((1, 2)), "dense": np.array([[0.5, 0.4]])}, depth=2)
    assert fuse(none, cc(0.5, norm="minmax")).tolist() == [0.5, 0.0]


def test_runs_whose_scores_are_all_equal_stand_above_what_they_lack() -> None:
    flat = Run.from_dict({"q": {"x": 7.0, "y": 7.0}})
    other = Run.from_dict({"q": {"y": 0.9, "a": 0.5, "z": 0.1}})
    for norm in ("minmax", "max", "sum"):
        fused = fuse_runs({"flat": flat, "other": other}, cc(0.1, norm=norm)).doc_ids("q")
        assert fused[:2] == ("y", "x"), norm


def test_a_norm_that_cannot_be_applied_is_refused_with_those_that_can() -> None:
    negative = pool_of({"sparse": np.zeros((1, 2)), "dense": np.array([[-0.5, -0.4]])}, depth=2)
    with pytest.raises(UsageError, match="none above 0; give norm=minmax, zscore or rank"):
        fuse(negative, cc(norm="max"))
    runs = {"x": Run.from_dict({"q": {"a": -3.5, "c": 2.0}}), "y": Run.from_dict({"q": {"b": 1.0}})}
    for norm, reason in (("max", "below 0"), ("none", "below 0"), ("tmm", "the run holds -3.5")):
        with pytest.raises(UsageError, match=rf"{reason}.*norm=minmax, zscore or rank"):
            fuse_runs(runs, cc(norm=norm))
    for norm in set(NORMS) - {"max", "none", "tmm"}:
        assert len(fuse_runs(runs, cc(norm=norm))["q"]) == 3
    fused = fuse_runs(runs, cc(norm="tmm"), minimum={"x": -5.0}).to_dict()["q"]
    assert fused == {"c": 0.5, "b": 0.5, "a": pytest.approx(1.5 / 7 / 2)}


def test_normalisations_by_hand() -> None:
    pool = pool_of({"dense": np.array([[0.5, -0.5, 0.25]])}, depth=2)
    _, table = pool_table(pool, np.array([0]))
    s = np.array([0.5, 0.25])
    mean, sd = s.mean(), s.std()
    by_hand = {
        "minmax": [1, 0],
        "tmm": [1, 1.25 / 1.5],
        "max": [1, 0.5],
        "sum": [1, 0],
        "zscore": (s - mean) / sd,
        "dbsf": (s - mean + 3 * sd) / (6 * sd),
        "rank": [1, 0.5],
        "borda": [1, 0.5],
        "none": s,
    }
    for norm, expected in by_hand.items():
        assert normalise(table, norm)[0] == pytest.approx(np.asarray(expected), abs=1e-12), norm


def test_ties_fall_by_doc_id_descending_and_k_may_exceed_the_list() -> None:
    pool = pool_of({"dense": np.array([[0.5, 0.5, 0.5, 0.9]])}, depth=4)
    run = rank(pool, fuse(pool, Fusion.parse("dense")), 99)
    assert run.doc_ids("q0") == ("d00000", "d00003", "d00002", "d00001")


def test_scores_that_differ_beyond_float32_are_ties() -> None:
    pool = pool_of({"dense": np.array([[0.5, 0.4]])}, depth=2)
    run = rank(pool, np.array([1.0, 1.0 + 1e-12]), 2)
    assert run.doc_ids("q0") == ("d00001", "d00000")


def test_rrf_with_a_norm_breaks_its_ties_by_score() -> None:
    sparse, dense = np.array([[9.0, 8.9, 0.0]]), np.array([[0.1, 0.9, -0.5]])
    pool = pool_of({"sparse": sparse, "dense": dense}, depth=2)
    plain = rank(pool, fuse(pool, rrf(60)), 3)
    assert plain.scores("q0")[0] == plain.scores("q0")[1]
    assert plain.doc_ids("q0")[0] == "d00002"
    broken = rank(pool, fuse(pool, Fusion.parse("rrf(k=60, norm=tmm)")), 3)
    assert broken.doc_ids("q0")[0] == "d00001"
    assert broken.scores("q0")[0] == np.nextafter(plain.scores("q0")[0], np.float32(1))


def test_the_tie_break_never_overtakes_a_better_rank_score() -> None:
    pool = random_pool(11, queries=20, levels=4)
    first = fuse(pool, rrf(60)).astype(np.float32)
    second = fuse(pool, cc(norm="minmax"))
    broken = fuse(pool, Fusion.parse("rrf(k=60, norm=minmax)")).astype(np.float32)
    for start, stop in zip(pool.offsets[:-1], pool.offsets[1:], strict=True):
        keys = list(zip(first[start:stop].tolist(), second[start:stop].tolist(), strict=True))
        for i, a in enumerate(keys):
            for j, b in enumerate(keys):
                if a > b and (a[0] > b[0] or a[1] - b[1] > 1e-9):
                    assert broken[start + i] > broken[start + j]


def test_wrong_k_and_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="k is 0"):
        rank(small(), fuse(small(), rrf()), 0)
    with pytest.raises(UsageError, match="one score for each"):
        rank(small(), np.zeros(2), 5)


@pytest.mark.parametrize("method", [name for name, s in METHODS.items() if s.weights])
def test_a_linear_method_lies_on_the_line_between_its_branches(method: str) -> None:
    pool = random_pool(11, names=("sparse", "dense"))
    first, second, mixed = (fuse(pool, Fusion(method, alpha=alpha)) for alpha in (0.0, 1.0, 0.3))
    straight = np.allclose(mixed, 0.7 * first + 0.3 * second)
    assert straight == METHODS[method].linear


def test_every_method_is_computed_by_one_function() -> None:
    assert sorted([*FEATURES, *COMBINERS]) == sorted(METHODS)
    assert all(METHODS[name].linear for name in FEATURES)


def test_a_fusion_says_what_it_reads() -> None:
    read = {text: Fusion.parse(text) for text in ("dense", "cc", "rrf", "rrf(norm=tmm)", "isr")}
    assert [text for text, each in read.items() if each.is_single] == ["dense"]
    assert [text for text, each in read.items() if each.reads_scores] == ["cc"]
    assert [text for text, each in read.items() if each.breaks_ties] == ["rrf(norm=tmm)"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("dense", 0),
        ("cc(alpha=0.5)", 0),
        ("cc(alpha=0.4, depth=50)", 2),
        ("rrf(k=60)", 0),
        ("rrf(k=10, alpha=0.1)", 2),
        ("cc(weights=(bm25:0.2, sparse:0.3, dense:0.5))", 2),
    ],
)
def test_numbers_that_were_chosen_are_counted(text: str, count: int) -> None:
    assert Fusion.parse(text).chosen_numbers == count


def test_no_module_outside_fusion_knows_a_method_by_its_name() -> None:
    root = Path(hybrid.__file__).parent
    wrong = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in root.rglob("*.py")
        if path.relative_to(root).parts[0] != "fusion"
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\bmethod\b.*(?:==|!=|\bin\b) *[\[({]?[\"']", line)
    ]
    assert wrong == []
