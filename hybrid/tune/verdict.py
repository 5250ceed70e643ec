"""The verdict: what cross-validation says of the procedure, against what needs no tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hybrid.evaluate.significance import Difference, bootstrap_interval, compare_paired
from hybrid.fusion import Fusion
from hybrid.tune.per_query import SIGNIFICANT, PerQueryResult
from hybrid.tune.search import Choice
from hybrid.tune.space import DEFAULT

FloatArray = NDArray[np.float64]
Verdict = Literal["fusion", "default", "branch"]


@dataclass(frozen=True)
class Baseline:
    """Something that needs no tuning, and its values: float64 (queries,)."""

    name: str
    fusion: Fusion
    values: FloatArray

    @property
    def mean(self) -> float:
        """Mean over queries."""
        return float(self.values.mean())


@dataclass(frozen=True)
class Judgment:
    """The verdict and what it rests on.

    Attributes:
        verdict: "fusion" use the tuned one, "default" keep the default, "branch" use one alone.
        fusion: the fusion to use.
        because: the verdict as a plain sentence.
        held_out: mean of the values that the procedure reached on queries that it had not seen.
        interval: 95 % bootstrap interval of that mean.
        difference: held-out procedure minus each baseline: "branch", "rrf", "minmax".
        reference: the better of "branch" and "minmax", the default; the tuned fusion must beat it.
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
    """Return the verdict: the tuned fusion only where it is shown to beat what needs no tuning.

    Args:
        choice: of the search over all queries.
        held_out: float64 (queries,), of the procedure.
        baselines: "branch" (the best one, chosen in hindsight, which favours it), and where there
            are two branches "rrf" and "minmax", the default.
        seed: of the bootstrap and the randomisation test.
    """
    names = list(baselines)
    found = compare_paired(held_out, [baselines[name].values for name in names], seed=seed)
    difference = dict(zip(names, found, strict=True))
    simple = [name for name in ("branch", "minmax") if name in baselines]
    reference = max(simple, key=lambda name: baselines[name].mean)
    ahead = difference[reference]
    proven = ahead.mean > 0 and ahead.p_holm < SIGNIFICANT
    tuned = choice.fusion.method != "single" and choice.fusion != DEFAULT
    verdict: Verdict = "branch" if reference == "branch" else "default"
    fusion = baselines[reference].fusion
    if proven and tuned:
        verdict, fusion = "fusion", choice.fusion
    return Judgment(
        verdict=verdict,
        fusion=fusion,
        because=_sentence(verdict, choice, ahead, baselines, reference, tuned),
        held_out=float(held_out.mean()),
        interval=bootstrap_interval(held_out, seed=seed),
        difference=difference,
        reference=reference,
    )


def with_per_query(judgment: Judgment, found: PerQueryResult) -> Judgment:
    """Return the judgment that uses a weight for each query, which won held out."""
    ahead = min(found.difference.values(), key=lambda each: each.mean)
    because = (
        f"Use a weight for each query: on queries that it was not fitted to it is ahead of "
        f"{judgment.fusion} and of one common weight, by {ahead.mean:+.4f} "
        f"[{ahead.low:+.4f}, {ahead.high:+.4f}], p {ahead.p_holm:.3g}, or more."
    )
    return replace(judgment, verdict="fusion", fusion=found.fusion, because=because)


def _sentence(
    verdict: Verdict,
    choice: Choice,
    ahead: Difference,
    baselines: Mapping[str, Baseline],
    reference: str,
    tuned: bool,
) -> str:
    other = str(baselines[reference].fusion)
    shown = f"{ahead.mean:+.4f} [{ahead.low:+.4f}, {ahead.high:+.4f}], p {ahead.p_holm:.3g}"
    if verdict == "fusion":
        return (
            f"Use {choice.fusion}: on queries that it was not tuned on it is ahead of {other}, "
            f"the better of what needs no tuning, by {shown}."
        )
    if verdict == "default":
        advice = f"Keep the default {other}"
    else:
        advice = f"Use the {other} branch alone"
    if not tuned:
        return f"{advice}: no fusion is better by more than one standard error on these queries."
    return (
        f"{advice}: on queries that it was not tuned on, tuning is not shown to be better "
        f"({shown})."
    )
