from __future__ import annotations

import itertools

import numpy as np
import pytest

from hybrid.evaluate import ArrayScorer, judge
from hybrid.tune.line import alpha_curve
from tests.made_pools import pool_of, random_pool, random_qrels

MEASURES = ["nDCG@5", "nDCG", "AP", "RR", "RR@3", "R@5", "P@5", "Success@1"]


def pieces(curve) -> list[float]:
    """Return the middle of every stretch that float32 scores can tell from its neighbours."""
    edges = np.unique(np.concatenate([[0.0], curve.alphas, [1.0]]))
    return [(a + b) / 2 for a, b in itertools.pairwise(edges) if b - a > 1e-4]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("seed", range(3))
def test_the_curve_is_exact_between_all_breakpoints(measure: str, seed: int) -> None:
    pool = random_pool(seed, queries=12, documents=60, depth=25, levels=90)
    judged = judge(pool, random_qrels(pool, seed, relevant=20))
    x, y = pool.scores.astype(float)
    scorer = ArrayScorer(judged, measure)
    curve = alpha_curve(scorer, x, y)
    assert len(pieces(curve)) > 4
    for alpha in pieces(curve):
        direct = scorer((1 - alpha) * x + alpha * y)
        assert curve.at(alpha) == pytest.approx(direct, abs=1e-12)


def test_best_is_the_greatest_mean_of_a_fine_grid_or_more() -> None:
    pool = random_pool(9, queries=12, levels=40)
    judged = judge(pool, random_qrels(pool, 9, relevant=8))
    x, y = pool.scores.astype(float)
    scorer = ArrayScorer(judged, "nDCG@10")
    curve = alpha_curve(scorer, x, y)
    alpha, top = curve.best()
    by_grid = max(scorer((1 - a) * x + a * y).mean() for a in np.linspace(0.0005, 0.9995, 1000))
    assert top >= by_grid - 1e-12
    assert scorer((1 - alpha) * x + alpha * y).mean() == pytest.approx(top, abs=1e-12)


def test_a_crossing_by_hand() -> None:
    # Two documents; the relevant one is behind in x by 1 and ahead in y by 3: they cross at 1/4.
    pool = pool_of({"sparse": np.array([[2.0, 1.0]]), "dense": np.array([[0.1, 0.4]])}, depth=2)
    judged = judge(pool, {"q0": {pool.doc_ids[1]: 1}})
    curve = alpha_curve(ArrayScorer(judged, "RR"), np.array([2.0, 1.0]), np.array([0.0, 3.0]))
    assert curve.starts.tolist() == [0.5]
    assert curve.alphas.tolist() == [0.25]
    assert curve.changes.tolist() == [0.5]
    assert curve.best() == (0.625, 1.0)
    assert curve.grid[0].tolist() == [0.5] * 26 + [1.0] * 75 or curve.grid[0][26:].min() == 1


def test_parts_of_the_queries_and_the_grid() -> None:
    pool = random_pool(2, queries=6, levels=50)
    judged = judge(pool, random_qrels(pool, 2, relevant=8))
    x, y = pool.scores.astype(float)
    curve = alpha_curve(ArrayScorer(judged, "nDCG@10"), x, y)
    chosen = np.array([4, 1])
    edges, values = curve.mean(chosen)
    for i in np.flatnonzero(np.diff(edges) > 1e-6)[::5]:
        middle = (edges[i] + edges[i + 1]) / 2
        assert values[i] == pytest.approx(curve.at(middle)[chosen].mean(), abs=1e-12)
    for column in (7, 50, 93):
        alpha = column / 100
        if not np.isclose(curve.alphas, alpha, atol=1e-9).any():
            assert curve.grid[:, column] == pytest.approx(curve.at(alpha), abs=1e-12)
    assert 0 <= curve.stable(chosen) <= 1


def test_copies_have_no_breakpoint_and_empty_queries_are_flat() -> None:
    pool = random_pool(5, queries=3)
    judged = judge(pool, {**random_qrels(pool, 5), "absent": {"d00001": 1}})
    x = pool.scores[0].astype(float)
    curve = alpha_curve(ArrayScorer(judged, "nDCG@10"), x, x)
    assert len(curve.alphas) == 0
    assert curve.starts[-1] == 0
    assert curve.best()[0] == 0.5
