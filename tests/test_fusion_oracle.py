"""Every fusion that ranx has, against ranx, and the three doors to fusion against each other.

ranx runs in one process of its own with its compiler off: on inputs this small that takes a
second, where compiling each of its functions would take minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.ranked_lists.fuse import fuse_lists
from hybrid.errors import UsageError
from hybrid.fusion import METHODS, NORMS, Fusion, fuse, fuse_runs, rank
from hybrid.fusion.pool import BranchHits
from hybrid.fusion.run import Run
from tests.made_pools import doc_names, random_pool

ORACLE = """
import json, sys
from ranx import Run, fuse
cases = json.load(sys.stdin)
results = []
for case in cases:
    runs = [Run(run) for run in case["runs"]]
    fused = fuse(runs=runs, norm=case["norm"], method=case["method"], params=case["params"])
    results.append({q: {d: float(s) for d, s in fused.run[q].items()} for q in fused.run})
json.dump(results, sys.stdout)
"""
NORM = {"minmax": "min-max", "max": "max", "sum": "sum", "zscore": "zmuv", "rank": "rank"}
EQUAL_LISTS_LEFT_OUT = ("norm=minmax", "norm=sum")
"""ranx gives 0 to a list whose scores are all equal, as one hit is; here its documents get 1."""
REFUSED = ("cc(norm=max)", "cc(norm=none)")
"""What runs with scores below 0, here the dense one, are not normalised by."""
WEIGHTED = "weights=(a:0.2, b:0.5, c:0.3)"
WEIGHTS = {"weights": [0.2, 0.5, 0.3]}
RANKED = {
    "rrf(k=60)": ("rrf", {"k": 60}),
    "rrf(k=3)": ("rrf", {"k": 3}),
    "isr": ("isr", None),
    "logisr(sigma=0)": ("log_isr", None),
    "logisr(sigma=0.01)": ("logn_isr", {"sigma": 0.01}),
    "rbc(p=0.8)": ("rbc", {"phi": 0.8}),
    "borda": ("bordafuse", None),
    f"borda({WEIGHTED})": ("w_bordafuse", WEIGHTS),
}
COMBINED = {f"comb{name}": name for name in ("sum", "mnz", "anz", "max", "min", "med")}


def three_runs(*, complete: bool) -> dict[str, Run]:
    """Return three runs over four queries, of all documents or of some each."""
    rng = np.random.default_rng(5)
    runs = {}
    for name in ("a", "b", "c"):
        ranked = {}
        for query in range(4):
            size = 9 if complete else int(rng.integers(1, 8))
            chosen = rng.choice(9, size, replace=False)
            ranked[f"q{query}"] = {f"d{d}": float(np.float32(rng.random() * 5)) for d in chosen}
        runs[name] = Run.from_dict(ranked)
    return runs


def cases() -> list[tuple[str, bool, str, str | None, dict | None]]:
    """Return (our fusion, whether the lists are complete, ranx method, ranx norm, parameters)."""
    listed: list[tuple[str, bool, str, str | None, dict | None]] = []
    for complete in (False, True):
        listed += [(text, complete, m, None, p) for text, (m, p) in RANKED.items()]
        for norm, theirs in NORM.items():
            if norm == "zscore" and not complete:
                continue  # ranx gives a missing document the mean, which is better than half
            listed += [
                (f"{o}(norm={norm})", complete, t, theirs, None) for o, t in COMBINED.items()
            ]
            listed.append((f"cc({WEIGHTED}, norm={norm})", complete, "wsum", theirs, WEIGHTS))
        listed.append(("combsum(norm=borda)", complete, "sum", "borda", None))
        listed.append(("combsum(norm=none)", complete, "sum", None, None))
    return listed


@pytest.fixture(scope="module")
def by_ranx() -> dict[tuple[str, bool], dict[str, dict[str, float]]]:
    pytest.importorskip("ranx")
    given = []
    for _, complete, method, norm, params in cases():
        runs = [run.to_dict() for run in three_runs(complete=complete).values()]
        given.append({"runs": runs, "method": method, "norm": norm, "params": params})
    done = subprocess.run(
        [sys.executable, "-c", ORACLE],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        (text, complete): found
        for (text, complete, *_), found in zip(cases(), json.loads(done.stdout), strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize(("text", "complete"), [case[:2] for case in cases()])
def test_scores_equal_ranx(text: str, complete: bool, by_ranx: dict) -> None:
    runs = three_runs(complete=complete)
    ours = fuse_runs(runs, Fusion.parse(text), 100).to_dict()
    equal = {q for run in runs.values() for q in run if len(set(run.scores(q).tolist())) == 1}
    left_out = equal if any(norm in text for norm in EQUAL_LISTS_LEFT_OUT) else set()
    assert len(left_out) < len(ours)

    for query, documents in by_ranx[(text, complete)].items():
        if query in left_out:
            continue
        assert set(ours[query]) == set(documents)
        for doc_id, score in documents.items():
            assert ours[query][doc_id] == pytest.approx(score, rel=1e-5, abs=1e-6)


def test_condorcet_wins_are_pairwise_majorities() -> None:
    runs = {
        "a": Run.from_dict({"q": {"w": 4, "x": 3, "y": 2, "z": 1}}),
        "b": Run.from_dict({"q": {"w": 4, "y": 3, "x": 2, "z": 1}}),
        "c": Run.from_dict({"q": {"x": 4, "w": 3, "y": 2}}),
    }
    fused = fuse_runs(runs, Fusion.parse("condorcet"), 10)
    assert fused.to_dict()["q"] == {"w": 3, "x": 2, "y": 1, "z": 0}


def test_a_branch_without_the_document_under_zscore_counts_as_its_last() -> None:
    runs = {
        "a": Run.from_dict({"q": {"x": 3.0, "y": 1.0}}),
        "b": Run.from_dict({"q": {"z": 1.0, "x": 0.0}}),
    }
    fused = fuse_runs(runs, Fusion.parse("combsum(norm=zscore)"), 10).to_dict()["q"]
    assert fused == {"x": 1 - 1, "z": 1 - 1, "y": -1 - 1}


@pytest.mark.parametrize(
    "text", [*METHODS, *(f"cc(norm={norm})" for norm in NORMS), "rrf(k=5, norm=minmax)", "dense"]
)
def test_lists_of_numbers_and_runs_of_strings_agree(text: str) -> None:
    pool = random_pool(13, levels=9)
    fusion = Fusion.parse(text)
    hits, runs = {}, {}
    for row, name in enumerate(pool.branches):
        nums = np.full((len(pool), pool.depth), -1, dtype=np.int32)
        scores = np.full((len(pool), pool.depth), -np.inf, dtype=np.float32)
        for i in range(len(pool)):
            part = slice(pool.offsets[i], pool.offsets[i + 1])
            found = pool.ranks[row, part] > 0
            at = pool.ranks[row, part][found] - 1
            nums[i, at], scores[i, at] = pool.doc_nums[part][found], pool.scores[row, part][found]
        hits[name] = BranchHits(nums, scores)
        runs[name] = rank(pool, fuse(pool, Fusion.parse(name)), pool.depth)
    minimum = dict(zip(pool.branches, pool.minimum.tolist(), strict=True))
    if text in REFUSED:
        for fuse_both in (lambda: fuse_lists(hits, fusion, 7), lambda: fuse_runs(runs, fusion, 7)):
            with pytest.raises(UsageError, match=r"scores below 0.* give norm=minmax, zscore"):
                fuse_both()
        return
    for k in (1, 7, 60):
        expected = fuse_runs(runs, fusion, k, minimum=minimum)
        found = fuse_lists(hits, fusion, k, minimum=minimum)
        for i, query in enumerate(pool.query_ids):
            kept = found.doc_nums[i] >= 0
            ids = [pool.doc_ids[d] for d in found.doc_nums[i][kept]]
            assert tuple(ids) == expected.doc_ids(query)
            assert np.array_equal(found.scores[i][kept], expected.scores(query))
            assert np.isneginf(found.scores[i][~kept]).all()


def test_complete_lists_give_what_the_pool_gives() -> None:
    pool = random_pool(17, documents=20, depth=20, names=("dense", "other"))
    runs = {name: rank(pool, fuse(pool, Fusion.parse(name)), 20) for name in pool.branches}
    low = {"dense": -1.0, "other": -1.0}
    for text in [*METHODS, *(f"cc(alpha=0.3, norm={norm})" for norm in NORMS)]:
        fusion = Fusion.parse(text)
        assert fuse_runs(runs, fusion, 9, minimum=low) == rank(pool, fuse(pool, fusion), 9)


def test_runs_with_different_queries_and_what_is_refused() -> None:
    runs = {"a": Run.from_dict({"q1": {"x": 1.0}}), "b": Run.from_dict({"q2": {"y": 1.0}})}
    fused = fuse_runs(runs, Fusion.parse("rrf"), 5)
    assert fused.query_ids == ("q1", "q2")
    assert fused.to_dict()["q2"] == {"y": pytest.approx(1 / 61)}
    with pytest.raises(UsageError, match="k is 0"):
        fuse_runs(runs, Fusion.parse("rrf"), 0)
    with pytest.raises(UsageError, match="names 'c'; branches here: a, b"):
        fuse_runs(runs, Fusion.parse("c"), 5)
    lists = BranchHits(np.zeros((2, 1), np.int32), np.zeros((2, 1), np.float32))
    other = BranchHits(np.zeros((3, 1), np.int32), np.zeros((3, 1), np.float32))
    with pytest.raises(UsageError, match="the same queries"):
        fuse_lists({"a": lists, "b": other}, Fusion.parse("rrf"), 5)
    with pytest.raises(UsageError, match="k is 0"):
        fuse_lists({"a": lists}, Fusion.parse("a"), 0)


def test_negative_scores_and_numbers_of_documents_keep_their_order() -> None:
    scores = np.array([[0.25, -0.0, 0.0, -1.5]], np.float32)
    lists = BranchHits(np.array([[7, 2, 9, 1]], np.int32), scores)
    found = fuse_lists({"a": lists}, Fusion.parse("a"), 6)
    assert found.doc_nums.tolist() == [[7, 2, 9, 1, -1, -1]]
    assert found.scores[0, :4].tolist() == [0.25, 0, 0, -1.5]
    assert doc_names(3) == sorted(doc_names(3), reverse=True)
