"""Comparison of systems over the same queries, and the options that published figures need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus.judged import checked_qrels
from hybrid.errors import UsageError
from hybrid.evaluate.evaluation import Evaluation, evaluate
from hybrid.evaluate.judging import Judging
from hybrid.evaluate.names import parse_measure
from hybrid.evaluate.significance import Difference, bootstrap_intervals, compare_paired
from hybrid.fusion.run import Run

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Several systems on one measure, each against one of them.

    Attributes:
        measure: its name.
        queries: how many.
        baseline: the system that the others are held against.
        means: system to mean.
        intervals: system to the 95 % bootstrap interval of its mean.
        difference: system to its paired difference from the baseline, Holm over all systems.
        absent: system to how many of the queries it has no results for; each counts 0.
    """

    measure: str
    queries: int
    baseline: str
    means: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    difference: Mapping[str, Difference]
    absent: Mapping[str, int] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """Warnings about queries that lower the means."""
        return [
            f"{name} has no results for {count:,} of {self.queries:,} judged queries, which count 0"
            for name, count in self.absent.items()
            if count
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        return {
            "measure": self.measure,
            "queries": self.queries,
            "baseline": self.baseline,
            "systems": {
                name: {
                    "mean": mean,
                    "interval": list(self.intervals[name]),
                    "queries_without_results": self.absent.get(name, 0),
                }
                for name, mean in self.means.items()
            },
            "difference": {name: found.to_dict() for name, found in self.difference.items()},
        }


def compare(
    evaluations: Mapping[str, Evaluation],
    measure: str = "nDCG@10",
    *,
    baseline: str | None = None,
    seed: int = 0,
    queries: Sequence[str] | None = None,
) -> Comparison:
    """Return how far each system is ahead of ``baseline``, the first one where None.

    Args:
        evaluations: system to its evaluation, all over the same judged queries.
        measure: one that every evaluation has.
        baseline: a key of ``evaluations``.
        seed: of the bootstrap and the randomisation test.
        queries: only these, for a slice.

    Raises:
        UsageError: fewer than two systems, other queries, an unknown baseline or measure.
    """
    names = list(evaluations)
    base = check_compared(names, baseline)
    orders = {evaluation.query_ids for evaluation in evaluations.values()}
    if len(orders) > 1:
        raise UsageError("the systems were evaluated on other queries; use the same judgments")
    name = str(parse_measure(measure))
    kept = np.arange(len(orders.pop()))
    if queries is not None:
        place = {q: i for i, q in enumerate(evaluations[base].query_ids)}
        kept = np.array([place[q] for q in queries if q in place], dtype=np.int64)
    values = {system: found.per_query(name)[kept] for system, found in evaluations.items()}
    others = [system for system in names if system != base]
    intervals = bootstrap_intervals(np.stack(list(values.values())), seed=seed)
    # One call for each, so that each is ahead of the baseline, then one correction over all.
    return Comparison(
        measure=name,
        queries=len(kept),
        baseline=base,
        means={system: float(row.mean()) for system, row in values.items()},
        intervals=dict(zip(names, intervals, strict=True)),
        difference=_against([values[system] for system in others], values[base], others, seed),
        absent={
            system: len({each.query_ids[i] for i in kept} & set(each.absent))
            for system, each in evaluations.items()
        },
    )


def check_compared(names: Sequence[str], baseline: str | None) -> str:
    """Return the system that the others are held against, the first one where None.

    Raises:
        UsageError: fewer than two systems, or an unknown baseline.
    """
    if len(names) < 2:
        raise UsageError(f"{len(names)} systems were given; a comparison needs two or more")
    if baseline is not None and baseline not in names:
        raise UsageError(f"baseline {baseline!r} is not among the systems {', '.join(names)}")
    return names[0] if baseline is None else baseline


def compare_runs(
    runs: Mapping[str, Run],
    qrels: Mapping[str, Mapping[str, int]],
    measures: str | Sequence[str] = "nDCG@10",
    *,
    baseline: str | None = None,
    seed: int = 0,
    judging: Judging | None = None,
) -> list[Comparison]:
    """Return one comparison a measure over ``{system: run}``; ``judging`` says what counts."""
    check_compared(list(runs), baseline)
    judging, qrels = judging or Judging(), checked_qrels(qrels)
    judged = judging.qrels(qrels)
    found = {
        name: evaluate(judging.run(run, qrels), judged, measures) for name, run in runs.items()
    }
    return [
        compare(found, measure, baseline=baseline, seed=seed)
        for measure in next(iter(found.values())).measures
    ]


def _against(
    rows: list[FloatArray], base: FloatArray, names: list[str], seed: int
) -> dict[str, Difference]:
    # compare_paired holds one system against several; with the signs turned it is several
    # against one, corrected together.
    turned = compare_paired(-base, [-row for row in rows], seed=seed)
    return dict(zip(names, turned, strict=True))


def unmet_expectations(
    found: Mapping[str, float], expected: Sequence[str], *, tolerance: float = 0.0005
) -> list[str]:
    """Return one line for each of ``expected`` (``nDCG@10=0.6451``) that is not met.

    Raises:
        UsageError: not of the form measure=value, a measure that was not computed, or a number or
            tolerance that no figure can miss.

    >>> unmet_expectations({"nDCG@10": 0.6449}, ["nDCG@10=0.6451"])
    []
    >>> unmet_expectations({"nDCG@10": 0.6049}, ["nDCG@10=0.6451"])
    ['nDCG@10 is 0.6049, expected 0.6451 within 0.0005']
    """
    if not 0 <= tolerance < np.inf:
        raise UsageError(f"tolerance is {tolerance}; give 0 or more")
    lines = []
    for text in expected:
        name, separator, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            separator = ""
        if not separator or not np.isfinite(value):
            raise UsageError(f"cannot read {text!r}; give measure=value such as nDCG@10=0.6451")
        measure = str(parse_measure(name))
        if measure not in found:
            raise UsageError(
                f"{measure} was not computed; computed: {', '.join(found)}. Name it in --measures"
            )
        # Half a unit of the last printed place must not decide.
        if abs(found[measure] - value) > tolerance + 1e-12:
            lines.append(f"{measure} is {found[measure]:.4f}, expected {value} within {tolerance}")
    return lines
