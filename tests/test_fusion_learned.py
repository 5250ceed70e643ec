"""A weight for each query, and fusions that take the first of each branch only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.ranked_lists.fuse import fuse_lists
from hybrid.errors import UsageError
from hybrid.fusion import (
    METHODS,
    Fusion,
    cc,
    contributions,
    fuse,
    fuse_runs,
    rank,
    single,
    table_features,
)
from hybrid.fusion.apply import pool_table
from hybrid.fusion.pool import BranchHits
from hybrid.fusion.run import Run
from tests.made_pools import pool_of, random_pool

PAIR = "branches=(sparse, dense))"


def test_features_follow_their_formulas() -> None:
    sparse = np.array([[5.0, 4.0, 0, 0], [2.0, 0, 0, 0]])
    dense = np.array([[0.9, 0.1, 0.5, -0.1], [0.1, 0.2, 0.3, 0.4]])
    pool = pool_of({"sparse": sparse, "dense": dense}, 2)
    _, table = pool_table(pool, np.array([0, 1]))
    found = table_features(table, pool.branches)
    # Query 0: sparse retrieves documents 0 and 1, dense 0 and 2; document 2 has sparse score 0.
    top = np.exp(10 * np.array([1.0, 0.8]))
    share = top / top.sum()
    assert found["sparse.gap"] == pytest.approx([1.0, 1.0])
    assert found["sparse.entropy"][0] == pytest.approx(-(share * np.log(share)).sum())
    assert found["sparse+dense.overlap"] == pytest.approx([0.1, 0.0])


def test_each_query_has_its_own_alpha_held_to_0_and_1() -> None:
    pool = replace(random_pool(3), features={"query.length": np.arange(8.0)})
    fusion = Fusion.parse(f"learned(alpha=0.4, slopes=(query.length:0.2@1), norm=tmm, {PAIR}")
    fused = fuse(pool, fusion)
    for i, alpha in enumerate([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0]):
        start, stop = pool.offsets[i], pool.offsets[i + 1]
        assert fused[start:stop] == pytest.approx(fuse(pool, cc(alpha))[start:stop])
    assert contributions(pool, fusion).sum(axis=0) == pytest.approx(fused)
    some = pool.select([5, 1])
    expected = [fused[pool.offsets[i] : pool.offsets[i + 1]] for i in (5, 1)]
    assert fuse(some, fusion) == pytest.approx(np.concatenate(expected))


def test_a_feature_that_is_not_known_is_named() -> None:
    fusion = Fusion.parse(f"learned(alpha=0.4, slopes=(query.length:0.2@1), {PAIR}")
    with pytest.raises(UsageError, match=r"reads 'query.length', which is not known here; known"):
        fuse(random_pool(3), fusion)


def test_plain_runs_have_the_features_of_scores() -> None:
    runs = {
        "sparse": Run.from_dict({"q": {"a": 3.0, "b": 1.0}}),
        "dense": Run.from_dict({"q": {"b": 0.9, "c": 0.3}}),
    }
    fusion = Fusion.parse(f"learned(alpha=0.5, slopes=(sparse+dense.overlap:1@0.1), {PAIR}")
    expected = fuse_runs(runs, Fusion.parse("cc(alpha=0.5, norm=minmax)"))
    assert fuse_runs(runs, fusion) == expected


@pytest.mark.parametrize("text", [*METHODS, "cc(alpha=0.3, norm=zscore)", "rrf(k=5, norm=minmax)"])
def test_depth_is_as_if_each_branch_had_searched_so_deep(text: str) -> None:
    rng = np.random.default_rng(4)
    matrices = {"sparse": rng.random((6, 30)), "dense": rng.random((6, 30)) * 2 - 1}
    deep, shallow = pool_of(matrices, 20), pool_of(matrices, 5)
    plain = Fusion.parse(text)
    expected = rank(shallow, fuse(shallow, plain), 20)
    assert rank(deep, fuse(deep, replace(plain, depth=5)), 20) == expected
    assert rank(deep, fuse(deep, replace(plain, depth=99)), 20) == rank(deep, fuse(deep, plain), 20)


def test_depth_of_plain_runs_and_lists_is_that_of_shorter_ones() -> None:
    rng = np.random.default_rng(5)
    hits = {}
    for name in ("a", "b"):
        nums = np.stack([rng.permutation(12)[:8] for _ in range(3)]).astype(np.int32)
        hits[name] = BranchHits(nums, -np.sort(-rng.random((3, 8)).astype(np.float32), axis=1))
    short = {name: BranchHits(h.doc_nums[:, :3], h.scores[:, :3]) for name, h in hits.items()}
    at_three = Fusion.parse("cc(alpha=0.3, norm=minmax, depth=3)")
    found = fuse_lists(hits, at_three, 9)
    expected = fuse_lists(short, replace(at_three, depth=None), 9)
    assert (found.doc_nums == expected.doc_nums).all()
    assert (found.scores == expected.scores).all()

    def runs(lists: dict[str, BranchHits]) -> dict[str, Run]:
        return {
            name: Run.from_dict(
                {
                    f"q{i}": {f"d{d}": float(s) for d, s in zip(nums, scores, strict=True)}
                    for i, (nums, scores) in enumerate(zip(h.doc_nums, h.scores, strict=True))
                }
            )
            for name, h in lists.items()
        }

    assert fuse_runs(runs(hits), at_three) == fuse_runs(runs(short), replace(at_three, depth=None))


def test_theoretical_minmax_is_refused_where_a_branch_has_no_least_score() -> None:
    rng = np.random.default_rng(6)
    matrices = {"sparse": rng.random((3, 9)), "dense": rng.normal(size=(3, 9)) * 30}
    pool = pool_of(matrices, 9, {"dense": -np.inf})
    with pytest.raises(UsageError, match=r"norm=tmm needs the least score.*give norm=minmax"):
        fuse(pool, cc(0.5))
    assert np.isfinite(fuse(pool, cc(0.5, norm="minmax"))).all()
    # One branch alone has nothing to normalise.
    assert np.isfinite(fuse(pool, single("dense"))).all()
