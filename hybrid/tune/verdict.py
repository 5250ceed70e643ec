"""The verdict: the tuned fusion against the untuned baselines, cross-validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hybrid.evaluate.significance import SIGNIFICANT, Difference, bootstrap_interval, compare_paired
from hybrid.fusion import Fusion, parse_fusion
from hybrid.tune.budget import LabelBudget, LearningPoint
from hybrid.tune.rerank import RerankResult
from hybrid.tune.search import Choice
from hybrid.tune.space import DEFAULT

FloatArray = NDArray[np.float64]
Verdict = Literal["fusion", "default", "branch", "subset"]


@dataclass(frozen=True)
class Baseline:
    """Something that needs no tuning, and its values: float64 (queries,).

    ``branches`` are all that it could have used, ``best_of`` is the number of fusions that it is
    the best of.
    """

    name: str
    fusion: Fusion
    values: FloatArray
    branches: tuple[str, ...] = ()
    best_of: int = 1

    @property
    def mean(self) -> float:
        """Mean over queries."""
        return float(self.values.mean())


@dataclass(frozen=True)
class Judgment:
    """The verdict and its grounds.

    Attributes:
        verdict: "fusion" use the tuned one, "default" keep the default, "branch" use one alone,
            "subset" leave a branch out of the default.
        fusion: the fusion to use.
        because: the verdict as a plain sentence.
        held_out: mean of the values that the procedure reached on queries that it had not seen.
        interval: 95 % bootstrap interval of that mean.
        difference: held-out procedure minus each baseline: "branch", "rrf", "minmax", "subset".
        reference: the better of "branch" and "minmax", the default, or "subset" where it is ahead
            of both by more than one standard error; the tuned fusion must beat it.
    """

    verdict: Verdict
    fusion: Fusion
    because: str
    held_out: float
    interval: tuple[float, float]
    difference: Mapping[str, Difference]
    reference: str


def decide(
    choice: Choice, held_out: FloatArray, baselines: Mapping[str, Baseline], *, seed: int
) -> Judgment:
    """Return the verdict: the tuned fusion only where it is shown to beat the baselines.

    Args:
        choice: of the search over all queries.
        held_out: float64 (queries,), of the procedure.
        baselines: "branch" (the best one, chosen in hindsight, which favours it), where there are
            two branches "rrf" and "minmax", the default, and where there are three "subset", the
            default over the best of the smaller sets.
        seed: of the bootstrap and the randomisation test.
    """
    names = list(baselines)
    found = compare_paired(held_out, [baselines[name].values for name in names], seed=seed)
    difference = dict(zip(names, found, strict=True))
    simple = [name for name in ("branch", "minmax") if name in baselines]
    reference = max(simple, key=lambda name: baselines[name].mean)
    if "subset" in baselines and _clearly_ahead(baselines["subset"], baselines[reference]):
        reference = "subset"
    ahead = difference[reference]
    proven = ahead.mean > 0 and ahead.p_holm < SIGNIFICANT
    untuned = baselines[reference].fusion
    tuned = not choice.fusion.is_single and choice.fusion not in (DEFAULT, untuned)
    verdict, fusion = UNTUNED[reference], untuned
    rival = f"{untuned}, {RIVALS[reference]}"
    if proven and tuned:
        verdict, fusion = "fusion", choice.fusion
    return Judgment(
        verdict=verdict,
        fusion=fusion,
        because=_sentence(_advice(reference, baselines, seed), choice, ahead, rival, tuned, proven),
        held_out=float(held_out.mean()),
        interval=bootstrap_interval(held_out, seed=seed),
        difference=difference,
        reference=reference,
    )


def _clearly_ahead(one: Baseline, other: Baseline) -> bool:
    """Return whether ``one`` is ahead by more than one standard error of the mean difference."""
    gain = one.values - other.values
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))


def _sentence(
    advice: str,
    choice: Choice,
    ahead: Difference,
    rival: str,
    tuned: bool,
    proven: bool,
) -> str:
    """Return the verdict as a sentence: ``advice``, or to use what was tuned, and why."""
    shown = f"{ahead.mean:+.4f} [{ahead.low:+.4f}, {ahead.high:+.4f}], p {ahead.p_holm:.3g}"
    if not tuned:
        return f"{advice}: no fusion is better by more than one standard error on these queries."
    if proven:
        return (
            f"Use {choice.fusion}: on queries that it was not tuned on it is ahead of {rival}, "
            f"by {shown}."
        )
    return (
        f"{advice}: on queries that it was not tuned on, tuning is not shown to be better "
        f"({shown})."
    )


def _advice(reference: str, baselines: Mapping[str, Baseline], seed: int) -> str:
    """Return the advice to use the baseline ``reference``."""
    found = baselines[reference]
    if reference == "branch":
        return f"Use the {found.fusion} branch alone"
    if reference == "minmax":
        return f"Keep the default {found.fusion}"
    cost = compare_paired(found.values, [baselines["minmax"].values], seed=seed)[0]
    left_out = " and ".join(n for n in found.branches if n not in (found.fusion.branches or ()))
    return (
        f"Leave {left_out} out, use {found.fusion} (in the default fusion of all branches "
        f"{left_out} costs {cost.mean:.4f} [{cost.low:.4f}, {cost.high:.4f}], "
        f"p {min(1.0, cost.p * found.best_of):.3g} for the best of {found.best_of} sets)"
    )


UNTUNED: Mapping[str, Verdict] = {"branch": "branch", "minmax": "default", "subset": "subset"}
_BETTER = "the better of the default and the best branch"
RIVALS = {
    "branch": _BETTER,
    "minmax": _BETTER,
    "subset": "the default over the best set of branches",
}
"""Names of the baselines that the tuned fusion must beat, as the verdict says them."""
NAMES = {
    "branch": "best branch",
    "rrf": "RRF 60",
    "minmax": "min-max .5",
    "subset": "min-max of fewer",
}


@dataclass(frozen=True)
class TuneResult:
    """The result of tuning.

    Attributes:
        fusion: the fusion to use, according to the verdict.
        verdict: "fusion", "default", "branch" or "subset".
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
        rerank: what a reranker adds, where one was asked for.
        settings: seed, trials, folds, repeats, sampler, depth, versions: what repeats the result.
        query_hashes: of the queries' texts, so that they are known again; empty where tuning had
            none. See ``evaluate.reuse``.
        models: branch to a key of the model that was tuned with, so that another one is noticed.
        warnings: what lowers the figures: judged queries without a text, documents missing.
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
    rerank: RerankResult | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    query_hashes: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

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
            "importance": dict(self.importance),
            "settings": dict(self.settings),
            "query_hashes": self.query_hashes,
            "models": dict(self.models),
            **({} if self.rerank is None else {"rerank": self.rerank.to_dict()}),
            **({"warnings": list(self.warnings)} if self.warnings else {}),
        }

    @classmethod
    def stored(cls, report: Mapping[str, Any]) -> TuneResult:
        """Return the result that `to_dict` described."""
        budget = {**report["label_budget"]}
        curve = tuple(LearningPoint(**point) for point in budget.pop("curve"))
        plain = ("verdict", "because", "measure", "queries", "in_sample", "held_out")
        return cls(
            **{name: report[name] for name in plain},
            fusion=parse_fusion(report["fusion"]),
            tuned=parse_fusion(report["tuned"]),
            best=parse_fusion(report["best_in_sample"]),
            held_out_interval=tuple(report["held_out_interval"]),
            baselines={
                name: (parse_fusion(each["fusion"]), each["mean"])
                for name, each in report["baselines"].items()
            },
            difference={n: Difference(**each) for n, each in report["difference"].items()},
            label_budget=LabelBudget(**budget, curve=curve),
            importance=report["importance"],
            rerank=RerankResult.stored(report["rerank"]) if "rerank" in report else None,
            settings=report["settings"],
            query_hashes=report["query_hashes"],
            warnings=tuple(report.get("warnings", ())),
        )

    def lines(self) -> list[str]:
        """Return the result as lines of text for a person."""
        low, high = self.held_out_interval
        text = [
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
        if self.rerank is not None:
            text.append(self.rerank.line())
        return [*text, *(f"warning: {line}" for line in self.warnings)]

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
