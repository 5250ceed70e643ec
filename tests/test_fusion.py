from __future__ import annotations

import numpy as np
import pytest

from hybrid.errors import UsageError
from hybrid.fusion import METHODS, NORMS, Fusion, cc, contributions, fuse, normalise, rank, rrf
from hybrid.fusion.apply import pool_table
from hybrid.fusion.pool import Pool
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


FLAT = {"minmax": 0, "tmm": 1, "max": 1, "sum": 0, "zscore": 0, "dbsf": 0.5, "none": 0.7}


@pytest.mark.parametrize("norm", FLAT)
def test_a_branch_whose_scores_are_all_equal(norm: str) -> None:
    pool = pool_of({"dense": np.full((1, 4), 0.7)}, depth=4)
    _, table = pool_table(pool, np.array([0]))
    assert normalise(table, norm)[0] == pytest.approx([FLAT[norm]] * 4, abs=1e-7)


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
