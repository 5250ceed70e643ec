"""Space: which fusions the tuner may choose from, the baselines, and what counts as simple."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from hybrid.errors import UsageError
from hybrid.fusion import METHODS, NORMS, Fusion, cc, rrf, single

DEFAULT = cc(norm="minmax")


@dataclass(frozen=True)
class Space:
    """Fusions to choose from.

    Attributes:
        branches: every branch of the pool.
        methods: weighted methods to try.
        norms: normalisations for methods that read scores.
        subsets: whether a fusion may leave branches out.
        k: least and greatest k of reciprocal rank fusion, searched on a log scale.
    """

    branches: tuple[str, ...]
    methods: tuple[str, ...] = ("cc", "rrf")
    norms: tuple[str, ...] = ("tmm", "minmax", "zscore")
    subsets: bool = True
    k: tuple[float, float] = (1.0, 200.0)

    def __post_init__(self) -> None:
        weighted = {name for name, signature in METHODS.items() if signature.weights}
        for given, accepted, what in (
            (self.methods, weighted, "method"),
            (self.norms, set(NORMS), "normalisation"),
        ):
            wrong = [name for name in given if name not in accepted]
            if wrong or not given:
                raise UsageError(
                    f"{what} {wrong[0] if wrong else ''!r} cannot be searched; give some of "
                    f"{', '.join(sorted(accepted))}"
                )

    def sets(self) -> list[tuple[str, ...]]:
        """Return the sets of two or more branches that a fusion may take, the whole one first."""
        if len(self.branches) < 2:
            return []
        smallest = 2 if self.subsets else len(self.branches)
        return [
            names
            for size in range(len(self.branches), smallest - 1, -1)
            for names in combinations(self.branches, size)
        ]

    def baselines(self) -> dict[str, Fusion]:
        """Return name to fusion: each branch alone, then the untuned fusions."""
        alone = {name: single(name) for name in self.branches}
        if len(self.branches) < 2:
            return alone
        return {**alone, "minmax": DEFAULT, "rrf": rrf(60), "tmm": cc(norm="tmm")}

    def suggest(self, trial: Any) -> Fusion:
        """Return the fusion of one Optuna trial."""
        sets = self.sets()
        names = sets[0]
        if len(sets) > 1:
            label = trial.suggest_categorical("branches", [" ".join(s) for s in sets])
            names = tuple(label.split(" "))
        method = trial.suggest_categorical("method", list(self.methods))
        norm = ""
        parameters: tuple[tuple[str, float], ...] = ()
        if METHODS[method].norm:
            norm = trial.suggest_categorical("norm", list(self.norms))
        if method == "rrf":
            parameters = (("k", trial.suggest_float("k", *self.k, log=True)),)
        return weighted_fusion(method, norm, parameters, names, self._weights(trial, names), self)

    def parameters(self, fusion: Fusion) -> dict[str, Any]:
        """Return the Optuna parameters that suggest ``fusion``, to enqueue it."""
        names = fusion.branch_names(self.branches)
        found: dict[str, Any] = {"method": fusion.method}
        if len(self.sets()) > 1:
            found["branches"] = " ".join(names)
        if METHODS[fusion.method].norm:
            found["norm"] = fusion.norm
        found |= dict(fusion.parameters)
        weights = fusion.branch_weights(names)
        if len(names) == 2:
            return found | {"alpha": float(weights[1] / weights.sum())}
        return found | {f"weight {n}": float(w) for n, w in zip(names, weights, strict=True)}

    def _weights(self, trial: Any, names: Sequence[str]) -> list[float]:
        if len(names) == 2:
            alpha = trial.suggest_float("alpha", 0.0, 1.0)
            return [1 - alpha, alpha]
        return [trial.suggest_float(f"weight {name}", 0.0, 1.0) for name in names]


def weighted_fusion(
    method: str,
    norm: str,
    parameters: tuple[tuple[str, float], ...],
    names: Sequence[str],
    weights: Sequence[float],
    space: Space,
) -> Fusion:
    """Return the fusion of ``names`` with ``weights``, alpha to 2 places, weights to 3."""
    rounded = tuple((name, float(f"{value:.3g}")) for name, value in parameters)
    whole = sum(weights)
    shares = [w / whole for w in weights] if whole > 0 else [1 / len(weights)] * len(weights)
    if len(names) == 2:
        chosen = None if len(space.branches) == 2 else tuple(names)
        return Fusion(method, rounded, round(shares[1], 2), None, norm, chosen)
    table = tuple((name, round(share, 3)) for name, share in zip(names, shares, strict=True))
    return Fusion(method, rounded, None, table, norm)


def complexity(fusion: Fusion) -> int:
    """Return 0 for the default, 1 for a branch alone, 2 untuned, 3 and up with chosen numbers.

    The default comes first, so that few labels, which can tell nothing apart, leave it in place.

    >>> complexity(DEFAULT), complexity(single("dense")), complexity(rrf(60)), complexity(cc(0.3))
    (0, 1, 2, 3)
    """
    if fusion == DEFAULT:
        return 0
    if fusion.method == "single":
        return 1
    tuned = 0 if fusion.alpha in (None, 0.5) else 1
    tuned += len(fusion.weights) - 1 if fusion.weights else 0
    tuned += dict(fusion.parameters).get("k", 60.0) != 60.0
    return 2 + tuned
