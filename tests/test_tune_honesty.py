"""The verdict over many made collections whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hybrid.tune import TuneOptions, TuneResult, tune
from hybrid.tune.budget import stated_power
from tests.made_pools import planted

OPTIONS = TuneOptions(trials=0, repeats=1, curve=False)


def results(runs: int, **truth: Any) -> list[TuneResult]:
    made = {"queries": 30, "documents": 80, "depth": 40, **truth}
    return [tune(*planted(seed, **made), replace(OPTIONS, seed=seed)) for seed in range(runs)]


@pytest.mark.slow
def test_noise_in_a_branch_says_the_other_alone_in_95_of_100() -> None:
    found = results(100, dense=0.0)
    assert sum(r.verdict == "branch" and str(r.fusion) == "sparse" for r in found) >= 95


@pytest.mark.slow
def test_copies_say_that_fusion_does_not_help_in_95_of_100() -> None:
    assert sum(r.verdict != "fusion" for r in results(100, copies=True)) >= 95


@pytest.mark.slow
@pytest.mark.parametrize(
    "truth", [{"sparse": 2.0, "queries": 60}, {"sparse": 1.5, "queries": 60}, {"sparse": 1.5}]
)
def test_a_planted_gain_is_found_with_the_power_that_the_label_budget_states(truth: dict) -> None:
    runs = 60
    found = results(runs, **truth)
    gain = float(np.mean([r.label_budget.gain for r in found]))
    deviation = float(np.mean([r.label_budget.deviation for r in found]))
    power = np.mean([r.verdict == "fusion" for r in found])
    # The stated power is for the strictest step of Holm's correction; one comparison is its end.
    low = stated_power(gain, deviation, found[0].queries, comparisons=3)
    high = stated_power(gain, deviation, found[0].queries, comparisons=1)
    noise = 2 * np.sqrt(0.25 / runs)
    assert low - noise <= power <= high + noise


def test_where_the_untuned_mean_is_right_the_verdict_keeps_it() -> None:
    found = results(20, sparse=3.0, queries=20)
    assert sum(r.verdict == "default" for r in found) >= 18
    assert all(r.difference["branch"].mean > 0 for r in found)
