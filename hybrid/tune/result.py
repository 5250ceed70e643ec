"""TuneResult: the fusion to use, what it rests on, and its printed and JSON forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybrid.evaluate.significance import Difference
from hybrid.fusion import Fusion
from hybrid.tune.budget import LabelBudget
from hybrid.tune.per_query import PerQueryResult
from hybrid.tune.verdict import Verdict

WEAK = (
    "WEAK LABELS: a program made these queries from the corpus. Take what follows for a guess, and "
    "judge some queries of your own."
)
NAMES = {"branch": "best branch", "rrf": "RRF 60", "minmax": "min-max .5"}


@dataclass(frozen=True)
class TuneResult:
    """What tuning found.

    Attributes:
        fusion: the fusion to use, according to the verdict.
        verdict: "fusion", "default" or "branch".
        because: the verdict as a sentence.
        tuned: the fusion that tuning chose, whether or not the verdict is to use it.
        best: the fusion of greatest mean on the queries that it was chosen on.
        measure: what was maximised.
        queries: how many judged queries.
        in_sample: mean of ``tuned`` on the queries that it was chosen on.
        held_out: mean of the procedure on queries that it had not seen.
        held_out_interval: 95 % bootstrap interval of ``held_out``.
        baselines: name to (fusion, mean).
        difference: held-out minus each baseline.
        label_budget: what the queries can show.
        importance: parameter of the search to its share of the variance between trials.
        per_query: what a weight for each query gave, where that was asked for.
        weak: whether a program made the queries and judgments.
        settings: seed, trials, folds, repeats, sampler, depth, versions: what repeats the result.
        query_hashes: of the queries' texts, so that they are known again; empty where tuning had
            none. See ``experiment.reuse``.
    """

    fusion: Fusion
    verdict: Verdict
    because: str
    tuned: Fusion
    best: Fusion
    measure: str
    queries: int
    in_sample: float
    held_out: float
    held_out_interval: tuple[float, float]
    baselines: Mapping[str, tuple[Fusion, float]]
    difference: Mapping[str, Difference]
    label_budget: LabelBudget
    importance: Mapping[str, float] = field(default_factory=dict)
    per_query: PerQueryResult | None = None
    weak: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    query_hashes: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return {
            "fusion": str(self.fusion),
            "verdict": self.verdict,
            "because": self.because,
            "tuned": str(self.tuned),
            "best_in_sample": str(self.best),
            "measure": self.measure,
            "queries": self.queries,
            "in_sample": self.in_sample,
            "held_out": self.held_out,
            "held_out_interval": list(self.held_out_interval),
            "baselines": {
                name: {"fusion": str(fusion), "mean": mean}
                for name, (fusion, mean) in self.baselines.items()
            },
            "difference": {name: found.to_dict() for name, found in self.difference.items()},
            "label_budget": self.label_budget.to_dict(),
            "labels": "weak" if self.weak else "judged",
            "importance": dict(self.importance),
            "per_query": None if self.per_query is None else self.per_query.to_dict(),
            "settings": dict(self.settings),
            "query_hashes": self.query_hashes,
        }

    def lines(self) -> list[str]:
        """Return the result as lines of text for a person."""
        low, high = self.held_out_interval
        text = [WEAK] if self.weak else []
        text += [
            self.because,
            f"{self.measure} over {self.queries} queries: in sample {self.in_sample:.4f} "
            f"({self.tuned}), held out {self.held_out:.4f} [{low:.4f}, {high:.4f}]",
        ]
        for name, found in self.difference.items():
            fusion, mean = self.baselines[name]
            text.append(
                f"  against {NAMES.get(name, name)} ({fusion}, {mean:.4f}): {found.mean:+.4f} "
                f"[{found.low:+.4f}, {found.high:+.4f}], p {found.p_holm:.3g} (Holm)"
            )
        text.append(self._budget_line())
        if self.importance:
            shares = ", ".join(f"{name} {share:.0%}" for name, share in self.importance.items())
            text.append(f"what mattered among the trials: {shares}")
        if self.per_query is not None:
            text.append(self.per_query.line())
        return text

    def _budget_line(self) -> str:
        budget = self.label_budget
        line = (
            f"label budget: {budget.queries} queries show a gain of {budget.detectable:.4f} or "
            "more with power 0.8"
        )
        if budget.needed is None:
            return f"{line}; the gain seen is not positive, so no number of queries would show it"
        if budget.more:
            return f"{line}; to show {budget.gain:+.4f} would need {budget.more} more"
        return line
