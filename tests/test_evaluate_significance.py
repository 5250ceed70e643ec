from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hybrid.errors import UsageError
from hybrid.evaluate.significance import (
    bootstrap_interval,
    compare_paired,
    holm,
    randomisation_p,
)


def test_few_queries_try_every_sign() -> None:
    paired = np.array([0.3, 0.1, -0.2, 0.4])
    signs = np.array(np.meshgrid(*[[1, -1]] * 4)).reshape(4, -1).T
    expected = (np.abs(signs @ paired) >= abs(paired.sum()) - 1e-12).mean()
    assert randomisation_p(paired) == expected


def test_many_queries_agree_with_scipy() -> None:
    paired = np.random.default_rng(1).normal(0.2, 1, 60)
    oracle = stats.permutation_test(
        (paired,), np.sum, permutation_type="samples", n_resamples=20_000, random_state=0
    )
    assert randomisation_p(paired) == pytest.approx(oracle.pvalue, abs=0.015)


def test_equal_systems_give_p_one_and_a_zero_interval() -> None:
    (found,) = compare_paired(np.ones(20), [np.ones(20)])
    assert (found.mean, found.low, found.high, found.p, found.effect) == (0, 0, 0, 1, 0)
    assert (found.wins, found.ties, found.losses) == (0, 20, 0)


def test_interval_agrees_with_scipy_and_one_query_has_no_width() -> None:
    values = np.random.default_rng(2).normal(size=80)
    oracle = stats.bootstrap((values,), np.mean, method="percentile", random_state=0)
    low, high = bootstrap_interval(values)
    assert (low, high) == pytest.approx(tuple(oracle.confidence_interval), abs=0.02)
    assert bootstrap_interval(np.array([0.4])) == (0.4, 0.4)


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(rng.normal(1, 1, 50), seed=seed, samples=1000)
        covered += low <= 1 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_holm_is_step_down_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []
    first, second = compare_paired(np.arange(9.0), [np.zeros(9), np.arange(9.0)])
    assert first.p_holm == 2 * first.p
    assert second.p_holm == 1


def test_same_seed_same_numbers_and_wrong_lengths() -> None:
    values = np.random.default_rng(4).normal(size=30)
    a, b = (compare_paired(values, [np.zeros(30)], seed=7) for _ in range(2))
    assert a == b
    with pytest.raises(UsageError, match="one value for each query"):
        compare_paired(values, [np.zeros(3)])
    with pytest.raises(UsageError, match="at least one query"):
        bootstrap_interval(np.zeros(0))
