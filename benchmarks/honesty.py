"""Whether the verdict tells the truth, over many made collections whose truth is known.

    python benchmarks/honesty.py --runs 100 --json honesty.json

Each run makes a collection, tunes on it with Optuna and all, and reads the verdict. Where one
branch is noise or both are copies, fusion cannot help, and a verdict of "fusion" is a false alarm.
Where a gain is planted, the share of runs that find it is held against the power that the label
budget states: between that of the strictest and of the mildest step of Holm's correction.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from hybrid.report.samples import made_domain
from hybrid.report.tables import Table, render
from hybrid.tune import TuneOptions, tune
from hybrid.tune.budget import stated_power

TRUTHS = {
    "dense is noise": {"sparse": 2.0, "dense": 0.0, "queries": 50},
    "sparse is noise": {"sparse": 0.0, "dense": 2.0, "queries": 50},
    "both are copies": {"sparse": 2.0, "dense": 2.0, "queries": 50, "copies": True},
    "planted, 50 queries": {"sparse": 1.5, "dense": 3.0, "queries": 50},
    "planted, 100 queries": {"sparse": 1.5, "dense": 3.0, "queries": 100},
    "planted, 200 queries": {"sparse": 1.5, "dense": 3.0, "queries": 200},
    "planted stronger, 50 queries": {"sparse": 1.2, "dense": 3.0, "queries": 50},
    "the untuned mean is right": {"sparse": 2.5, "dense": 2.5, "queries": 50},
}


def measured(truth: dict, runs: int, options: TuneOptions) -> dict[str, float | int]:
    """Return how often each verdict was given, and the power found beside the power stated."""
    verdicts, gains, deviations, count = [], [], [], 0
    for seed in range(runs):
        domain = made_domain("made", documents=100, seed=seed, **truth)
        result = tune(domain.pool, domain.qrels, replace(options, seed=seed))
        verdicts.append(result.verdict)
        gains.append(result.label_budget.gain)
        deviations.append(result.label_budget.deviation)
        count = result.queries
    gain, deviation = float(np.mean(gains)), float(np.mean(deviations))
    return {
        "runs": runs,
        "fusion": verdicts.count("fusion"),
        "default": verdicts.count("default"),
        "branch": verdicts.count("branch"),
        "gain": gain,
        "found": verdicts.count("fusion") / runs,
        "stated_least": stated_power(gain, deviation, count, comparisons=3),
        "stated_most": stated_power(gain, deviation, count, comparisons=1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    options = TuneOptions(trials=arguments.trials, repeats=1, curve=False)
    found = {name: measured(truth, arguments.runs, options) for name, truth in TRUTHS.items()}
    rows = tuple((name, *values.values()) for name, values in found.items())
    columns = ("truth", *next(iter(found.values())))
    title = f"Verdicts over {arguments.runs} made collections each, {arguments.trials} trials"
    print(render(Table(title, columns, rows, places=3), "markdown"))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
