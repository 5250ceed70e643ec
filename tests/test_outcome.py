"""Explanations say what a weight multiplies, what was missed, and what would change a rank."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.fusion import METHODS, cc, fuse, parse_fusion
from hybrid.fusion.explain import explain, rank_of
from hybrid.fusion.outcome import top_stretches, with_outcomes
from hybrid.search.index import open_index
from tests.made_encoders import HashDense, HashSparse
from tests.test_explain import pool
from tests.test_search_once import ASKED, built

__all__ = ["built"]

WEIGHTED = [name for name, taken in METHODS.items() if taken.linear]
OTHERS = [name for name in METHODS if name not in WEIGHTED]
ALPHA = [f"{name}(alpha=0.3)" for name in WEIGHTED if METHODS[name].weights]


@pytest.mark.parametrize("text", [*WEIGHTED, *ALPHA, "sparse", "dense"])
def test_weights_times_parts_add_up_to_the_fused_score(text: str) -> None:
    fusion = parse_fusion(text)
    fused = fuse(pool(), fusion)
    checked = 0
    for query in (0, 1):
        for at in range(*pool().offsets[query : query + 2]):
            doc_id = pool().doc_ids[pool().doc_nums[at]]
            (found,) = explain(pool(), fusion, [doc_id], query=query)
            parts = [(one.weight, one.part) for one in found.branches if one.weight is not None]
            if np.isfinite(fused[at]):
                total = sum(weight * part for weight, part in parts if part is not None)
                assert total == pytest.approx(float(fused[at]), abs=1e-6)
                checked += 1
            else:
                assert parts == []
    assert checked


@pytest.mark.parametrize("text", OTHERS)
def test_other_fusions_show_the_normalised_score_and_no_weight_that_they_do_not_have(
    text: str,
) -> None:
    fusion = parse_fusion(text)
    (found,) = explain(pool(), fusion, ["d2"])
    for one in found.branches:
        assert (one.part is None) == (text == "condorcet")
        assert (one.weight is None) == (not METHODS[text].weights)


VALUES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.6, 1.0]), min_size=1, max_size=7)


@given(VALUES, st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_stretches_are_where_the_rank_is_within_k(x: list[float], seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    first, last = np.array(x), rng.permutation(np.linspace(0, 1, len(x)))
    numbers = np.arange(len(x), dtype=np.int32)
    for at in range(len(x)):
        found = top_stretches(first, last, at, k)
        assert all(low < high for low, high in found)
        assert all(one[1] < two[0] for one, two in pairwise(found))
        for alpha in rng.uniform(0, 1, 20):
            if any(abs(alpha - edge) < 1e-6 for span in found for edge in span):
                continue
            inside = rank_of((1 - alpha) * first + alpha * last, numbers, at) <= k
            assert inside == any(low < alpha < high for low, high in found), (alpha, found)
        assert k < len(x) or found == ((0.0, 1.0),)


def test_a_document_below_k_lacks_what_the_last_has_more() -> None:
    fusion = cc(0.3, norm="minmax")
    one = pool().select([0])
    ranked = sorted(explain(one, fusion, ["d4", "d2", "d1"]), key=lambda each: each.rank)
    found = with_outcomes(ranked, one, fusion, 2)
    assert [each.missed is None for each in found] == [True, True, False]
    missed = found[2].missed
    assert missed is not None
    assert (missed.k, missed.cause) == (2, "fusion")
    assert missed.lacks == pytest.approx((ranked[1].score or 0) - (ranked[2].score or 0))
    assert str(missed) in found[2].lines()[1]
    for each in found:
        (low, high) = each.branches
        assert low.alphas is not None
        assert high.alphas is not None
        mirrored = tuple((1 - b, 1 - a) for a, b in reversed(low.alphas))
        assert np.allclose(high.alphas, mirrored)
        inside = any(a < 0.3 < b for a, b in high.alphas)
        assert inside == (each.rank <= 2)
        for text, rank in each.others:
            (again,) = explain(one, parse_fusion(text), [each.doc_id])
            assert again.rank == rank
        assert [text for text, _ in each.others] == ["sparse", "dense", "rrf(k=60)",
                                                     "cc(norm=minmax)", "cc(norm=tmm)"]  # fmt: skip


def test_the_weight_of_three_branches_moves_with_the_others_in_their_ratio() -> None:
    two = pool().select([0])
    three = replace(
        two,
        branches=("a", "b", "c"),
        scores=np.vstack([two.scores, [[3.0, 2.0, 1.0]]]).astype(np.float32),
        ranks=np.vstack([two.ranks, [[1, 2, 0]]]).astype(np.int32),
        minimum=np.array([0, -1, -np.inf], dtype=np.float32),
    )
    fusion = cc(weights={"a": 0.2, "b": 0.6, "c": 0.2}, norm="minmax")
    for doc_id in ("d4", "d2", "d1"):
        (found,) = with_outcomes(explain(three, fusion, [doc_id]), three, fusion, 1)
        assert "cc(norm=tmm)" not in dict(found.others)  # a branch has no least score
        alphas = found.branches[1].alphas
        assert alphas is not None
        for b in (0.05, 0.35, 0.65, 0.95):
            other = (1 - b) / 2
            moved = cc(weights={"a": other, "b": b, "c": other}, norm="minmax")
            (again,) = explain(three, moved, [doc_id])
            assert (again.rank == 1) == any(low < b < high for low, high in alphas)


def test_no_alphas_where_the_fusion_is_no_plain_weighted_sum() -> None:
    one = pool().select([0])
    for text in ("combmnz", "rrf(k=60, norm=minmax)", "dense"):
        fusion = parse_fusion(text)
        (found,) = with_outcomes(explain(one, fusion, ["d2"]), one, fusion, 1)
        assert [each.alphas for each in found.branches] == [None, None]


def test_a_search_says_whether_filter_depth_or_fusion_kept_a_document_out(built: Path) -> None:
    with open_index(built, encoders={"sparse": HashSparse(), "dense": HashDense()}) as index:
        ids = [f"d{number:04}" for number in range(60)]
        found = index.explain("merge sort", ids, 3, **ASKED)  # type: ignore[arg-type]
        returned = {hit.doc_id for hit in index.search("merge sort", 3, **ASKED)}  # type: ignore[call-overload]
        years = {doc_id: index.document(doc_id).fields["year"] for doc_id in ids}
    seen = set()
    for each in found:
        assert (each.missed is None) == (each.doc_id in returned)
        if each.missed is None:
            continue
        seen.add(each.missed.cause)
        assert (each.missed.cause == "filter") == (int(str(years[each.doc_id])) <= 2)
        assert (each.missed.lacks is None) == (each.score is None)
        plain = each.to_dict()
        assert plain["rank"] == (each.rank or None)
        for one in each.branches:
            assert (one.lacks is None) == (one.rank > 0)
    assert seen == {"filter", "depth", "fusion"}
